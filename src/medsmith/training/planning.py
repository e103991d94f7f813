"""The search for a plan: trials of a method's proposals until the time for planning is over."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from time import monotonic
from typing import final

import torch

from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.data.fingerprint import Fingerprint
from medsmith.errors import RequestError, similar
from medsmith.formats.temporary import temporary_folder
from medsmith.memory_limits import available_memory
from medsmith.methods import method_class
from medsmith.methods.base import Method
from medsmith.methods.config import apply_settings
from medsmith.progress import NullProgress, Progress, silent
from medsmith.training.plan import StagePlan, TrainingPlan
from medsmith.training.stage_costs import Choice, Limits, read_facts, stages_with_steps, try_stages

PLANNING_SECONDS = 240.0
"""Most time that trials take together, unless another is given."""
INTERPRETER_GIB = 0.4
"""Memory of a process with its libraries, which does not grow with the proposal."""
_SHARE_OF_MEMORY = 0.8
_CURE = "give --max-minutes, --max-gib or --planning-seconds more, or a smaller preset"


@final
@dataclass(frozen=True)
class Tries:
    """Trials of proposals, which end together.

    Attributes:
        method: name of the method.
        preset: the preset that is changed.
        facts: of the cohort.
        cohort: training cases.
        limits: of the training.
        end: clock at which the last trial ends.
        report: receives lines.
        progress: of the stages.
    """

    method: str
    preset: str
    facts: Fingerprint
    cohort: Cohort
    limits: Limits
    end: float
    report: Callable[[str], None]
    progress: Progress

    @property
    def seconds_left(self) -> float:
        """Until the end."""
        return self.end - monotonic()

    def named(self, settings: tuple[str, ...]) -> str:
        """A proposal in a line."""
        return " ".join(settings) or self.preset

    def costs(self, settings: tuple[str, ...]) -> tuple[StagePlan, ...] | str:
        """The costs of all stages, or why the settings do not fit."""
        with temporary_folder("medsmith-plan-", f"{self.method} on {self.cohort.root}") as place:
            choice, seconds = self._choice(settings), self.seconds_left
            return try_stages(choice, self.cohort, place, self.limits, seconds, self.progress)

    def should_fit(self, settings: tuple[str, ...], tried: tuple[str, ...], plans: Sequence[StagePlan]) -> bool:
        """Whether a proposal should fit, by the costs of another: time grows with voxels times weights.

        Memory beyond that of the interpreter is taken to grow with the voxels alone, which is less than it may.
        """
        there, asked = self._choice(tried).built(), self._choice(settings).built()
        voxels = prod(asked.config.size) / prod(there.config.size)
        weights = sum(map(torch.numel, asked.parameters())) / max(sum(map(torch.numel, there.parameters())), 1)
        batch = _largest_batch(asked) / _largest_batch(there)
        minutes = sum(plan.minutes for plan in plans) * voxels * weights * batch
        gib = max((plan.memory_gib for plan in plans), default=0.0)
        grown = INTERPRETER_GIB + max(gib - INTERPRETER_GIB, 0.0) * voxels * batch
        return minutes <= self.limits.minutes and grown <= self.limits.gib

    def _choice(self, settings: tuple[str, ...]) -> Choice:
        return Choice(self.method, self.preset, settings, self.facts)


def _largest_batch(method: Method) -> int:
    return max(method.training_of(stage).batch for stage in method.stages())


def make_plan(
    method: str,
    cohort: CohortLike,
    *,
    preset: str = "tiny",
    settings: Sequence[str] = (),
    max_minutes: float = 480.0,
    max_gib: float | None = None,
    planning_seconds: float = PLANNING_SECONDS,
    report: Callable[[str], None] = silent,
    progress: Progress | None = None,
) -> TrainingPlan:
    """The largest of the method's proposals that fits memory and time, as far as the time for planning tells.

    Every stage of a proposal is trained for a few steps, with the data of the cohort, in one process. The smallest
    comes first; then the largest that should fit by its costs, in proportion to voxels and weights; and so on.

    Args:
        method: name of the method.
        cohort: training cases.
        preset: the preset that is changed.
        settings: changes that every proposal gets.
        max_minutes: of training, over all stages.
        max_gib: memory that training may take; None for four fifths of what is free.
        planning_seconds: most time that the trials take together.
        report: receives the bound of the trials, and one line for each proposal that does not fit.
        progress: of the stages.

    Raises:
        RequestError: an unknown method, preset or setting, or nothing fits.
        MedsmithError: the cohort cannot be used.
    """
    cohort, kind, progress = as_cohort(cohort), method_class(method), progress or NullProgress()
    if preset not in kind.presets:
        cure = similar(preset, kind.presets)
        raise RequestError(method, f"no preset '{preset}'", f"there are {', '.join(kind.presets)}", cure)
    limits = Limits(free_gib() * _SHARE_OF_MEMORY if max_gib is None else max_gib, max_minutes)
    facts = read_facts(cohort, progress)
    proposals = [(*proposal, *settings) for proposal in _proposals(kind, preset, facts)]
    fitting = [chosen for chosen in proposals if _is_valid(kind, preset, chosen)]
    if not fitting:
        apply_settings(kind.presets[preset], settings)  # are they wrong alone?
        raise RequestError(method, "no proposal goes with these settings", str(limits), _CURE)
    if stages_with_steps(Choice(method, preset, fitting[-1], facts).built()):
        report(f"planning: a few steps of each stage, {planning_seconds:.0f} seconds at most")
    tries = Tries(method, preset, facts, cohort, limits, monotonic() + planning_seconds, report, progress)
    best, plans = _largest(tries, fitting)
    return TrainingPlan(
        method=method, preset=preset, settings=fitting[best], stages=plans, notes=tuple(kind.advice(facts))
    )


def _is_valid(kind: type[Method], preset: str, chosen: tuple[str, ...]) -> bool:
    try:
        apply_settings(kind.presets[preset], chosen)
    except RequestError:
        return False
    return True


def _largest(tries: "Tries", proposals: Sequence[tuple[str, ...]]) -> tuple[int, tuple[StagePlan, ...]]:
    """The index of the largest proposal that a trial shows to fit, and its costs."""
    best, refused = len(proposals) - 1, -1
    plans = tries.costs(proposals[best])
    if isinstance(plans, str):
        found = f"nothing that was tried fits ({tries.named(proposals[best])}: {plans})"
        raise RequestError(tries.method, found, str(tries.limits), _CURE)
    while tries.seconds_left > 0:
        larger = range(refused + 1, best)
        chosen = next((each for each in larger if tries.should_fit(proposals[each], proposals[best], plans)), None)
        if chosen is None:
            break
        costs = tries.costs(proposals[chosen])
        if isinstance(costs, str):
            refused = chosen
            tries.report(f"too much, trying less: {tries.named(proposals[chosen])}: {costs}")
        else:
            best, plans = chosen, costs
    return best, plans


def free_gib() -> float:
    """Free memory of the first GPU, or what this process may take of the machine's; all of it where that is unknown."""
    if torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[0] / 2**30)
    found = available_memory()
    return (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if found is None else found) / 2**30


def _proposals(kind: type[Method], preset: str, facts: Fingerprint) -> Iterator[tuple[str, ...]]:
    """Those of the method, without repeats, else the preset as it is."""
    seen: set[tuple[str, ...]] = set()
    for proposal in kind.proposals(preset, facts) or ((),):
        if proposal not in seen:
            seen.add(proposal)
            yield proposal
