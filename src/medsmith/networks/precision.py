"""Number format and memory layout of network passes, chosen by timing and recorded with the run."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, TypeVar, final

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from medsmith.errors import TrainingError
from medsmith.networks import UNet
from medsmith.networks.controlnet import ControlNet

Module = TypeVar("Module", bound=nn.Module)
Precision = Literal["float32", "bfloat16"]
# bfloat16 keeps 8 bits: a larger relative error, of a convolution or of a loss, is a broken kernel and not rounding.
TOLERANCE = 0.05
GRADIENT_TOLERANCE, NEGLIGIBLE = 0.5, 0.02
"""Largest error of the gradient of a weight as a share of its norm, and of the norm of all: rounding makes a few
hundredths, broken kernels 1 and more."""


@final
class Compute(BaseModel):
    """How the network passes of a run are computed; fixed when it starts, so that its bytes do not depend on timing.

    Attributes:
        precision: number format of the passes; weights and sampling state stay float32.
        channels_last: memory layout of convolution weights and activations.
        compiled: whether ``torch.compile`` is used.
        steps_per_second: of each candidate, as timed when the fastest was chosen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: Precision = "float32"
    channels_last: bool = False
    compiled: bool = False
    steps_per_second: dict[str, float] = {}

    @property
    def seconds_per_step(self) -> float | None:
        """Seconds per training step, as timed when this was chosen; None if nothing was timed."""
        rate = self.steps_per_second.get(self.label)
        return 1 / rate if rate else None

    @property
    def label(self) -> str:
        """The settings as a short text, such as ``bfloat16 channels-last``."""
        words = [self.precision, "channels-last" * self.channels_last, "compiled" * self.compiled]
        return " ".join(filter(None, words))

    def for_device(self, device: str) -> "Compute":
        """These settings on a type of device: float32 on a CPU that emulates bfloat16, which is 30 to 50 times slower.

        A record keeps the format that was fastest where the run was trained; ``label`` of the result names the format
        in use.
        """
        emulated = device == "cpu" and self.precision == "bfloat16" and not has_bfloat16()
        return self.model_copy(update={"precision": "float32"}) if emulated else self

    def check(self, dimensions: int, device: str) -> None:
        """Check that this machine computes correctly in this number format.

        Args:
            dimensions: 2 or 3.
            device: type of the device.

        Raises:
            TrainingError: it does not.
        """
        if self.precision == "bfloat16" and not bfloat16_is_accurate(dimensions, device):
            cure = "use another build of torch, or a new run with --set training.precision=float32"
            raise TrainingError("bfloat16", f"{dimensions}-D convolutions are wrong on this {device}", cure=cure)

    def apply_to(self, part: Module) -> Module:
        """Let a part compute in this number format and layout, compiled if that was chosen; changed in place.

        Autocast is applied here and nowhere else: the part runs under it and returns float32.
        """
        for module in part.modules():
            if self.channels_last and isinstance(module, nn.Conv2d | nn.Conv3d):
                layout = torch.channels_last if isinstance(module, nn.Conv2d) else torch.channels_last_3d
                module.weight.data = module.weight.data.contiguous(memory_format=layout)
            if self.compiled and isinstance(module, UNet | ControlNet):
                module.network.compile()
        _Autocast.install(part, torch.bfloat16 if self.precision == "bfloat16" else None)
        return part


@final
class _Autocast:
    """Hooks that run the calls of a module under autocast and return float32.

    Args:
        dtype: of the calls.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._entered: dict[int, list[torch.autocast]] = {}  # by thread, of which each has its own autocast

    @classmethod
    def install(cls, module: nn.Module, dtype: torch.dtype | None) -> None:
        """Replace the autocast hooks of a module; None removes them."""
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for key in [key for key, hook in hooks.items() if isinstance(getattr(hook, "__self__", None), cls)]:
                del hooks[key]
        if dtype is not None:
            hook = cls(dtype)
            module.register_forward_pre_hook(hook.enter)
            module.register_forward_hook(hook.leave, always_call=True)

    def enter(self, module: nn.Module, _inputs: object) -> None:
        """Enter autocast before the call."""
        context = torch.autocast(next(module.parameters()).device.type, self._dtype)
        context.__enter__()  # type: ignore[no-untyped-call]
        self._entered.setdefault(threading.get_ident(), []).append(context)

    def leave(self, _module: nn.Module, _inputs: object, output: object) -> object:
        """Leave autocast after the call, even if it raised."""
        self._entered[threading.get_ident()].pop().__exit__(None, None, None)
        if isinstance(output, tuple):
            return tuple(_to_float32(each) for each in output)
        return _to_float32(output)


def _to_float32(output: object) -> object:
    return output.float() if isinstance(output, Tensor) and output.is_floating_point() else output


def has_bfloat16() -> bool:
    """Whether this CPU has bfloat16 instructions, according to oneDNN."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def bfloat16_is_accurate(dimensions: int, device: str) -> bool:
    """Whether a bfloat16 convolution agrees with float32 on this device (in some builds of cuDNN and oneDNN not)."""
    rng = torch.Generator().manual_seed(0)
    convolve = nn.Conv2d(32, 32, 3, padding=1) if dimensions == 2 else nn.Conv3d(32, 32, 3, padding=1)
    with torch.no_grad():
        for weights in convolve.parameters():
            weights.copy_(torch.randn(weights.shape, generator=rng) / weights[0].numel() ** 0.5)
        x = torch.randn((1, 32) + (16,) * dimensions, generator=rng).to(device)
        convolve.to(device)
        exact = convolve(x)
        with torch.autocast(device, torch.bfloat16):
            rounded = convolve(x).float()
    return bool((exact - rounded).abs().max() < TOLERANCE * exact.abs().max())


