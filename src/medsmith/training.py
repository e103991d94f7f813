"""Training of any method; the only file that knows the engine (Lightning Fabric).

Batches, times and noise are pure functions of (seed, stage, step), so a run that is killed and started again walks the
same path to the same bytes on a CPU.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from lightning.fabric import Fabric
from torch import Tensor

from medsmith.checkpoints import RunRecord, build_method, library_versions, put_weights, read_record, save_weights
from medsmith.cohort import Cohort
from medsmith.compute import Compute, measured
from medsmith.config import changed
from medsmith.data.batches import Batches
from medsmith.data.fingerprint import take_fingerprint
from medsmith.data.similarity import copy_threshold, thumbnails
from medsmith.diffusion import derive_seed
from medsmith.errors import MedsmithError, RequestError, RunError, TrainingError
from medsmith.formats.atomic import write_bytes, write_json
from medsmith.method import Method
from medsmith.methods import method_class
from medsmith.optimisation import Trainees, below
from medsmith.progress import Progress, Silent
from medsmith.runs import Metrics, StageCheckpoints, model_card
from medsmith.samples import write_samples

LOG_EVERY = 20
SAMPLE_AT = (0.25, 0.5, 0.75, 1.0)


@final
@dataclass(frozen=True)
class Budget:
    """How long to train; whatever is reached first ends a stage.

    Attributes:
        steps: steps of each stage; None takes the config's.
        minutes: minutes of all stages together, those of earlier calls counted in.
        stage: the one stage to train; None trains all in order.
        checkpoint_seconds: time between checkpoints.
    """

    steps: int | None = None
    minutes: float | None = None
    stage: str | None = None
    checkpoint_seconds: float = 60.0


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
        RequestError: an unknown method, preset, setting or stage.
        RunError: the folder holds a run that differs in the method, its config, its seed or its cohort.
        TrainingError: the loss stopped being finite.
    """
    folder = Path(run)
    record = _record(method, cohort, folder, preset, settings, seed)
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    strategy = "ddp_spawn" if devices > 1 else "auto"
    fabric = Fabric(accelerator=accelerator, devices=devices, strategy=strategy, precision="32-true")
    error = fabric.launch(_train_all, record, cohort, folder, budget or Budget(), progress or Silent())
    if error is not None:
        raise error
    return folder


def _record(method: str, cohort: Cohort, folder: Path, preset: str, settings: Sequence[str], seed: int) -> RunRecord:
    """The record of a new run, or that of the folder if it says the same."""
    kind = method_class(method)
    if preset not in kind.presets:
        raise RequestError(method, f"no preset '{preset}'", f"there are {', '.join(kind.presets)}")
    config = changed(kind.presets[preset], settings).model_dump(mode="json")
    wanted = {"method": method, "preset": preset, "config": config, "seed": seed}
    cohort_hash = cohort.content_hash()
    if (folder / "run.json").is_file():
        record = read_record(folder)
        for key, value in wanted.items():
            if getattr(record, key) != value:
                raise RunError(folder, f"was started with another {key}", cure="choose another run folder")
        if record.fingerprint.cohort_hash != cohort_hash:
            raise RunError(folder, "was started on another cohort", cure="choose another run folder")
        return record
    fingerprint = take_fingerprint(cohort, cohort.file_ending, cohort_hash)
    record = RunRecord(
        method=method,
        preset=preset,
        config=config,
        seed=seed,
        fingerprint=fingerprint,
        compute=Compute(),
        versions=library_versions(),
    )
    record = record.model_copy(update={"compute": _choose_compute(record, cohort)})
    write_json(folder / "run.json", record.model_dump(mode="json"))
    return record


def _choose_compute(record: RunRecord, cohort: Cohort) -> Compute:
    """Number format and layout of the run: as configured, or the fastest of a few training steps."""
    method = build_method(record, seed=0)
    training = method.config.training
    if training.precision != "measured":
        return Compute(precision=training.precision)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    few = [method.prepare(cohort[id]) for id in cohort.ids[: training.batch]]
    batch = {key: tensor.to(device) for key, tensor in Batches(few, training.batch, 0)(0).items()}
    part = next(iter(method.stages.values()))[0]
    method.to(device)

    def step(candidate: Compute) -> None:
        method.compute = candidate
        candidate.lay_out(method)
        torch.autograd.backward(method.loss(part, batch, torch.Generator().manual_seed(0)))

    return measured(step, record.fingerprint.dimensions, device)


def _train_all(
    fabric: Fabric, record: RunRecord, cohort: Cohort, folder: Path, budget: Budget, progress: Progress
) -> MedsmithError | None:
    """Every stage in turn. A user's error is returned, so that it crosses process borders as it is."""
    try:
        method = record.compute.lay_out(build_method(record, seed=record.seed))
        assert isinstance(method, Method)
        if budget.stage is not None and budget.stage not in method.stages:
            raise RequestError(record.method, f"no stage '{budget.stage}'", f"there are {', '.join(method.stages)}")
        examples = [method.prepare(case) for case in cohort]
        method.memory = method.remember(examples)
        training = method.config.training
        finished: dict[str, Mapping[str, Any]] = {}
        for name in method.stages:
            stage = _Stage(fabric, record, method, name, folder)
            if budget.stage in (None, name):
                batches = Batches(examples, training.batch, derive_seed(record.seed, name), training.flips)
                finished[name] = stage.train(batches, cohort.ids, budget, progress)
            else:
                finished[name] = stage.take_trained()
            if name == budget.stage:
                break
        if fabric.is_global_zero and len(finished) == len(method.stages):
            _finish(record, method, cohort, folder, finished)
    except MedsmithError as error:
        return error
    return None


