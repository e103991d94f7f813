"""Disjoint subsets of the training pairs, each with a model that saw them alone, and what it generates."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

import numpy as np
from lldm_cohorts import subset
from lldm_shared import pairs_of

from medsmith import Cohort, SynthesisOptions, synthesize, train
from medsmith.errors import SynthesisError
from medsmith.formats.atomic import write_bytes
from medsmith.methods.lldm.config import LldmConfig
from medsmith.progress import ConsoleProgress
from medsmith.synthesis import Limits

SEED, ATTEMPTS = 17, 12
STAGES = ("autoencoder_training", "training", "control_training")
SOURCES: Mapping[str, Mapping[str, Any]] = MappingProxyType({"generated": {}, "deformed": {"maps": "deformed"}})
"""Folder of the synthetic cases -> their request."""


@final
@dataclass(frozen=True, eq=False)
class Subset:
    """Real cases, a run of lldm trained on them, and synthetic cases of that run.

    Attributes:
        work: what lldm_cohorts.py writes.
        cases: number of real cases; 0 takes all pairs.
        number: of the subset; no case is in two of them.
        size: grid of the model.
        count: synthetic cases of each source.
        course: steps of every stage as a share of those of the preset.
    """

    work: Path
    cases: int
    number: int
    size: tuple[int, ...]
    count: int
    course: float = 1.0

    @property
    def folder(self) -> Path:
        """Where everything of it is kept."""
        return self.work / "segmentation" / (f"{self.cases}-{self.number}" if self.cases else "all")

    def check(self) -> None:
        """Whether there are enough pairs for this subset and those before it.

        Raises:
            SystemExit: there are not.
        """
        count = len(pairs_of(Cohort.open(self.work / "train")))
        if (self.number + 1) * self.cases > count:
            raise SystemExit(f"{count} pairs do not make {self.number + 1} subsets of {self.cases} that share none")

    @cached_property
    def real(self) -> Cohort:
        """The real cases."""
        every = Cohort.open(self.work / "train")
        pairs = pairs_of(every).ids
        if self.cases:
            order = np.random.default_rng([SEED, self.cases]).permutation(len(pairs))
            chosen = order[self.number * self.cases : (self.number + 1) * self.cases]
            pairs = tuple(pairs[row] for row in sorted(chosen.tolist()))
        return subset(every, pairs, self.folder / "real")

    @cached_property
    def run(self) -> Path:
        """A run on the real cases; an interrupted one is continued."""
        preset = LldmConfig()
        steps = (f"{stage}.steps={round(getattr(preset, stage).steps * self.course)}" for stage in STAGES)
        settings, folder = (f"size={list(self.size)}".replace(" ", ""), *steps), self.folder / "run"
        train("lldm", self.real, folder, settings=settings, progress=ConsoleProgress())
        return folder

    def synthetic(self, source: str) -> Cohort | None:
        """Synthetic cases of a source, or None where fewer than half could be made; an interrupted call is continued.

        A model that learned from few cases may repeat them: where cases are refused at every attempt, as illegal maps
        or copies, the reason is kept beside the folder, and what was made is used.
        """
        out, given_up = self.folder / source, self.folder / f"{source}.txt"
        if given_up.exists() or ((out / "dataset.json").exists() and len(Cohort.open(out)) == self.count):
            return self._enough(out)
        try:
            synthesize(
                self.run,
                out,
                count=self.count,
                seed=SEED,
                request=SOURCES[source],
                options=SynthesisOptions(limits=Limits(attempts=ATTEMPTS)),
                progress=ConsoleProgress(),
            )
        except SynthesisError as error:
            print(error.line)
            write_bytes(given_up, error.line.replace(str(out), source).encode())
            return self._enough(out)
        return Cohort.open(out)

    def _enough(self, folder: Path) -> Cohort | None:
        if not (folder / "dataset.json").exists():
            return None
        made = Cohort.open(folder)
        return made if 2 * len(made) >= self.count else None

    def left_out(self) -> dict[str, str]:
        """Source -> why it has fewer cases, or none."""
        return {path.stem: path.read_text() for path in sorted(self.folder.glob("*.txt"))}
