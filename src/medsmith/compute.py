"""How network passes are computed: number format and memory layout, chosen by measuring, then written down."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal, TypeVar, final

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from medsmith.errors import TrainingError
from medsmith.networks import UNet

Module = TypeVar("Module", bound=nn.Module)
Precision = Literal["float32", "bfloat16"]
# bfloat16 keeps 8 bits: an error beyond this share, of a convolution or of a loss, is a broken kernel and no rounding.
TOLERANCE = 0.05


@final
class Compute(BaseModel):
    """How the passes of a run are computed; fixed when the run starts, so that its bytes do not depend on timing.

    Attributes:
        precision: of the network passes; weights and sampling state stay float32.
        channels_last: memory layout of convolution weights and activations.
        compiled: whether ``torch.compile`` is used.
        steps_per_second: what each candidate reached when it was chosen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: Precision = "float32"
    channels_last: bool = False
    compiled: bool = False
    steps_per_second: dict[str, float] = {}

    @property
    def label(self) -> str:
        """The settings in a few words."""
        words = [self.precision, "channels-last" * self.channels_last, "compiled" * self.compiled]
        return " ".join(filter(None, words))

    @contextmanager
    def passes(self, device: str) -> Iterator[None]:
        """Network passes inside run in the chosen number format."""
        with torch.autocast(device, torch.bfloat16, enabled=self.precision == "bfloat16"):
            yield

    def check(self, dimensions: int, device: str) -> None:
        """Make sure that this machine computes right in this number format.

        Raises:
            TrainingError: it does not.
        """
        if self.precision == "bfloat16" and not bfloat16_is_right(dimensions, device):
            cure = "use another build of torch, or a new run with training.precision=float32"
            raise TrainingError("bfloat16", f"{dimensions}-D convolutions are wrong on this {device}", cure=cure)

    def lay_out(self, module: Module) -> Module:
        """The module in the chosen memory layout, compiled if that was chosen."""
        for part in module.modules():
            if self.channels_last and isinstance(part, nn.Conv2d | nn.Conv3d):
                layout = torch.channels_last if isinstance(part, nn.Conv2d) else torch.channels_last_3d
                part.weight.data = part.weight.data.contiguous(memory_format=layout)
            if self.compiled and isinstance(part, UNet):
                part.compile()
        return module


def bfloat16_is_right(dimensions: int, device: str) -> bool:
    """Whether a convolution in bfloat16 agrees with float32 here (some builds of cuDNN and oneDNN do not)."""
    draw = torch.Generator().manual_seed(0)
    convolve = nn.Conv2d(32, 32, 3, padding=1) if dimensions == 2 else nn.Conv3d(32, 32, 3, padding=1)
    with torch.no_grad():
        for weights in convolve.parameters():
            weights.copy_(torch.randn(weights.shape, generator=draw) / weights[0].numel() ** 0.5)
        x = torch.randn((1, 32) + (16,) * dimensions, generator=draw).to(device)
        convolve.to(device)
        exact = convolve(x)
        with torch.autocast(device, torch.bfloat16):
            rounded = convolve(x).float()
    return bool((exact - rounded).abs().max() < TOLERANCE * exact.abs().max())


def measured(step: Callable[[Compute], float], dimensions: int, device: str, repeats: int = 3) -> Compute:
    """Times one training step under each candidate and keeps the fastest that computes the same loss.

    On a CPU only the number format is tried: channels-last weights train slower and compiling gains nothing there
    (docs/performance.md).

    Args:
        step: one training step under the settings it is given; returns its loss.
        dimensions: 2 or 3.
        device: type of the device.
        repeats: timed steps of each candidate after one to warm up.
    """
    candidates = [Compute()]
    if bfloat16_is_right(dimensions, device):
        candidates.append(Compute(precision="bfloat16"))
        if device == "cuda":
            candidates.append(Compute(precision="bfloat16", channels_last=True))
            candidates.append(Compute(precision="bfloat16", channels_last=True, compiled=True))
    exact = step(candidates[0])
    rates: dict[str, float] = {}
    for candidate in candidates:
        loss = step(candidate)  # warms up, and shows whether the whole network computes right
        if abs(loss - exact) <= TOLERANCE * abs(exact):
            rates[candidate.label] = round(1 / _duration(partial(step, candidate), device, repeats), 3)
    right = [candidate for candidate in candidates if candidate.label in rates]
    fastest = max(right, key=lambda candidate: rates[candidate.label], default=candidates[0])
    return fastest.model_copy(update={"steps_per_second": rates})


def _duration(step: Callable[[], object], device: str, repeats: int) -> float:
    """Shortest of several timed calls in seconds."""
    durations = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        durations.append(time.perf_counter() - start)
    return min(durations)
