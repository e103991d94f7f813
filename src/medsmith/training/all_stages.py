"""All stages of a run in turn, as every process of a training calls it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

from lightning.fabric import Fabric

from medsmith.data.batches import Batches
from medsmith.data.example_store import ExampleStore
from medsmith.errors import MedsmithError, RunError
from medsmith.methods.base import Method, Stage
from medsmith.methods.elsewhere import fault_of
from medsmith.progress import NullProgress, Progress, silent
from medsmith.runs.checkpoints import RunRecord, apply_compute, build_method
from medsmith.runs.folder import Checkpoint, StageCheckpoints
from medsmith.runs.steps import StageSteps
from medsmith.training.budget import Budget, StageTime
from medsmith.training.examples import encoded_batches, examples_of, plain_batches
from medsmith.training.finish import finish, steps_of
from medsmith.training.stage_loop import StageLoop
from medsmith.training.started_from import kept_from_start, load_start


def train_all_stages(
    fabric: Fabric,
    record: RunRecord,
    store: ExampleStore,
    folder: Path,
    budget: Budget,
    started: float,
    progress: Progress,
    report: Callable[[str], None],
) -> tuple[MedsmithError | KeyboardInterrupt | None, dict[str, StageSteps]]:
    """Train every stage in turn, or the one of the budget.

    Args:
        fabric: the engine.
        record: of the run.
        store: of the prepared examples.
        folder: the run folder.
        budget: of the call.
        started: when the call started, by the monotonic clock.
        progress: where the first process shows progress.
        report: receives the lines of the first process.

    Returns:
        The steps of every stage. Errors for the user are returned beside them, so that they cross process borders
        unchanged.
    """
    try:
        method = _built(fabric, record, folder)
        reached: dict[str, Checkpoint] = {}
        stages = method.stages()
        trained = _trained_seconds(folder, stages)
        end = budget.end_of_call(started, sum(trained))
        fabric.barrier()  # the first process must not train before all have read what earlier calls trained
        shown, said = (progress, report) if fabric.is_global_zero else (NullProgress(), silent)
        for place, stage in enumerate(stages):
            loop = StageLoop(fabric, record, method, stage, folder)
            found = _stage_batches(fabric, loop, store, shown) if budget.stage in (None, stage.name) else None
            if found is not None:
                needs, now = _expected_seconds(record, method, stages[place:], budget), monotonic()
                spent = sum(checkpoint.seconds for checkpoint in reached.values())
                ends = budget.end_of_stage(needs, trained[place:], now, end)
                loop.train(*found, budget, StageTime(budget.seconds_for(needs, spent), now, ends), shown, said)
            fabric.barrier()  # all processes read what the first has saved
            loop = _with_whole_weights(fabric, loop, stages[:place])
            method = loop.method
            checkpoint = _reached(loop)
            if checkpoint is not None:
                reached[stage.name] = checkpoint
            elif budget.stage and stage.name in _required_stages(stages, budget.stage):
                raise _not_trained(folder, stage)
        if fabric.is_global_zero and len(reached) == len(stages):
            finish(record, method, store, folder, reached, progress)
    except (MedsmithError, KeyboardInterrupt) as error:
        return error, {}
    except Exception as error:
        if fabric.world_size > 1 and (fault := fault_of(error)) is not None:
            return fault, {}
        raise
    return None, steps_of(method, reached)


def _reached(loop: StageLoop) -> Checkpoint | None:
    """Loads what a stage has trained, or else keeps what the run started from; None where there is neither."""
    checkpoint = loop.load_trained()
    if checkpoint is None:
        return kept_from_start(loop.record, loop.stage)
    loop.load_initial()
    return checkpoint


def _not_trained(folder: Path, stage: Stage) -> RunError:
    return RunError(folder, f"stage '{stage.name}' is not trained", cure=f"train it first: --stage {stage.name}")


def _built(fabric: Fabric, record: RunRecord, folder: Path) -> Method:
    """The method with initial weights, on the device of this process."""
    method = build_method(record, seed=record.seed)
    load_start(method, record, folder)
    return apply_compute(method.to(fabric.device), record)


def _with_whole_weights(fabric: Fabric, loop: StageLoop, earlier: Sequence[Stage]) -> StageLoop:
    """The loop itself; a new one, of a new method with what earlier stages trained, where weights were divided."""
    if not loop.divides_weights:  # which cannot be undone
        return loop
    method = _built(fabric, loop.record, loop.folder)
    for stage in earlier:
        before = StageLoop(fabric, loop.record, method, stage, loop.folder)
        before.load_trained()
        before.load_initial()
    return StageLoop(fabric, loop.record, method, loop.stage, loop.folder)


def _stage_batches(
    fabric: Fabric, loop: StageLoop, store: ExampleStore, progress: Progress
) -> tuple[Batches, Sequence[str]] | None:
    """What one stage trains on, and the ids of its cases; the first process prepares what the others read.

    None for a stage without parts, which is done when it has begun.
    """
    method, stage, record = loop.method.eval(), loop.stage, loop.record
    view = examples_of(stage, store)
    shown = NullProgress() if type(method).begin is Method.begin else progress
    with shown.task(f"begin {stage.name}", 1) as advance:
        loop.begin(view)
        advance(1, "")
    fabric.barrier()  # a process that begins the stage must not find its first checkpoint
    if not stage.parts:
        loop.finish_without_steps()
        return None
    if not stage.encoded:
        batches = plain_batches(view, method, stage, record.seed)
    else:
        if not fabric.is_global_zero:
            fabric.barrier()
        batches = encoded_batches(view, method, stage, record.seed, loop.folder, progress)
        if fabric.is_global_zero:
            fabric.barrier()
    return batches, view.ids


def _expected_seconds(record: RunRecord, method: Method, stages: Sequence[Stage], budget: Budget) -> list[float]:
    """Expected seconds of each stage; its number of steps if the time of a step is unknown in some stage."""
    seconds = [record.compute[stage.name].seconds_per_step for stage in stages]
    steps = [budget.steps or method.training_of(stage).steps for stage in stages]
    known = [each for each in seconds if each is not None]
    if len(known) < len(seconds):
        return [float(count) for count in steps]
    return [count * each for count, each in zip(steps, known, strict=True)]


def _trained_seconds(folder: Path, stages: Sequence[Stage]) -> list[float]:
    """Seconds of training of each stage so far."""
    newest = (StageCheckpoints(folder, stage.name).entries()[:1] for stage in stages)
    return [sum(checkpoint.seconds for checkpoint in found) for found in newest]


def _required_stages(stages: Sequence[Stage], name: str) -> set[str]:
    """Names of the stages that one needs, directly or through others."""
    direct = {stage.name: stage.needs for stage in stages}[name]
    return {*direct, *(deeper for each in direct for deeper in _required_stages(stages, each))}
