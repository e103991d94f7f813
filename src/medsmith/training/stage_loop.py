"""Training of one stage: its steps, checkpoints, metrics and previews.

Batches, times and noise are pure functions of (seed, stage, step), so that a run that is killed and started again ends
in the same bytes on a CPU.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import final

import torch
from jaxtyping import Float
from lightning.fabric import Fabric
from torch import Tensor

from medsmith.data.batches import Batches, Example
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError, TrainingError
from medsmith.interruption import defer_interrupts
from medsmith.methods.base import Method, Stage
from medsmith.networks.divided import whole
from medsmith.networks.recomputation import recomputed_activations
from medsmith.progress import Progress
from medsmith.runs.checkpoints import RunRecord, load_strict
from medsmith.runs.folder import SAMPLES, Checkpoint, Metrics, StageCheckpoints, has_steps
from medsmith.training.agreement import any_process, newest_of_the_first
from medsmith.training.budget import Budget, StageTime
from medsmith.training.forecast import AFTER, stage_line
from medsmith.training.previews import write_previews
from medsmith.training.sharing import Sharded, sharing_of
from medsmith.training.stage_optimizer import StageOptimizer, strip_prefix

LOG_EVERY = 20


@final
class StageLoop:
    """Training of the parts of one stage, from their checkpoint or from the start.

    Args:
        fabric: the engine.
        record: of the run.
        method: contains the parts that are trained.
        stage: the stage that is trained.
        folder: the run folder.
    """

    def __init__(self, fabric: Fabric, record: RunRecord, method: Method, stage: Stage, folder: Path) -> None:
        self._fabric, self.record, self.method, self.stage, self.folder = fabric, record, method, stage, folder
        self._checkpoints, self._metrics = StageCheckpoints(folder, stage.name), Metrics(folder)
        self.divides_weights = False
        """Whether ``train`` has divided the weights of the method among the processes."""
        self._step = self._saved = 0
        self._seconds = 0.0
        self._last: Mapping[str, float] = {}
        """Losses of the newest step of this call."""

    def load_trained(self) -> Checkpoint | None:
        """Load the averaged weights of the newest checkpoint into the method; None if there is no checkpoint."""
        found = newest_of_the_first(self._fabric, self._checkpoints, self.folder)
        if found is None:
            return None
        tensors, checkpoint = found
        for name in self.stage.parts:
            load_strict(self.method.part(name), strip_prefix(tensors, f"ema.{name}."), self.folder)
        return checkpoint

    def begin(self, examples: Sequence[Example]) -> None:
        """Call the method's ``begin`` before the first step; restore what it set if the stage has a checkpoint."""
        if newest_of_the_first(self._fabric, self._checkpoints, self.folder) is None:
            before = _buffers(self.method, self.stage)
            memory = self.method.begin(self.stage.name, examples)
            set_buffers = {name: tensor for name, tensor in _buffers(self.method, self.stage).items()
                       if not torch.equal(tensor, before[name])}  # fmt: skip
            self.method.memory = {**self.method.memory, **memory}
            if self._fabric.is_global_zero:
                self._checkpoints.save_initial(memory, set_buffers)
        else:
            self.load_initial()

    def load_initial(self) -> None:
        """Load the memory and buffers that were set when the stage began into the method."""
        memory, buffers = self._checkpoints.initial()
        self.method.memory = {**self.method.memory, **memory}
        self.method.load_state_dict(buffers, strict=False)

    def train(
        self,
        batches: Batches,
        ids: Sequence[str],
        budget: Budget,
        time: StageTime,
        progress: Progress,
        report: Callable[[str], None],
    ) -> None:
        """Train to the end of the budget and save.

        Args:
            batches: training data.
            ids: of the cases behind the batches' indices.
            budget: number of steps and time between checkpoints.
            time: that this stage may take.
            progress: where to show progress.
            report: receives one line on what the stage will take, after its first steps.

        Raises:
            TrainingError: the loss stopped being finite.
            KeyboardInterrupt: a signal came; the current step was finished and saved.
        """
        training = self.method.training_of(self.stage)
        self._budget, self._time = budget, time
        self._sharing = sharing_of(self._fabric, self.method, self.stage)
        self.divides_weights = isinstance(self._sharing, Sharded)
        self._optimizer = StageOptimizer(self.method, self.stage.parts, training, self._sharing.divide)
        self._wrapped, engines = self._sharing.set_up(self.method, tuple(self._optimizer.optimizers.values()))
        self._engines = dict(zip(self._optimizer.parts, engines, strict=True))
        self._restore()
        places = [stage.name for stage in self.method.stages()]
        place = f" ({places.index(self.stage.name) + 1} of {len(places)})" if len(places) > 1 else ""
        name = f"{self.record.method}: {self.stage.name}{place}"
        target = budget.steps or training.steps
        first, warm = self._step, 0.0
        activations = recomputed_activations if training.activations == "recomputed" else nullcontext
        with (
            activations(self.method),
            progress.task(name, target, self._step, self._seconds_left) as advance,
            defer_interrupts() as interrupted,
        ):
            for losses in self._steps(batches, ids, interrupted):
                warm = self._seconds if self._step == first + 1 else warm
                if self._step == first + AFTER < target:
                    report(self._forecast(target, (self._seconds - warm) / (AFTER - 1)))
                advance(1, " ".join(f"{part} {loss:.4f}" for part, loss in losses.items()))
            self._save()
            stopped = any_process(self._fabric, interrupted())
        if stopped:
            raise KeyboardInterrupt

    def finish_without_steps(self) -> None:
        """Save a stage without parts, whose ``begin`` was all there is to do."""
        if self._fabric.is_global_zero and self._checkpoints.newest() is None:
            self._checkpoints.save({}, self.method.training_of(self.stage).steps, 0.0)

    def _forecast(self, target: int, seconds: float) -> str:
        device, left = self._fabric.device.type, self._seconds_left()
        return stage_line(self.stage.name, target - self._step, seconds, left, device, datetime.now().astimezone())

    def _restore(self) -> None:
        found = newest_of_the_first(self._fabric, self._checkpoints, self.folder)
        if found is not None:
            tensors, checkpoint = found
            self._step, self._seconds = checkpoint.step, checkpoint.seconds
            self._optimizer.restore(tensors, self._step, self.folder)
        self._saved = self._restored = self._step
        if self._fabric.is_global_zero:
            self._metrics.rewind(self.stage.name, self._step)

    def _save(self) -> None:
        if self._step > self._saved:
            kept: dict[str, Tensor] = {}
            for name, tensor in self._optimizer.tensors().items():
                found = whole(tensor)  # one at a time, since a device may not have memory for all
                if self._fabric.is_global_zero:
                    kept[name] = found.cpu()
            if self._fabric.is_global_zero:
                self._checkpoints.save(kept, self._step, self._seconds)
            self._saved = self._step

    def _steps(
        self, batches: Batches, ids: Sequence[str], interrupted: Callable[[], bool]
    ) -> Iterator[dict[str, float]]:
        """Yield the losses of each step, after it is logged and, if due, saved."""
        last_save, share = monotonic(), self._share_spent()
        while not any_process(self._fabric, share >= 1 or interrupted()):
            started = monotonic()
            if self._fabric.is_global_zero and self._step == self._restored:
                self._metrics.drop_ends(self.stage.name, LOG_EVERY)
            try:
                losses = self._one_step(batches, ids)
            except Exception:
                self._log_last()
                raise
            self._step, self._last = self._step + 1, losses
            self._seconds += monotonic() - started
            before, share = share, self._share_spent()
            if self._fabric.is_global_zero:
                self._report(losses, before, share)
            if any_process(self._fabric, monotonic() - last_save > self._budget.checkpoint_seconds):
                self._save()
                last_save = monotonic()
            yield losses

    def _log_last(self) -> None:
        """Log the step before one that failed: it shows how the losses went there."""
        if self._last and self._fabric.is_global_zero and self._step % LOG_EVERY:
            self._append(self._last)

    def _append(self, losses: Mapping[str, float]) -> None:
        self._metrics.append(stage=self.stage.name, step=self._step, seconds=round(self._seconds, 2), **losses)

    def _seconds_left(self) -> float:
        return self._time.left(self._seconds, monotonic())

    def _share_spent(self) -> float:
        planned = self.method.training_of(self.stage).steps
        spent = self._budget.share_spent(self._step, self._seconds, planned, self._time.allowed)
        return max(spent, self._time.share_elapsed(monotonic()))

    def _report(self, losses: Mapping[str, float], before: float, share: float) -> None:
        """Log metrics, and write previews of the last stage, at equal shares of its budget."""
        if self._step % LOG_EVERY == 0 or share >= 1:
            self._append(losses)
        pictured = self.stage == self.method.stages()[-1] and not self.divides_weights
        if pictured and int(share * self._time.previews) > int(before * self._time.previews):
            # a method may refuse an empty request; training goes on without previews
            with self._optimizer.averaged(), suppress(RequestError):
                write_previews(self.method, self.folder / SAMPLES / f"step-{self._step:08d}.png", self._step)

    def _one_step(self, batches: Batches, ids: Sequence[str]) -> dict[str, float]:
        batch = batches(self._step, self._fabric.global_rank, self._fabric.world_size)
        self._optimizer.set_rate(self._step)
        losses = {}
        for name, part in self._optimizer.parts_in_turn():
            loss = self._gradients(name, batch)
            engine, limit = self._engines[name], self.method.training_of(self.stage).clip
            found = self._fabric.clip_gradients(part, engine, max_norm=limit, error_if_nonfinite=False)
            norm = whole(torch.as_tensor(found))
            mean = self._fabric.all_reduce(loss)
            losses[name] = float(mean) if isinstance(mean, Tensor) else math.nan
            if not (math.isfinite(losses[name]) and bool(torch.isfinite(norm))):
                raise self._not_finite(name, losses[name], [ids[index] for index in batches.indices(self._step)])
            engine.step()
            engine.zero_grad()
            self._optimizer.update_average(name)
        return losses

    def _gradients(self, name: str, batch: Example) -> Float[Tensor, ""]:
        """Mean loss over the parts of this process's share of a batch; their gradients are averaged.

        Parts of all processes count through, so that noise depends on the part, not on the process that has it.
        """
        count = self.method.training_of(self.stage).accumulate
        rank, world = self._fabric.global_rank, self._fabric.world_size
        total = torch.zeros((), device=self._fabric.device)
        for index in range(count):
            number = rank + world * index
            own = {key: tensor[index::count].to(self._fabric.device) for key, tensor in batch.items()}
            seed = derive_seed(self.record.seed, self.stage.name, name, self._step, number) % 2**63
            torch.manual_seed(seed)  # for dropout: a pure function of the step too
            with self._sharing.without_averaging(self._wrapped, enabled=index < count - 1):
                loss = self._wrapped(name, own, torch.Generator().manual_seed(seed)) / count
                self._fabric.backward(loss)
            total += loss.detach()
        return total

    def _not_finite(self, name: str, loss: float, cases: Sequence[str]) -> TrainingError:
        kept = f"the checkpoint of step {self._saved} is kept" if self._saved else "no checkpoint is saved yet"
        elsewhere = " in another run folder" if has_steps(self.folder) else ""
        return TrainingError(
            f"{self.folder}, step {self._step} of '{name}'",
            f"loss {loss}, gradient not finite" if math.isfinite(loss) else f"loss {loss}",
            f"batch: {', '.join(cases)}",
            f"{kept}; look at these cases, or lower training.learning_rate{elsewhere}",
        )


def _buffers(method: Method, stage: Stage) -> dict[str, Tensor]:
    """A copy of all buffers outside the parts of a stage; those are in its checkpoints."""
    own = tuple(f"{part}." for part in stage.parts)
    return {name: tensor.clone() for name, tensor in method.named_buffers() if not name.startswith(own)}
