"""Training of any method: one call, from the lock of the run folder to what it reached."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic

import torch
from lightning.fabric import Fabric

from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.data.case_cache import cached_cases
from medsmith.data.example_store import COMPLETE, ExampleStore
from medsmith.errors import MedsmithError, counted
from medsmith.formats.folders import check_outside
from medsmith.interruption import interrupting_children
from medsmith.progress import NullProgress, Progress, silent
from medsmith.runs.checkpoints import RunRecord, build_method, is_finished
from medsmith.runs.folder import DECODED, EXAMPLES, lock_run, removed_if_refused
from medsmith.runs.log_file import LOG, LogFile, LoggedProgress
from medsmith.runs.steps import StageSteps
from medsmith.started_processes import StartedProcesses, started_processes, together
from medsmith.training.all_stages import train_all_stages
from medsmith.training.budget import Budget as Budget
from medsmith.training.devices import check_batches, device_count, engine
from medsmith.training.examples import prepared_examples
from medsmith.training.forecast import start_line
from medsmith.training.outcome import Outcome
from medsmith.training.shared_folder import await_shared
from medsmith.training.start import RunRequest, check_folder, start_run
from medsmith.training.started_from import settings_like


def train(  # noqa: PLR0913
    method: str,
    cohort: CohortLike,
    run: Path | str,
    *,
    preset: str = "tiny",
    settings: Sequence[str] = (),
    seed: int = 0,
    budget: Budget | None = None,
    devices: int | None = None,
    start_from: Path | str | None = None,
    progress: Progress | None = None,
    report: Callable[[str], None] = silent,
) -> Path:
    """Train a method on a cohort, or continue where an earlier call was stopped; returns the run folder.

    Interruptions take effect when the current step is done and saved. With several devices a script must guard the call
    by ``if __name__ == "__main__"``, since every process imports it. Where torchrun or srun starts the processes, each
    makes the same call; the first alone writes and reports.

    Args:
        method: name of the method.
        cohort: annotated cases, or their folder.
        run: the run folder; made if missing.
        preset: which of the method's presets to start from.
        settings: changes to it, ``key=value``.
        seed: of initial weights, batches and noise.
        budget: how long to train.
        devices: processes, one per GPU where there are GPUs; None takes those that torchrun or srun started, or one.
        start_from: a run folder, or the name of shipped weights, whose weights are trained on instead of random ones;
            preset and settings are then theirs. Stages that the budget leaves out keep them.
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
        start_from=start_from,
        progress=progress,
        report=report,
    )
    for line in outcome.lines:
        report(line)
    return outcome.run


def train_stages(  # noqa: PLR0913
    method: str,
    cohort: CohortLike,
    run: Path | str,
    *,
    preset: str = "tiny",
    settings: Sequence[str] = (),
    seed: int = 0,
    budget: Budget | None = None,
    devices: int | None = None,
    start_from: Path | str | None = None,
    progress: Progress | None = None,
    report: Callable[[str], None] = silent,
) -> Outcome:
    """As ``train``, arguments and errors included; how far the stages are trained is returned, not reported."""
    group, budget = started_processes(), budget or Budget()
    started = monotonic() if budget.started is None else budget.started
    with together(group):
        cohort, folder, progress = as_cohort(cohort), Path(run), progress or NullProgress()
        check_outside(folder, (cohort.root,))
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
        count = device_count(devices, accelerator)
        if group and not group.is_first:
            return _follow(group, folder, accelerator, budget, started)
        if start_from is not None:
            preset, settings = settings_like(start_from, method, settings)
        request = RunRequest(
            method, preset, tuple(settings), seed, budget.stage, accelerator, budget, started, start_from
        )
        return _lead(group, request, cohort, folder, count, progress, report)


def _lead(
    group: StartedProcesses | None,
    request: RunRequest,
    cohort: Cohort,
    folder: Path,
    count: int,
    progress: Progress,
    report: Callable[[str], None],
) -> Outcome:
    """The part of the process that locks, reads and writes: of the first, or of the one that is alone."""
    accelerator, budget = request.device, request.budget
    with lock_run(folder), ExitStack() as logged:
        check_folder(folder)
        logged.enter_context(removed_if_refused(folder))
        log = LogFile(folder / LOG)
        with cached_cases(cohort, folder / EXAMPLES / DECODED) as cases:
            record = start_run(request, cohort, folder, cases, progress)
            trained_on = f"{counted(len(cohort), 'case')}, seed {request.seed}, {counted(count, 'device')}"
            logged.enter_context(log.call(f"train {request.method} on {trained_on}"))
            progress, report = LoggedProgress(progress, log), log.with_report(report)
            _check_compute(record, accelerator)
            untrained = build_method(record)
            check_batches(count, untrained)
            store = prepared_examples(record, untrained, cohort.ids, cases, folder, progress)
        fabric = engine(untrained, accelerator, count, group)
        with interrupting_children():
            report(start_line(untrained, record.preset, accelerator, budget))
            if group:
                group.tell({"record": record.model_dump(mode="json"), "examples": store.folder.name})
                group.get_ready()
            steps = _trained(fabric, record, store, folder, budget, request.started, progress, report)
        outcome = Outcome(folder, steps, budget, is_finished(folder))
        for line in outcome.lines:
            log.line(line)
    return outcome


def _follow(group: StartedProcesses, folder: Path, accelerator: str, budget: Budget, started: float) -> Outcome:
    """The part of a process that others lead: it trains as the first one says, and writes nothing."""
    told = group.told()
    record = RunRecord.model_validate(told["record"])
    examples = folder / EXAMPLES / told["examples"]
    await_shared(examples / COMPLETE, folder)
    fabric = engine(build_method(record), accelerator, group.count, group)
    store = ExampleStore(examples)
    group.get_ready()
    steps = _trained(fabric, record, store, folder, budget, started, NullProgress(), silent)
    return Outcome(folder, steps, budget, is_finished(folder))


def _trained(
    fabric: Fabric,
    record: RunRecord,
    store: ExampleStore,
    folder: Path,
    budget: Budget,
    started: float,
    progress: Progress,
    report: Callable[[str], None],
) -> dict[str, StageSteps]:
    """Trains all stages, in every process; the steps of each stage."""
    # Lightning takes sequences and dataclasses among the arguments apart; those of a partial it leaves alone.
    job = partial(
        train_all_stages,
        record=record,
        store=store,
        folder=folder,
        budget=budget,
        started=started,
        progress=progress,
        report=report,
    )
    error: MedsmithError | KeyboardInterrupt | None
    steps: dict[str, StageSteps]
    error, steps = fabric.launch(job)
    if error is not None:
        raise error
    return steps


def _check_compute(record: RunRecord, accelerator: str) -> None:
    for compute in record.compute.values():
        compute.for_device(accelerator).check(record.fingerprint.dimensions, accelerator)
