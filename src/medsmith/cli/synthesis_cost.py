"""What synthesis by a method without networks costs: all that a plan can say of it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsmith.cases.cohort import Cohort
    from medsmith.progress import Progress
    from medsmith.synthesis.forecast import Forecast
    from medsmith.training.plan import TrainingPlan

_MOST_CASES = 64


def synthesis_cost(method: str, cohort: "Cohort", plan: "TrainingPlan", progress: "Progress") -> "Forecast":
    """The cost of one case, made in a temporary folder by a run on at most 64 cases, evenly spread over the ids.

    Args:
        method: name of a method that trains nothing.
        cohort: what it takes its cases from.
        plan: has preset and settings.
        progress: of the run.

    Raises:
        MedsmithError: the settings do not fit the cohort, or no case can be made of it.
    """
    from medsmith.formats.temporary import temporary_folder
    from medsmith.synthesis.forecast import forecast
    from medsmith.training.run import train_stages

    some = cohort.subset(cohort.ids[:: -(-len(cohort) // _MOST_CASES)])
    with temporary_folder("medsmith-plan-", f"{method} on {cohort.root}") as place:
        run = place / "run"
        train_stages(method, some, run, preset=plan.preset, settings=plan.settings, progress=progress)
        return forecast(run, place / "out", count=1, workers=1)


def cost_line(cost: "Forecast") -> str:
    """The cost in a line."""
    from medsmith.formats.opening import format_bytes

    memory, disk = format_bytes(cost.memory), format_bytes(cost.bytes)
    return f"synthesis: {cost.seconds:.2g} s a case in one worker, {memory} of memory, {disk} of disk (one was made)"
