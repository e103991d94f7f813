"""The trained parts of one stage, their optimizers and moving averages, and their state as tensors."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel

from medsmith.methods.base import Method
from medsmith.methods.config import TrainingConfig
from medsmith.networks.divided import divided_like
from medsmith.runs.checkpoints import load_strict

LAST_SHARE = 0.05
"""Share of the learning rate that is left at the end of a cosine decay, and after it."""


def learning_rate(training: TrainingConfig, step: int) -> float:
    """The learning rate of a step, counted from 0: linear warm-up times the decay."""
    risen = min(1.0, (step + 1) / (training.warm_up + 1))
    if training.decay == "none":
        return training.learning_rate * risen
    done = min(step / training.steps, 1.0)
    left = LAST_SHARE + (1 - LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * done))
    return training.learning_rate * risen * left


def _kept_whole(_module: nn.Module) -> None:
    """Divides nothing."""


@final
class StageOptimizer:
    """Optimizers and moving averages of the parts of one stage; every other weight of the method is frozen.

    Args:
        method: the method.
        names: of the parts that are trained.
        training: settings of the stage.
        divide: divides the weights of the method that are trained, or of the average of a part, among the processes.
    """

    def __init__(
        self,
        method: Method,
        names: Sequence[str],
        training: TrainingConfig,
        divide: Callable[[nn.Module], None] = _kept_whole,
    ) -> None:
        self._training = training
        method.eval().requires_grad_(False)
        self.parts = {name: method.part(name).train().requires_grad_(True) for name in names}
        average = _warmed_average(training.ema)
        self._averages = {name: AveragedModel(part, multi_avg_fn=average) for name, part in self.parts.items()}
        for module in (method, *(each.module for each in self._averages.values())):
            divide(module)
        self.optimizers = {
            name: AdamW(part.parameters(), training.learning_rate, training.betas, weight_decay=training.weight_decay)
            for name, part in self.parts.items()
        }

    def parts_in_turn(self) -> Iterator[tuple[str, nn.Module]]:
        """Each part in turn, the others frozen meanwhile: a discriminator in the generator loss gets no gradient."""
        for name, part in self.parts.items():
            if len(self.parts) > 1:
                for other, module in self.parts.items():
                    module.requires_grad_(other == name)
            yield name, part

    def set_rate(self, step: int) -> None:
        """Set the learning rate of a step: linear warm-up, then constant or falling."""
        rate = learning_rate(self._training, step)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate

    def update_average(self, name: str) -> None:
        """Update the moving average of the weights of one part."""
        self._averages[name].update_parameters(self.parts[name])

    def tensors(self) -> dict[str, Tensor]:
        """Weights, moving averages and optimizer state, by name: what continuing exactly needs.

        Those that are divided among processes are returned so.
        """
        collected: dict[str, Tensor] = {}
        for name, part in self.parts.items():
            collected |= {f"weights.{name}.{key}": value for key, value in part.state_dict().items()}
            averaged = self._averages[name].module.state_dict()
            collected |= {f"ema.{name}.{key}": value for key, value in averaged.items()}
            for index, moments in self.optimizers[name].state_dict()["state"].items():
                collected |= {f"optimizer.{name}.{index}.{key}": value for key, value in moments.items()}
        return collected

    def restore(self, tensors: Mapping[str, Tensor], step: int, subject: Path) -> None:
        """Restore the state that ``tensors`` returned after ``step`` steps.

        Args:
            tensors: by name.
            step: number of steps done.
            subject: the path that errors name.

        Raises:
            RunError: the tensors belong to another architecture.
        """
        for name, part in self.parts.items():
            load_strict(part, strip_prefix(tensors, f"weights.{name}."), subject)
            load_strict(self._averages[name].module, strip_prefix(tensors, f"ema.{name}."), subject)
            self._averages[name].n_averaged.fill_(step)
            _restore_moments(self.optimizers[name], strip_prefix(tensors, f"optimizer.{name}."))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the parts have their averaged weights and are in evaluation mode; afterwards they train on."""
        raw = {name: {k: v.clone() for k, v in part.state_dict().items()} for name, part in self.parts.items()}
        for name, part in self.parts.items():
            part.eval().load_state_dict(self._averages[name].module.state_dict())
        try:
            yield
        finally:
            for name, part in self.parts.items():
                part.train().load_state_dict(raw[name])


def strip_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name starts with a prefix, the prefix removed."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _restore_moments(optimizer: AdamW, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        weight = weights[int(index)]
        moment = divided_like(tensor, weight) if tensor.shape == weight.shape else tensor  # not the number of steps
        state.setdefault(int(index), {})[key] = moment
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


Average = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]


def _warmed_average(decay: float) -> Average:
    """An exponential moving average that starts as a copy, with a smaller decay in its first updates.

    The decay of the n-th update is min(decay, (1 + n) / (10 + n)), as in TensorFlow's ExponentialMovingAverage.
    """

    @torch.no_grad()
    def update(averages: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor | int) -> None:
        n = float(count)
        rate = 1 - min(decay, (1 + n) / (10 + n))
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight, rate)

    return update
