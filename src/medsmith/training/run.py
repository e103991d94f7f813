"""Training of any method; this module and ``stage_loop`` alone use the engine (Lightning Fabric)."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy

from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.data.batches import Batches
from medsmith.data.case_cache import cached_cases
from medsmith.data.example_store import ExampleStore
from medsmith.errors import MedsmithError, RunError, counted
from medsmith.formats.folders import check_outside
from medsmith.interruption import interrupting_children
from medsmith.methods.base import Method, Stage
from medsmith.methods.elsewhere import fault_of
from medsmith.progress import NullProgress, Progress, silent
from medsmith.runs.checkpoints import RunRecord, apply_compute, build_method, is_finished
from medsmith.runs.folder import DECODED, EXAMPLES, Checkpoint, StageCheckpoints, lock_run, removed_if_refused
from medsmith.runs.log_file import LOG, LogFile, LoggedProgress
from medsmith.runs.steps import StageSteps
from medsmith.training.budget import Budget as Budget
from medsmith.training.budget import StageTime
from medsmith.training.devices import check_batches, check_count
from medsmith.training.examples import (
    encoded_batches,
    examples_of,
    plain_batches,
    prepared_examples,
)
from medsmith.training.finish import finish, steps_of
from medsmith.training.forecast import start_line
from medsmith.training.outcome import Outcome
from medsmith.training.stage_loop import StageLoop
from medsmith.training.start import RunRequest, check_folder, check_not_by_torchrun, start_run


def train(
    method: str,
    cohort: CohortLike,
    run: Path | str,
    *,
    preset: str = "tiny",
    settings: Sequence[str] = (),
    seed: int = 0,
    budget: Budget | None = None,
    devices: int = 1,
    progress: Progress | None = None,
    report: Callable[[str], None] = silent,
) -> Path:
    """Train a method on a cohort, or continue where an earlier call was stopped; returns the run folder.

    Interruptions take effect when the current step is done and saved. With several devices a script must guard the call
    by ``if __name__ == "__main__"``, since every process imports it.

    Args:
        method: name of the method.
        cohort: annotated cases, or their folder.
        run: the run folder; made if missing.
        preset: which of the method's presets to start from.
        settings: changes to it, ``key=value``.
        seed: of initial weights, batches and noise.
        budget: how long to train.
        devices: processes, one per GPU where there are GPUs.
        progress: where to show progress; None shows nothing.
        report: receives what is trained, what it takes, what can be done next, and which stages ended early.

    Raises:
        RequestError: an unknown method, preset, setting or stage, or settings that do not fit the cohort or devices.
        CohortError: the run folder lies in the cohort.
        RunError: the folder holds another run, another process trains in it, or its checkpoints are damaged.
        TrainingError: the loss is not finite, or this machine computes incorrectly in the number format of the run.
        KeyboardInterrupt: training was interrupted; its state is saved.
    """
    outcome = train_stages(
        method,
        cohort,
        run,
        preset=preset,
        settings=settings,
        seed=seed,
        budget=budget,
        devices=devices,
        progress=progress,
        report=report,
    )
    for line in outcome.lines:
        report(line)
    return outcome.run


def train_stages(
    method: str,
    cohort: CohortLike,
    run: Path | str,
    *,
    preset: str = "tiny",
    settings: Sequence[str] = (),
    seed: int = 0,
    budget: Budget | None = None,
    devices: int = 1,
    progress: Progress | None = None,
    report: Callable[[str], None] = silent,
) -> Outcome:
    """As ``train``, arguments and errors included; how far the stages are trained is returned, not reported."""
    check_not_by_torchrun()
    started = monotonic() if budget is None or budget.started is None else budget.started
    cohort, folder, budget, progress = as_cohort(cohort), Path(run), budget or Budget(), progress or NullProgress()
    check_outside(folder, (cohort.root,))
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    check_count(devices, accelerator)
    request = RunRequest(method, preset, tuple(settings), seed, budget.stage, accelerator, budget, started)
    log = LogFile(folder / LOG)
    with lock_run(folder), ExitStack() as logged:
        check_folder(folder)
        logged.enter_context(removed_if_refused(folder))
        with cached_cases(cohort, folder / EXAMPLES / DECODED) as cases:
            record = start_run(request, cohort, folder, cases, progress)
            what = f"train {method} on {counted(len(cohort), 'case')}, seed {seed}, {counted(devices, 'device')}"
            logged.enter_context(log.call(what))
            progress, report = LoggedProgress(progress, log), log.with_report(report)
            _check_compute(record, accelerator)
            untrained = build_method(record)
            check_batches(devices, untrained)
            store = prepared_examples(record, untrained, cohort.ids, cases, folder, progress)
        fabric = _fabric(untrained, accelerator, devices)
        with interrupting_children():
            report(start_line(untrained, record.preset, accelerator, budget))
            # Lightning takes sequences and dataclasses among the arguments apart; those of a partial it leaves alone.
            job = partial(
                _train_all,
                record=record,
                store=store,
                folder=folder,
                budget=budget,
                started=started,
                progress=progress,
                report=report,
            )
            error, steps = fabric.launch(job)
        if error is not None:
            raise error
        outcome = Outcome(folder, steps, budget, is_finished(folder))
        for line in outcome.lines:
            log.line(line)
    return outcome


def _check_compute(record: RunRecord, accelerator: str) -> None:
    for compute in record.compute.values():
        compute.for_device(accelerator).check(record.fingerprint.dimensions, accelerator)


def _fabric(method: Method, accelerator: str, devices: int) -> Fabric:
    strategy = _parallel_strategy(method) if devices > 1 else "auto"
    return Fabric(accelerator=accelerator, devices=devices, strategy=strategy, precision="32-true")


def _parallel_strategy(method: Method) -> DDPStrategy:
    """One process per device. With several parts in a stage, the loss of one leaves the others without gradient."""
    several = any(len(stage.parts) > 1 for stage in method.stages())
    return DDPStrategy(start_method="spawn", find_unused_parameters=several)


def _train_all(
    fabric: Fabric,
    record: RunRecord,
    store: ExampleStore,
    folder: Path,
    budget: Budget,
    started: float,
    progress: Progress,
    report: Callable[[str], None],
) -> tuple[MedsmithError | KeyboardInterrupt | None, dict[str, StageSteps]]:
    """Train every stage in turn; the steps of all stages.

    Errors for the user are returned, so that they cross process borders unchanged.
    """
    try:
        method = _built(fabric, record)
        reached: dict[str, Checkpoint] = {}
        stages = method.stages()
        trained = _trained_seconds(folder, stages)
        end = budget.end_of_call(started, sum(trained))
        fabric.barrier()  # the first process must not train before all have read what earlier calls trained
        for place, stage in enumerate(stages):
            loop = StageLoop(fabric, record, method, stage, folder)
            if budget.stage in (None, stage.name):
                spent = sum(checkpoint.seconds for checkpoint in reached.values())
                needs = _expected_seconds(record, method, stages[place:], budget)
                shown, said = (progress, report) if fabric.is_global_zero else (NullProgress(), silent)
                found = _stage_batches(fabric, loop, store, shown)
                now = monotonic()
                stage_end = budget.end_of_stage(needs, trained[place:], now, end)
                time = StageTime(budget.seconds_for(needs, spent), now, stage_end)
                if found is not None:
                    loop.train(*found, budget, time, shown, said)
            fabric.barrier()  # all processes read what the first has saved
            loop = _with_whole_weights(fabric, loop, stages[:place])
            method = loop.method
            checkpoint = loop.load_trained()
            if checkpoint is not None:
                loop.load_initial()
                reached[stage.name] = checkpoint
            elif budget.stage and stage.name in _required_stages(stages, budget.stage):
                cure = f"train it first: --stage {stage.name}"
                raise RunError(folder, f"stage '{stage.name}' is not trained", cure=cure)
        if fabric.is_global_zero and len(reached) == len(stages):
            with progress.task("finish", 1) as advance:
                finish(record, method, store, folder, reached)
                advance(1, "")
    except (MedsmithError, KeyboardInterrupt) as error:
        return error, {}
    except Exception as error:
        fault = fault_of(error) if fabric.world_size > 1 else None
        if fault is None:
            raise
        return fault, {}
    return None, steps_of(method, reached)


def _built(fabric: Fabric, record: RunRecord) -> Method:
    """The method with initial weights, on the device of this process."""
    return apply_compute(build_method(record, seed=record.seed).to(fabric.device), record)


def _with_whole_weights(fabric: Fabric, loop: StageLoop, earlier: Sequence[Stage]) -> StageLoop:
    """The loop itself; a new one, of a new method with what earlier stages trained, where weights were divided."""
    if not loop.divides_weights:  # which cannot be undone
        return loop
    method = _built(fabric, loop.record)
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
