"""Training of any method; with ``stage_loop`` the only place that knows the engine (Lightning Fabric)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy

from medsmith.cases.cohort import Cohort
from medsmith.data.case_cache import cached_cases
from medsmith.data.example_store import ExampleStore
from medsmith.data.similarity import copy_threshold
from medsmith.errors import MedsmithError, RequestError, RunError
from medsmith.formats.atomic import write_bytes
from medsmith.interruption import interrupting_children
from medsmith.methods.base import Method, Stage
from medsmith.progress import NullProgress, Progress
from medsmith.runs.checkpoints import RunRecord, build_method, lay_out, save_weights
from medsmith.runs.folder import EXAMPLES, Checkpoint, claimed, model_card
from medsmith.training.budget import Budget as Budget
from medsmith.training.examples import (
    THUMBNAIL,
    checks_copies,
    encoded_batches,
    examples_of,
    plain_batches,
    prepared_examples,
)
from medsmith.training.stage_loop import StageLoop
from medsmith.training.start import RunRequest, start_run


def train(
    method: str,
    cohort: Cohort,
    run: Path | str,
    *,
    preset: str = "tiny",
    settings: Sequence[str] = (),
    seed: int = 0,
    budget: Budget | None = None,
    devices: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Train a method on a cohort, or continue where an earlier call was stopped.

    Ctrl-C and SIGTERM take effect when a step is done and saved. With several devices a script must guard its call by
    ``if __name__ == "__main__"``, since every process imports it.

    Args:
        method: name of the method.
        cohort: annotated cases.
        run: the run folder; made if missing.
        preset: which of the method's presets to start from.
        settings: changes to it, ``key=value``.
        seed: of initial weights, batches and noise.
        budget: how long to train.
        devices: processes, one per GPU where there are GPUs.
        progress: where to show progress; None shows nothing.

    Returns:
        The run folder.

    Raises:
        RequestError: an unknown method, preset, setting or stage, or settings that do not fit the cohort or devices.
        RunError: the folder holds a run that differs in the method, its config, its seed or its cohort; another
            process trains in it; its checkpoints are damaged.
        TrainingError: the loss stopped being finite, or this machine computes wrong.
        KeyboardInterrupt: training was interrupted; what was reached is saved.
    """
    folder, budget, shown = Path(run), budget or Budget(), progress or NullProgress()
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    timed = budget.minutes is not None
    request = RunRequest(method, preset, tuple(settings), seed, budget.stage, accelerator, timed)
    with claimed(folder):
        with cached_cases(cohort, folder / EXAMPLES / "decoded") as cases:
            record = start_run(request, cohort, folder, cases, shown)
            for compute in record.compute.values():
                compute.on(accelerator).check(record.fingerprint.dimensions, accelerator)
            fresh = build_method(record)
            _check_devices(devices, fresh)
            store = prepared_examples(record, fresh, cohort.ids, cases, folder, shown)
        strategy = _spread(fresh) if devices > 1 else "auto"
        fabric = Fabric(accelerator=accelerator, devices=devices, strategy=strategy, precision="32-true")
        with interrupting_children():
            error = fabric.launch(_train_all, record, store, folder, budget, shown)
    if error is not None:
        raise error
    return folder


def _check_devices(devices: int, method: Method) -> None:
    """Every device takes the same share of a batch, or means over devices would not be means over cases."""
    for stage in method.stages():
        batch = method.training_of(stage).batch
        if devices != 1 and (devices < 1 or batch % devices):
            found = f"training.batch = {batch} is no multiple of {devices} devices"
            raise RequestError("devices", found, cure="choose another number of devices")


def _spread(method: Method) -> DDPStrategy:
    """One process per device. A loss of one of several parts leaves the gradients of the others out."""
    several = any(len(stage.parts) > 1 for stage in method.stages())
    return DDPStrategy(start_method="spawn", find_unused_parameters=several)


def _train_all(
    fabric: Fabric, record: RunRecord, store: ExampleStore, folder: Path, budget: Budget, progress: Progress
) -> MedsmithError | KeyboardInterrupt | None:
    """Every stage in turn. What the user must see is returned, so that it crosses process borders as it is."""
    try:
        method = lay_out(build_method(record, seed=record.seed).to(fabric.device), record)
        reached: dict[str, Checkpoint] = {}
        stages = method.stages()
        for place, stage in enumerate(stages):
            loop = StageLoop(fabric, record, method, stage, folder)
            if budget.stage in (None, stage.name):
                spent = sum(checkpoint.seconds for checkpoint in reached.values())
                allowed = budget.seconds_for(_need(record, method, stages[place:], budget), spent)
                _train_stage(
                    fabric, loop, store, budget, allowed, progress if fabric.is_global_zero else NullProgress()
                )
            fabric.barrier()  # what the first process has saved, all read
            found = loop.take_trained()
            if found is not None:
                loop.take_begun()
                reached[stage.name] = found
            elif budget.stage and stage.name in _needed(stages, budget.stage):
                cure = f"train it first: --stage {stage.name}"
                raise RunError(folder, f"stage '{stage.name}' is not trained", cure=cure)
        if fabric.is_global_zero and len(reached) == len(stages):
            _finish(record, method, store, folder, reached)
    except (MedsmithError, KeyboardInterrupt) as error:
        return error
    return None


def _train_stage(
    fabric: Fabric, loop: StageLoop, store: ExampleStore, budget: Budget, allowed: float, progress: Progress
) -> None:
    """One stage to the end of its budget; the first process prepares what the others read."""
    method, stage, record = loop.method.eval(), loop.stage, loop.record
    view = examples_of(stage, store)
    loop.begin(view)
    fabric.barrier()  # no process may find a checkpoint of a stage that it has yet to begin
    if not stage.encoded:
        batches = plain_batches(view, method, stage, record.seed)
    else:
        if not fabric.is_global_zero:
            fabric.barrier()
        batches = encoded_batches(view, method, stage, record.seed, loop.folder, progress)
        if fabric.is_global_zero:
            fabric.barrier()
    loop.train(batches, view.ids, budget, allowed, progress)


def _need(record: RunRecord, method: Method, stages: Sequence[Stage], budget: Budget) -> list[float]:
    """Expected seconds of each stage; its steps alone where the time of a step is not known of all of them."""
    seconds = [record.compute[stage.name].seconds_per_step for stage in stages]
    steps = [budget.steps or method.training_of(stage).steps for stage in stages]
    known = [each for each in seconds if each is not None]
    if len(known) < len(seconds):
        return [float(count) for count in steps]
    return [count * each for count, each in zip(steps, known, strict=True)]


def _needed(stages: Sequence[Stage], name: str) -> set[str]:
    """Stages that one needs, and those that they need."""
    direct = {stage.name: stage.needs for stage in stages}[name]
    return {*direct, *(deeper for each in direct for deeper in _needed(stages, each))}


def _finish(
    record: RunRecord, method: Method, store: ExampleStore, folder: Path, reached: Mapping[str, Checkpoint]
) -> None:
    places = [place for place, entry in enumerate(store.entries) if THUMBNAIL in entry.tensors]
    if checks_copies(method) and places:
        small = torch.stack([store.tensor(place, THUMBNAIL) for place in places])
        copies = {"thumbnails": small, "copy_threshold": torch.tensor(copy_threshold(small.numpy()))}
        method.memory = {**method.memory, **copies}
    write_bytes(folder / "README.md", model_card(record, reached, method.config.size).encode())
    save_weights(folder, method, record)
