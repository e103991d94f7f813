"""Weights trained on phantoms alone, with a model card that compares their cases with phantoms they never saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from medsmith import Budget, Cohort, evaluate, synthesize, train
from medsmith.evaluation import summary_lines
from medsmith.formats.atomic import write_bytes
from medsmith.phantoms.families import find_family
from medsmith.phantoms.writing import write_phantom
from medsmith.preparation.crop import CropOptions, crop
from medsmith.progress import ConsoleProgress
from medsmith.runs.checkpoints import export_weights

SEED = 1


@final
@dataclass(frozen=True)
class PhantomWeights:
    """What weights are trained on, and how they are described.

    Attributes:
        method: name of the method.
        family: of the phantoms.
        organ: what the phantoms show, for the model card.
        cases: phantoms to learn from.
        unseen: phantoms to compare with, and cases that are made.
        size: of the phantoms.
        crop_mm: edges of a crop around their labels; none leaves them whole.
        settings: changes to the preset.
        remark: how the compared cases were made, after a comma, for the model card.
    """

    method: str
    family: str
    organ: str
    cases: int
    unseen: int
    size: int = 64
    crop_mm: tuple[float, float, float] | None = None
    settings: Sequence[str] = ()
    remark: str = ""

    def train(self, folder: Path, destination: Path, cases: int | None = None, budget: Budget | None = None) -> None:
        """Work in FOLDER, continue what an earlier call left there, and put the weights into DESTINATION."""
        cohort = self._phantoms(folder / "phantoms", cases or self.cases, SEED)
        run = folder / self.method
        train(self.method, cohort, run, settings=self.settings, budget=budget, progress=ConsoleProgress())
        export_weights(run, destination)
        print(f"{run} -> {destination}")

    def describe(self, folder: Path, destination: Path) -> None:
        """Say on the model card how its cases compare with phantoms that it never saw."""
        unseen = self._phantoms(folder / "unseen", self.unseen, SEED + 1)
        learnt = self._phantoms(folder / "phantoms", self.cases, SEED)
        summary = synthesize(destination, folder / "cases", count=self.unseen, seed=0, progress=ConsoleProgress())
        cases = Cohort.open(folder / "cases")
        found = evaluate(unseen, cases, folder / "report", training=learnt, progress=ConsoleProgress())
        lines = [f"{summary.count} cases took {summary.attempts} attempts.", *summary_lines(found)]
        card, findings = destination / "README.md", "\n".join(f"- {line}" for line in lines)
        heading = f"## Against {self.unseen} phantoms that it never saw{self.remark}"
        limits = "These weights know procedural phantoms alone: they show how the tool works"
        text = f"{card.read_text()}\n{heading}\n\n{findings}\n\n{limits}, not what a {self.organ} looks like.\n"
        write_bytes(card, text.encode())

    def _phantoms(self, folder: Path, count: int, seed: int) -> Cohort:
        whole = write_phantom(find_family(self.family), folder, count, seed, size=self.size)
        if self.crop_mm is None:
            return whole
        out = folder.with_name(f"{folder.name}-cropped")
        return crop(whole.root, out, CropOptions(self.crop_mm), report=print, progress=ConsoleProgress())
