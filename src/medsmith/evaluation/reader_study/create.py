"""Creates a reader study: OUT/study.html for the readers and OUT/key.json for whoever scores."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from medsmith import __version__
from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.diffusion.noise import derive_seed
from medsmith.errors import CohortError
from medsmith.evaluation.reader_study.equivalence import Measure, decisions_for_equivalence
from medsmith.evaluation.reader_study.key import KEY, StudyKey, read_key
from medsmith.evaluation.reader_study.observer import NaiveObserver, naive_observer
from medsmith.evaluation.reader_study.plan import REAL, SYNTHETIC, Mode, StudyPlan
from medsmith.evaluation.reader_study.presentation import Presentation, present
from medsmith.evaluation.reader_study.selection import select_cases
from medsmith.evaluation.reader_study.study_page import PAGE, render_study
from medsmith.evaluation.reader_study.trials import Trial, order_trials
from medsmith.formats.atomic import remove_temporary_files, write_bytes
from medsmith.formats.folders import check_outside
from medsmith.formats.lock import hold_output
from medsmith.progress import NullProgress, Progress


@final
@dataclass(frozen=True, eq=False)
class Study:
    """A study that was created.

    Attributes:
        key: its sealed key.
        presentation: the images as shown.
        trials: in the order in which they are shown.
        learning: trials with feedback before them.
        observer: the naive observer on the same images.
    """

    key: StudyKey
    presentation: Presentation
    trials: tuple[Trial, ...]
    learning: tuple[Trial, ...]
    observer: NaiveObserver

    @property
    def lines(self) -> list[str]:
        """What was created, for the terminal."""
        first = [trial for trial in self.trials if trial.repeat_of is None]
        measure = Measure.AUC if self.key.mode is Mode.SINGLE else Measure.PAIRS
        needed = decisions_for_equivalence(self.key.margin, measure)
        counts = {kind: sum(c.kind == kind for t in first for c in t.cases) for kind in (REAL, SYNTHETIC)}
        return [
            f"study {self.key.study}: {counts[REAL]} real and {counts[SYNTHETIC]} synthetic images in {len(first)} "
            f"trials, {len(self.trials) - len(first)} repeats, {len(self.learning)} trials to learn",
            *(f"{name}: {fact}" for name, fact in self.presentation.facts.items()),
            f"equivalence margin of the {measure} .5 +- {self.key.margin:g}: {needed} independent decisions for 80 % "
            f"power; readers of the same images are not independent, so plan for more than "
            f"{-(-needed // len(first))} readers",
            self.observer.line,
        ]

    def as_json(self) -> dict[str, Any]:
        """What was created, as JSON values."""
        return {
            "study": self.key.study,
            "mode": self.key.mode.value,
            "margin": self.key.margin,
            "trials": len(self.trials),
            "repeats": sum(trial.repeat_of is not None for trial in self.trials),
            "learning": len(self.learning),
            "presentation": dict(self.presentation.facts),
            "naive_observer": self.observer.as_json(),
        }


def create_study(
    real: CohortLike, synthetic: CohortLike, out: Path | str, plan: StudyPlan, *, progress: Progress | None = None
) -> Study:
    """Writes the page and the key.

    Order, pairs and salt follow from the seed and from the content of the cohorts, so that nobody who has the page and
    knows the seed can compute which images are synthetic.

    Args:
        real: the real cohort.
        synthetic: the synthetic one.
        out: new folder, or that of the same study.
        plan: the design.
        progress: display of the progress.

    Raises:
        CohortError: cohorts too small, overlapping or unlike, or ``out`` lies in one of them, holds another study or
            is being written to.
        RequestError: a request that cannot be fulfilled.
        ContentError: CT values that are not Hounsfield units.
        FileError: a case cannot be read, or a file cannot be written.
    """
    real, synthetic = as_cohort(real), as_cohort(synthetic)
    check_outside(Path(out), (real.root, synthetic.root))
    cohorts = {REAL: real, SYNTHETIC: synthetic}
    content = {kind: cohort.content_hash() for kind, cohort in cohorts.items()}
    secret = " ".join(content.values())

    def stream(purpose: str) -> np.random.Generator:
        return np.random.default_rng(derive_seed(plan.seed, secret, purpose))

    selection = select_cases(real, synthetic, plan, stream("cases"))
    presentation = present(cohorts, selection, plan, stream("dither"), progress or NullProgress())
    trials = order_trials(selection.study, plan.mode, plan.repeats, stream("trials"))
    learning = order_trials(selection.learning, plan.mode, 0, stream("learning")) if selection.learning else ()
    stacks = presentation.stacks[: len(selection.study)]
    observer = naive_observer(stacks, selection.study, stream("observer"))
    salt = hashlib.sha256(f"{plan.seed} {secret} salt".encode()).hexdigest()[:32]
    facts = {kind: {"cases": len(cohort), "content": content[kind]} for kind, cohort in cohorts.items()}
    key = StudyKey(salt, _sealed(facts, plan, trials, presentation, observer))
    shown = (*selection.study, *selection.learning)
    page = render_study(key, presentation, shown, trials, learning, stream("page"))
    _write(Path(out), key, page)
    return Study(key, presentation, trials, learning, observer)


def _write(out: Path, key: StudyKey, page: str) -> None:
    """Key and page; half a key of a call that was killed is removed, since it may hold the answers."""
    with hold_output(out):
        _check_out(out, key, page)
        remove_temporary_files(out)
        key.write(out / KEY)
        write_bytes(out / PAGE, page.encode())


def _sealed(
    cohorts: Mapping[str, Any],
    plan: StudyPlan,
    trials: Sequence[Trial],
    presentation: Presentation,
    observer: NaiveObserver,
) -> Mapping[str, Any]:
    return {
        "cohorts": cohorts,
        "margin": plan.margin,
        "medsmith": __version__,
        "mode": Mode(plan.mode).value,
        "naive_observer": observer.as_json(),
        "presentation": presentation.facts,
        "seed": plan.seed,
        "trials": [trial.as_json() for trial in trials],
    }


def _check_out(out: Path, key: StudyKey, page: str) -> None:
    """Readers may already be at work with the page that is there."""
    if (out / KEY).exists() and read_key(out / KEY).hash != key.hash:
        raise CohortError(out, "holds another study", cure="choose a new folder")
    if (out / PAGE).exists() and not (out / KEY).exists():
        raise CohortError(out, f"holds {PAGE} without its {KEY}", cure="choose a new folder")
    if (out / PAGE).exists() and (out / PAGE).read_bytes() != page.encode():
        fact = f"holds another {PAGE} than that of this study"
        raise CohortError(out, fact, "files are not written over", "move it, or choose a new folder")
