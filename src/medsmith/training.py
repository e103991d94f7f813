"""Training of any method; the only file that knows the engine (Lightning Fabric).

Batches, times and noise are pure functions of (seed, stage, step), so a run that is killed and started again walks the
same path to the same bytes on a CPU.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import final

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy
from torch import Tensor

from medsmith.budget import Budget as Budget
from medsmith.checkpoints import RunRecord, build_method, put_weights, save_weights
from medsmith.cohort import Cohort
from medsmith.data.batches import Batches, Example
from medsmith.data.similarity import copy_threshold, thumbnails
from medsmith.diffusion import derive_seed
from medsmith.errors import MedsmithError, RequestError, RunError, TrainingError
from medsmith.formats.atomic import write_bytes
from medsmith.interruption import held_back, interrupting_children
from medsmith.method import Method
from medsmith.methods import method_class
from medsmith.optimisation import Trainees, below
from medsmith.progress import Progress, Silent
from medsmith.runs import SAMPLES, Checkpoint, Metrics, StageCheckpoints, claimed, model_card
from medsmith.samples import write_samples
from medsmith.starting import start_run

LOG_EVERY = 20
SAMPLE_SHEETS = 4


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
    folder, budget = Path(run), budget or Budget()
    _check_stage(method, budget.stage)
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    with claimed(folder):
        record = start_run(method, cohort, folder, preset, settings, seed, accelerator)
        record.compute.check(record.fingerprint.dimensions, accelerator)
        _check_devices(devices, record)
        strategy = _spread(method) if devices > 1 else "auto"
        fabric = Fabric(accelerator=accelerator, devices=devices, strategy=strategy, precision="32-true")
        with interrupting_children():
            error = fabric.launch(_train_all, record, cohort, folder, budget, progress or Silent())
    if error is not None:
        raise error
    return folder


def _check_stage(method: str, stage: str | None) -> None:
    stages = method_class(method).stages
    if stage is not None and stage not in stages:
        raise RequestError(method, f"no stage '{stage}'", f"there are {', '.join(stages)}")


def _check_devices(devices: int, record: RunRecord) -> None:
    """Every device takes the same share of a batch, or means over devices would not be means over cases."""
    if devices == 1:
        return
    batch = build_method(record).config.training.batch
    if devices < 1 or batch % devices:
        found = f"training.batch = {batch} is no multiple of {devices} devices"
        raise RequestError("devices", found, cure="choose another number of devices")


def _spread(method: str) -> DDPStrategy:
    """One process per device. A loss of one of several parts leaves the gradients of the others out."""
    several = any(len(parts) > 1 for parts in method_class(method).stages.values())
    return DDPStrategy(start_method="spawn", find_unused_parameters=several)


def _train_all(
    fabric: Fabric, record: RunRecord, cohort: Cohort, folder: Path, budget: Budget, progress: Progress
) -> MedsmithError | KeyboardInterrupt | None:
    """Every stage in turn. What the user must see is returned, so that it crosses process borders as it is."""
    try:
        method = record.compute.lay_out(build_method(record, seed=record.seed)).to(fabric.device)
        examples = [method.prepare(case) for case in cohort]
        method.memory = method.remember(examples)
        training = method.config.training
        reached: dict[str, Checkpoint] = {}
        planned = method.planned_stages()
        for name in planned:
            stage = _Stage(fabric, record, method, name, folder)
            if budget.stage in (None, name):
                used = _used(method, name, dict(zip(cohort.ids, examples, strict=True)))
                batches = Batches([*used.values()], training.batch, derive_seed(record.seed, name), training.flips)
                stage.train(batches, [*used], budget, progress if fabric.is_global_zero else Silent())
            fabric.barrier()  # what the first process has saved, all read
            found = stage.take_trained()
            if found is not None:
                reached[name] = found
            elif budget.stage and name in method.needs(budget.stage):
                raise RunError(folder, f"stage '{name}' is not trained", cure=f"train it first: --stage {name}")
        if fabric.is_global_zero and len(reached) == len(planned):
            _finish(record, method, cohort, folder, reached)
    except (MedsmithError, KeyboardInterrupt) as error:
        return error
    return None


def _used(method: Method, stage: str, examples: Mapping[str, Example]) -> dict[str, Example]:
    """The cases that a stage learns from, by id."""
    used = {id: example for id, example in examples.items() if method.uses(stage, example)}
    if not used:
        found = f"none of {len(examples)} cases can be used"
        raise TrainingError(f"stage '{stage}'", found, cure="add cases that have both image and labels")
    return used


def _finish(record: RunRecord, method: Method, cohort: Cohort, folder: Path, reached: Mapping[str, Checkpoint]) -> None:
    if method.checks is None or "not_a_copy" in method.checks:
        small = thumbnails(cohort[id].require_image() for id in cohort.ids_with_image)
        copies = {"thumbnails": torch.from_numpy(small), "copy_threshold": torch.tensor(copy_threshold(small))}
        method.memory = {**method.memory, **copies}
    write_bytes(folder / "README.md", model_card(record, reached, method.config.size).encode())
    save_weights(folder, method, record)


@final
class _Stage:
    """Training of the parts of one stage, from their checkpoint or from the start."""

    def __init__(self, fabric: Fabric, record: RunRecord, method: Method, stage: str, folder: Path) -> None:
        self._fabric, self._record, self._method, self._stage, self._folder = fabric, record, method, stage, folder
        self._checkpoints, self._metrics = StageCheckpoints(folder, stage), Metrics(folder)
        self._step = self._saved = 0
        self._seconds = 0.0

    def take_trained(self) -> Checkpoint | None:
        """Put the averaged weights that were reached into the method; None if the stage was never trained."""
        found = self._checkpoints.newest()
        if found is None:
            return None
        tensors, checkpoint = found
        for name in self._method.stages[self._stage]:
            put_weights(self._method.part(name), below(tensors, f"ema.{name}."), self._folder)
        return checkpoint

    def train(self, batches: Batches, ids: Sequence[str], budget: Budget, progress: Progress) -> None:
        """Train to the end of the budget and save.

        Raises:
            TrainingError: the loss stopped being finite.
            KeyboardInterrupt: an interrupt came; the step it came in was finished, and saved.
        """
        training = self._method.config.training
        self._trainees = Trainees(self._method, self._method.stages[self._stage], training)
        engines = self._fabric.setup(self._method, *self._trainees.optimisers.values())
        self._wrapped, self._engines = engines[0], dict(zip(self._trainees.parts, engines[1:], strict=True))
        self._restore()
        name = f"{self._record.method}: {self._stage}"
        target = budget.steps or training.steps
        with progress.task(name, target, self._step) as advance, held_back() as interrupted:
            for losses in self._steps(batches, ids, budget, interrupted):
                advance(1, " ".join(f"{part} {loss:.4f}" for part, loss in losses.items()))
            self._save()
            stopped = self._agreed(interrupted())
        if stopped:
            raise KeyboardInterrupt

    def _restore(self) -> None:
        found = self._checkpoints.newest()
        if found is not None:
            tensors, checkpoint = found
            self._step, self._seconds = checkpoint.step, checkpoint.seconds
            self._trainees.restore(tensors, self._step, self._folder)
        self._saved = self._step
        if self._fabric.is_global_zero:
            self._metrics.rewind(self._stage, self._step)

    def _save(self) -> None:
        if self._fabric.is_global_zero and self._step > self._saved:
            self._checkpoints.save(self._trainees.tensors(), self._step, self._seconds)
            self._saved = self._step

    def _steps(
        self, batches: Batches, ids: Sequence[str], budget: Budget, interrupted: Callable[[], bool]
    ) -> Iterator[dict[str, float]]:
        """Yields the losses of each step, once it is logged and, when its time has come, saved."""
        earlier, started = self._seconds, monotonic()
        last_save, share = started, self._share_spent(budget)
        while not self._agreed(share >= 1 or interrupted()):
            losses = self._one_step(batches, ids)
            self._step += 1
            now = monotonic()
            self._seconds = earlier + now - started
            before, share = share, self._share_spent(budget)
            if self._fabric.is_global_zero:
                self._report(losses, before, share)
            if now - last_save > budget.checkpoint_seconds:
                self._save()
                last_save = now
            yield losses

    def _share_spent(self, budget: Budget) -> float:
        planned, stages = self._method.config.training.steps, len(self._method.planned_stages())
        return budget.share_spent(self._step, self._seconds, planned, stages)

    def _agreed(self, wish: bool) -> bool:
        """Whether any process wishes it: one that stopped alone would leave the others waiting."""
        if self._fabric.world_size == 1:
            return wish
        most = self._fabric.all_reduce(torch.tensor(float(wish), device=self._fabric.device), reduce_op="max")
        return bool(torch.as_tensor(most) > 0)

    def _report(self, losses: Mapping[str, float], before: float, share: float) -> None:
        """The metrics of some steps, and pictures at each quarter of the budget of the last stage."""
        if self._step % LOG_EVERY == 0 or share >= 1:
            self._metrics.append(stage=self._stage, step=self._step, seconds=round(self._seconds, 2), **losses)
        is_last_stage = self._stage == self._method.planned_stages()[-1]
        if is_last_stage and int(share * SAMPLE_SHEETS) > int(before * SAMPLE_SHEETS):
            with self._trainees.averaged():
                write_samples(self._method, self._folder / SAMPLES / f"step-{self._step:08d}.png")

    def _one_step(self, batches: Batches, ids: Sequence[str]) -> dict[str, float]:
        rank, world = self._fabric.global_rank, self._fabric.world_size
        batch = {key: tensor[rank::world].to(self._fabric.device) for key, tensor in batches(self._step).items()}
        self._trainees.set_rate(self._step)
        losses = {}
        for name, part in self._trainees.focused():
            seed = derive_seed(self._record.seed, self._stage, name, self._step, rank) % 2**63
            torch.manual_seed(seed)  # of dropout, if a network has it: a pure function of the step too
            loss = self._wrapped(name, batch, torch.Generator().manual_seed(seed))
            self._fabric.backward(loss)
            engine, limit = self._engines[name], self._method.config.training.clip
            norm = self._fabric.clip_gradients(part, engine, max_norm=limit, error_if_nonfinite=False)
            mean = self._fabric.all_reduce(loss.detach())
            losses[name] = float(mean) if isinstance(mean, Tensor) else math.nan
            if not (math.isfinite(losses[name]) and bool(torch.isfinite(torch.as_tensor(norm)))):
                raise self._broken(name, losses[name], [ids[index] for index in batches.indices(self._step)])
            engine.step()
            engine.zero_grad()
            self._trainees.average(name)
        return losses

    def _broken(self, name: str, loss: float, cases: Sequence[str]) -> TrainingError:
        kept = f"the checkpoint of step {self._saved} is kept" if self._saved else "nothing is saved yet"
        return TrainingError(
            f"{self._folder}, step {self._step} of '{name}'",
            f"loss {loss}, gradient not finite" if math.isfinite(loss) else f"loss {loss}",
            f"batch: {', '.join(cases)}",
            f"{kept}; look at these cases, or lower training.learning_rate",
        )
