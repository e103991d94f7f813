"""Training of one stage: its steps, checkpoints, metrics and previews.

Batches, times and noise are pure functions of (seed, stage, step), so that a run that is killed and started again takes
the same path to the same bytes on a CPU.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import final

import torch
from lightning.fabric import Fabric
from torch import Tensor

from medsmith.data.batches import Batches, Example
from medsmith.diffusion import derive_seed
from medsmith.errors import TrainingError
from medsmith.interruption import held_back
from medsmith.methods.base import Method, Stage
from medsmith.progress import Progress
from medsmith.runs.checkpoints import RunRecord, put_weights
from medsmith.runs.folder import SAMPLES, Checkpoint, Metrics, StageCheckpoints
from medsmith.training.budget import Budget
from medsmith.training.previews import write_samples
from medsmith.training.stage_optimizer import Trainees, below

LOG_EVERY = 20
SAMPLE_SHEETS = 4


@final
class StageLoop:
    """Training of the parts of one stage, from their checkpoint or from the start.

    Args:
        fabric: the engine.
        record: of the run.
        method: whose parts are trained.
        stage: which.
        folder: the run folder.
    """

    def __init__(self, fabric: Fabric, record: RunRecord, method: Method, stage: Stage, folder: Path) -> None:
        self._fabric, self.record, self.method, self.stage, self.folder = fabric, record, method, stage, folder
        self._checkpoints, self._metrics = StageCheckpoints(folder, stage.name), Metrics(folder)
        self._step = self._saved = 0
        self._seconds = 0.0

    def take_trained(self) -> Checkpoint | None:
        """Put the averaged weights that were reached into the method; None if the stage was never trained."""
        found = self._checkpoints.newest()
        if found is None:
            return None
        tensors, checkpoint = found
        for name in self.stage.parts:
            put_weights(self.method.part(name), below(tensors, f"ema.{name}."), self.folder)
        return checkpoint

    def begin(self, examples: Sequence[Example]) -> None:
        """What the method sets before the first step, or what it has set when the stage began."""
        if self._checkpoints.newest() is None:
            before = _buffers(self.method, self.stage)
            memory = self.method.begin(self.stage.name, examples)
            changed = {name: tensor for name, tensor in _buffers(self.method, self.stage).items()
                       if not torch.equal(tensor, before[name])}  # fmt: skip
            self.method.memory = {**self.method.memory, **memory}
            if self._fabric.is_global_zero:
                self._checkpoints.save_begun(memory, changed)
        else:
            self.take_begun()

    def take_begun(self) -> None:
        """Put memory and buffers that were set when the stage began into the method."""
        memory, buffers = self._checkpoints.begun()
        self.method.memory = {**self.method.memory, **memory}
        self.method.load_state_dict(buffers, strict=False)

    def train(self, batches: Batches, ids: Sequence[str], budget: Budget, allowed: float, progress: Progress) -> None:
        """Train to the end of the budget and save.

        Args:
            batches: what is learnt from.
            ids: of the cases behind the batches' indices.
            budget: steps and checkpoints.
            allowed: seconds of this stage.
            progress: where to show progress.

        Raises:
            TrainingError: the loss stopped being finite.
            KeyboardInterrupt: an interrupt came; the step it came in was finished, and saved.
        """
        training = self.method.training_of(self.stage)
        self._budget, self._allowed = budget, allowed
        self._trainees = Trainees(self.method, self.stage.parts, training)
        engines = self._fabric.setup(self.method, *self._trainees.optimisers.values())
        self._wrapped, self._engines = engines[0], dict(zip(self._trainees.parts, engines[1:], strict=True))
        self._restore()
        name = f"{self.record.method}: {self.stage.name}"
        target = budget.steps or training.steps
        with progress.task(name, target, self._step) as advance, held_back() as interrupted:
            for losses in self._steps(batches, ids, interrupted):
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
            self._trainees.restore(tensors, self._step, self.folder)
        self._saved = self._step
        if self._fabric.is_global_zero:
            self._metrics.rewind(self.stage.name, self._step)

    def _save(self) -> None:
        if self._fabric.is_global_zero and self._step > self._saved:
            self._checkpoints.save(self._trainees.tensors(), self._step, self._seconds)
            self._saved = self._step

    def _steps(
        self, batches: Batches, ids: Sequence[str], interrupted: Callable[[], bool]
    ) -> Iterator[dict[str, float]]:
        """Yields the losses of each step, once it is logged and, when its time has come, saved."""
        last_save, share = monotonic(), self._share_spent()
        while not self._agreed(share >= 1 or interrupted()):
            started = monotonic()
            losses = self._one_step(batches, ids)
            self._step += 1
            self._seconds += monotonic() - started
            before, share = share, self._share_spent()
            if self._fabric.is_global_zero:
                self._report(losses, before, share)
            if monotonic() - last_save > self._budget.checkpoint_seconds:
                self._save()
                last_save = monotonic()
            yield losses

    def _share_spent(self) -> float:
        planned = self.method.training_of(self.stage).steps
        return self._budget.share_spent(self._step, self._seconds, planned, self._allowed)

    def _agreed(self, wish: bool) -> bool:
        """Whether any process wishes it: one that stopped alone would leave the others waiting."""
        if self._fabric.world_size == 1:
            return wish
        most = self._fabric.all_reduce(torch.tensor(float(wish), device=self._fabric.device), reduce_op="max")
        return bool(torch.as_tensor(most) > 0)

    def _report(self, losses: Mapping[str, float], before: float, share: float) -> None:
        """The metrics of some steps, and previews at each quarter of the budget of the last stage."""
        if self._step % LOG_EVERY == 0 or share >= 1:
            self._metrics.append(stage=self.stage.name, step=self._step, seconds=round(self._seconds, 2), **losses)
        is_last_stage = self.stage == self.method.stages()[-1]
        if is_last_stage and int(share * SAMPLE_SHEETS) > int(before * SAMPLE_SHEETS):
            with self._trainees.averaged():
                write_samples(self.method, self.folder / SAMPLES / f"step-{self._step:08d}.png")

    def _one_step(self, batches: Batches, ids: Sequence[str]) -> dict[str, float]:
        rank, world = self._fabric.global_rank, self._fabric.world_size
        batch = {key: tensor[rank::world].to(self._fabric.device) for key, tensor in batches(self._step).items()}
        self._trainees.set_rate(self._step)
        losses = {}
        for name, part in self._trainees.focused():
            seed = derive_seed(self.record.seed, self.stage.name, name, self._step, rank) % 2**63
            torch.manual_seed(seed)  # of dropout, if a network has it: a pure function of the step too
            loss = self._wrapped(name, batch, torch.Generator().manual_seed(seed))
            self._fabric.backward(loss)
            engine, limit = self._engines[name], self.method.training_of(self.stage).clip
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
            f"{self.folder}, step {self._step} of '{name}'",
            f"loss {loss}, gradient not finite" if math.isfinite(loss) else f"loss {loss}",
            f"batch: {', '.join(cases)}",
            f"{kept}; look at these cases, or lower training.learning_rate",
        )


def _buffers(method: Method, stage: Stage) -> dict[str, Tensor]:
    """A copy of all buffers outside a stage's own parts, whose checkpoints hold theirs."""
    own = tuple(f"{part}." for part in stage.parts)
    return {name: tensor.clone() for name, tensor in method.named_buffers() if not name.startswith(own)}