def fastest_compute(
    step: Callable[[Compute], float],
    gradients: Callable[[], Sequence[Tensor]],
    dimensions: int,
    device: str,
    repeats: int = 3,
    formats: Sequence[Precision] = ("float32", "bfloat16"),
    end: float = math.inf,
) -> Compute:
    """Time one training step under each candidate; return the fastest that agrees with float32 in loss and gradients.

    On a CPU only the number format is tried: channels-last weights train more slowly there and compiling gains nothing
    (docs/performance.md).

    Args:
        step: runs one training step with the given settings and returns its loss.
        gradients: those of the last step, one per weight. In some builds of oneDNN those of bfloat16 3-D convolutions
            are wrong on small grids, where the loss is right.
        dimensions: 2 or 3.
        device: type of the device.
        repeats: timed steps of each candidate, after one warm-up step.
        formats: number formats that are tried.
        end: by the monotonic clock; no step begins that would end after it, but for the first in float32. What is not
            timed by then is not taken.
    """
    started = time.monotonic()
    exact = step(Compute())
    longest = time.monotonic() - started
    exact_gradients = [each.clone() for each in gradients()]
    candidates = [candidate for candidate in _candidates(dimensions, device) if candidate.precision in formats]
    rates: dict[str, float] = {}
    for candidate in candidates:
        if time.monotonic() + 2 * longest > end:  # a warm-up and a step that is timed
            break
        loss = step(candidate)  # warms up, and tests the whole network
        if abs(loss - exact) <= TOLERANCE * abs(exact) and _agree(gradients(), exact_gradients):
            rates[candidate.label] = round(1 / _duration(partial(step, candidate), device, repeats, end), 3)
    if not rates and math.isfinite(exact) and "float32" in formats:  # the one step is all that is known
        rates["float32"] = round(1 / longest, 3)
    correct = [candidate for candidate in candidates if candidate.label in rates]
    fallback = Compute(precision=formats[0])
    fastest = max(correct, key=lambda candidate: rates[candidate.label], default=fallback)
    return fastest.model_copy(update={"steps_per_second": rates})


def _agree(found: Sequence[Tensor], exact: Sequence[Tensor]) -> bool:
    """Whether every gradient lies near the exact one; NaN does not.

    Those of biases before a normalization are 0 but for rounding, so that what is small beside all of them may differ.
    """
    norms = [float(each.norm()) for each in exact]
    errors = [float((one - other).norm()) for one, other in zip(found, exact, strict=True)]
    small = NEGLIGIBLE * math.hypot(*norms)
    return all(error <= GRADIENT_TOLERANCE * norm + small for error, norm in zip(errors, norms, strict=True))


def _candidates(dimensions: int, device: str) -> list[Compute]:
    candidates = [Compute()]
    if (device != "cpu" or has_bfloat16()) and bfloat16_is_accurate(dimensions, device):
        candidates.append(Compute(precision="bfloat16"))
        if device == "cuda":
            candidates.append(Compute(precision="bfloat16", channels_last=True))
            candidates.append(Compute(precision="bfloat16", channels_last=True, compiled=True))
    return candidates


def _duration(step: Callable[[], object], device: str, repeats: int, end: float) -> float:
    """Shortest of several timed calls in seconds; no further one begins that would end too late."""
    durations: list[float] = []
    while len(durations) < repeats and not (durations and time.monotonic() + durations[-1] > end):
        start = time.perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        durations.append(time.perf_counter() - start)
    return min(durations)
