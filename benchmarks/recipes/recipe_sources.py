"""Subsets of the real cases, and what each recipe makes of one: generators are trained again for every subset."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np
import torch
from recipe_data import DataSet, Source
from recipe_phantoms import PHANTOMS, SEED

from medsmith import Cohort, SynthesisOptions, synthesize, train
from medsmith.errors import SynthesisError
from medsmith.evaluation.downstream.loaded_cohort import LoadedCohort, load_cohort, standardized_image
from medsmith.formats.atomic import write_bytes
from medsmith.progress import ConsoleProgress
from medsmith.synthesis import Limits
from medsmith.training import Budget

ATTEMPTS = 10


@final
@dataclass(frozen=True, eq=False)
class Subset:
    """Some real cases, the generators trained on them, and the cases of these.

    Attributes:
        work: folder of the experiment, with the cohort ``train``.
        name: of its folder.
        ids: of its real cases.
        size: edges of the generators' grid.
        steps: of a generator, over its stages.
        count: synthetic cases of each source.
        data: has the sources.
    """

    work: Path
    name: str
    ids: tuple[str, ...]
    size: tuple[int, ...]
    steps: int
    count: int
    data: DataSet

    @property
    def folder(self) -> Path:
        """Where all of it is kept."""
        return self.work / "subsets" / self.name

    @cached_property
    def every(self) -> Cohort:
        """All real cases to learn from."""
        return Cohort.open(self.work / "train")

    @cached_property
    def real(self) -> Cohort:
        """The cases of the subset."""
        return self._written("real", self.ids)

    @cached_property
    def with_images(self) -> Cohort:
        """The cases of the subset, and the images of all others."""
        return self._written("with-images", self.every.ids)

    def _written(self, name: str, ids: tuple[str, ...]) -> Cohort:
        out, every = self.folder / name, self.every
        written = Cohort.create(
            out, channel_names=every.channel_names, label_names=every.label_names, file_ending=every.file_ending
        )
        for id in ids:
            if id not in written:
                case = every.stored(id)
                written.write(case if id in self.ids else replace(case, labels=None))
        written.finish()
        return Cohort.open(out)

    def synthetic(self, name: str) -> Cohort | None:
        """Cases of a source; None where fewer than half could be made. An interrupted call is continued.

        A generator that learned from few cases may repeat them: where cases are refused at every attempt, the reason is
        kept beside the folder, and what was made is used.
        """
        if name == PHANTOMS:
            assert self.data.phantoms is not None, "the data set has phantoms"
            return self.data.phantoms.write(self.work, self.count, self.every)  # the same for every subset
        out, given_up = self.folder / name, self.folder / f"{name}.txt"
        if not given_up.exists() and not self._is_whole(out):
            try:
                self._synthesize(self.data.sources[name], self._trained(name), out)
            except SynthesisError as error:
                print(error.line, flush=True)
                write_bytes(given_up, error.line.replace(str(out), name).encode())
        if not (out / "dataset.json").exists():
            return None
        made = Cohort.open(out)
        return made if 2 * len(made) >= self.count else None

    def _is_whole(self, out: Path) -> bool:
        return (out / "dataset.json").exists() and len(Cohort.open(out)) == self.count

    def _trained(self, name: str) -> Path:
        source, run = self.data.sources[name], self.folder / "runs" / name
        if source.shipped:
            return Path(source.method)
        cohort = self.with_images if source.unlabeled else self.real
        sized = (f"size={list(self.size)}".replace(" ", ""),) if source.grid else ()
        budget = Budget(steps=max(1, self.steps // source.stages))
        train(
            source.method, cohort, run, settings=(*sized, *source.settings), budget=budget, progress=ConsoleProgress()
        )
        return run

    def _synthesize(self, source: Source, run: Path, out: Path) -> None:
        synthesize(
            run,
            out,
            count=self.count,
            seed=SEED,
            request={**source.request, **({"templates": str(self.real.root)} if source.inserts else {})},
            options=SynthesisOptions(limits=Limits(attempts=ATTEMPTS)),
            progress=ConsoleProgress(),
        )

    def left_out(self) -> dict[str, str]:
        """Source -> why it has fewer cases, or none."""
        return {path.stem: path.read_text() for path in sorted(self.folder.glob("*.txt"))}


def loaded(cohort: Cohort, edge: int, window: tuple[float, float] | None) -> LoadedCohort:
    """A cohort on the grid of the segmentation networks.

    Args:
        cohort: with images and labels.
        edge: of the grid, voxels.
        window: to which gray values are clipped; None clips none.
    """
    with ConsoleProgress().task(f"read {cohort.root.name}", len(cohort)) as advance:
        found = load_cohort(cohort, edge, advance)
    if window is None:
        return found
    clipped = (replace(case, image=np.clip(case.require_image(), *window)) for case in cohort)
    images = np.stack([standardized_image(case, edge) for case in clipped])
    return replace(found, images=torch.from_numpy(images))
