"""The trained parts of one stage with their optimisers and moving averages, and their way to and from tensors."""

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
from medsmith.runs.checkpoints import put_weights


@final
class Trainees:
    """Parts of a method that are being trained; every other weight of the method is frozen.

    Args:
        method: the method.
        names: its parts that are trained.
        training: how.
    """

    def __init__(self, method: Method, names: Sequence[str], training: TrainingConfig) -> None:
        self._training = training
        method.eval().requires_grad_(False)
        self.parts = {name: method.part(name).train().requires_grad_(True) for name in names}
        self.optimisers = {
            name: AdamW(part.parameters(), training.learning_rate, training.betas, weight_decay=training.weight_decay)
            for name, part in self.parts.items()
        }
        average = _warmed_average(training.ema)
        self._averages = {name: AveragedModel(part, multi_avg_fn=average) for name, part in self.parts.items()}

    def focused(self) -> Iterator[tuple[str, nn.Module]]:
        """The parts in turn, the others frozen meanwhile: the critic that a loss passes through gathers no gradient."""
        for name, part in self.parts.items():
            if len(self.parts) > 1:
                for other, module in self.parts.items():
                    module.requires_grad_(other == name)
            yield name, part

    def set_rate(self, step: int) -> None:
        """The learning rate of a step: a line up to the configured rate, then constant."""
        rate = self._training.learning_rate * min(1.0, (step + 1) / (self._training.warm_up + 1))
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate

    def average(self, name: str) -> None:
        """Let the moving average of one part follow its weights."""
        self._averages[name].update_parameters(self.parts[name])

    def tensors(self) -> dict[str, Tensor]:
        """Everything needed to go on as if nothing had happened."""
        collected: dict[str, Tensor] = {}
        for name, part in self.parts.items():
            collected |= {f"weights.{name}.{key}": value for key, value in part.state_dict().items()}
            averaged = self._averages[name].module.state_dict()
            collected |= {f"ema.{name}.{key}": value for key, value in averaged.items()}
            for index, moments in self.optimisers[name].state_dict()["state"].items():
                collected |= {f"optimiser.{name}.{index}.{key}": value for key, value in moments.items()}
        return collected

    def restore(self, tensors: Mapping[str, Tensor], step: int, subject: Path) -> None:
        """Take back what ``tensors`` gave after ``step`` steps.

        Raises:
            RunError: the tensors belong to another architecture.
        """
        for name, part in self.parts.items():
            put_weights(part, below(tensors, f"weights.{name}."), subject)
            put_weights(self._averages[name].module, below(tensors, f"ema.{name}."), subject)
            self._averages[name].n_averaged.fill_(step)
            _put_moments(self.optimisers[name], below(tensors, f"optimiser.{name}."))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the parts have their averaged weights and are in evaluation mode."""
        raw = {name: {k: v.clone() for k, v in part.state_dict().items()} for name, part in self.parts.items()}
        for name, part in self.parts.items():
            part.eval().load_state_dict(self._averages[name].module.state_dict())
        try:
            yield
        finally:
            for name, part in self.parts.items():
                part.train().load_state_dict(raw[name])


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors whose name starts with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _put_moments(optimiser: AdamW, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


Average = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]


def _warmed_average(decay: float) -> Average:
    """An exponential moving average that starts as a copy and forgets its first weights fast.

    The decay of the n-th update is min(decay, (1 + n) / (10 + n)), as in TensorFlow's ExponentialMovingAverage.
    """

    @torch.no_grad()
    def update(averages: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor | int) -> None:
        n = float(count)
        rate = 1 - min(decay, (1 + n) / (10 + n))
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight, rate)

    return update