def _finish(
    record: RunRecord, method: Method, cohort: Cohort, folder: Path, finished: Mapping[str, Mapping[str, Any]]
) -> None:
    small = thumbnails(case.image for case in cohort)
    method.memory = {
        **method.memory,
        "thumbnails": torch.from_numpy(small),
        "copy_threshold": torch.tensor(copy_threshold(small)),
    }
    write_bytes(folder / "README.md", model_card(record, finished).encode())
    save_weights(folder, method, record)


@final
class _Stage:
    """Training of the parts of one stage, from their checkpoint or from the start."""

    def __init__(self, fabric: Fabric, record: RunRecord, method: Method, stage: str, folder: Path) -> None:
        self._fabric, self._record, self._method, self._stage, self._folder = fabric, record, method, stage, folder
        self._checkpoints, self._metrics = StageCheckpoints(folder, stage), Metrics(folder)
        self._step = self._saved = 0
        self._seconds = 0.0

    def take_trained(self) -> Mapping[str, Any]:
        """Use the weights that an earlier call reached.

        Raises:
            RunError: the stage was never trained.
        """
        found = self._checkpoints.newest()
        if found is None:
            raise RunError(self._folder, f"stage '{self._stage}' is not trained", cure=f"first --stage {self._stage}")
        for name in self._method.stages[self._stage]:
            put_weights(self._method.part(name), below(found[0], f"ema.{name}."), self._folder)
        return found[1]

    def train(self, batches: Batches, ids: Sequence[str], budget: Budget, progress: Progress) -> Mapping[str, Any]:
        """Train to the end of the budget; leaves the averaged weights in the method."""
        training = self._method.config.training
        self._trainees = Trainees(self._method, self._method.stages[self._stage], training)
        engines = self._fabric.setup(self._method, *self._trainees.optimisers.values())
        self._wrapped, self._engines = engines[0], dict(zip(self._trainees.parts, engines[1:], strict=True))
        self._restore()
        target = budget.steps or training.steps
        allowed = (budget.minutes or math.inf) * 60 / (1 if budget.stage else len(self._method.stages))
        with progress.task(f"{self._record.method}: {self._stage}", target, self._step) as advance:
            try:
                for losses in self._steps(batches, ids, target, allowed, budget.checkpoint_seconds):
                    advance(1, " ".join(f"{name} {loss:.4f}" for name, loss in losses.items()))
            except KeyboardInterrupt:
                self._save()
                raise
        self._save()
        self._trainees.take_averages()
        return {"step": self._step, "seconds": self._seconds}

    def _restore(self) -> None:
        found = self._checkpoints.newest()
        if found is not None:
            tensors, entry = found
            self._step, self._seconds = entry["step"], entry["seconds"]
            self._trainees.restore(tensors, self._step, self._folder)
        self._saved = self._step
        if self._fabric.is_global_zero:
            self._metrics.rewind(self._stage, self._step)

    def _save(self) -> None:
        if self._fabric.is_global_zero and self._step > self._saved:
            self._checkpoints.save(self._trainees.tensors(), self._step, self._seconds)
            self._saved = self._step

    def _steps(
        self, batches: Batches, ids: Sequence[str], target: int, allowed: float, interval: float
    ) -> Iterator[dict[str, float]]:
        """Yields the losses of each step."""
        earlier, started = self._seconds, time.monotonic()
        last_save = started
        is_last_stage = self._stage == [*self._method.stages][-1]
        sample_at = {round(target * share) for share in SAMPLE_AT} if is_last_stage else set()
        while self._step < target and self._seconds < allowed:
            losses = self._one_step(batches, ids)
            self._step += 1
            now = time.monotonic()
            self._seconds = earlier + now - started
            if self._fabric.is_global_zero and (self._step % LOG_EVERY == 0 or self._step == target):
                self._metrics.append(stage=self._stage, step=self._step, seconds=round(self._seconds, 2), **losses)
            if now - last_save > interval:
                self._save()
                last_save = now
            if self._fabric.is_global_zero and self._step in sample_at:
                with self._trainees.averaged():
                    write_samples(self._method, self._folder / "samples" / f"step-{self._step:08d}.png")
            yield losses

    def _one_step(self, batches: Batches, ids: Sequence[str]) -> dict[str, float]:
        rank, world = self._fabric.global_rank, self._fabric.world_size
        batch = {key: tensor[rank::world].to(self._fabric.device) for key, tensor in batches(self._step).items()}
        self._trainees.set_rate(self._step)
        losses = {}
        for name, part in self._trainees.parts.items():
            seed = derive_seed(self._record.seed, self._stage, name, self._step, rank)
            loss = self._wrapped(name, batch, torch.Generator().manual_seed(seed % 2**63))
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
        return TrainingError(
            f"{self._folder}, step {self._step} of '{name}'",
            f"loss {loss}, gradient not finite" if math.isfinite(loss) else f"loss {loss}",
            f"batch: {', '.join(cases)}",
            f"the checkpoint of step {self._saved} is kept; look at these cases, or lower training.learning_rate",
        )
