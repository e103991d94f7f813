"""How network passes are computed: number format and memory layout, chosen by measuring, then written down."""

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
    def seconds_per_step(self) -> float | None:
        """Of training, as measured when it was chosen; None if nothing was."""
        rate = self.steps_per_second.get(self.label)
        return 1 / rate if rate else None

    @property
    def label(self) -> str:
        """The settings in a few words."""
        words = [self.precision, "channels-last" * self.channels_last, "compiled" * self.compiled]
        return " ".join(filter(None, words))

    def on(self, device: str) -> "Compute":
        """As this kind of device computes it: float32 on a CPU that can only emulate bfloat16, 30 to 50 times slower.

        Weights keep the format that was fastest where they were trained; what was computed stands in ``label``.
        """
        emulated = device == "cpu" and self.precision == "bfloat16" and not has_bfloat16()
        return self.model_copy(update={"precision": "float32"}) if emulated else self

    def check(self, dimensions: int, device: str) -> None:
        """Make sure that this machine computes right in this number format.

        Raises:
            TrainingError: it does not.
        """
        if self.precision == "bfloat16" and not bfloat16_is_right(dimensions, device):
            cure = "use another build of torch, or a new run with training.precision=float32"
            raise TrainingError("bfloat16", f"{dimensions}-D convolutions are wrong on this {device}", cure=cure)

    def lay_out(self, part: Module) -> Module:
        """A trainable part whose passes run in this number format and layout, compiled if that was chosen.

        Autocast is applied here and nowhere else: a part that is called runs under it and answers in float32.
        """
        for module in part.modules():
            if self.channels_last and isinstance(module, nn.Conv2d | nn.Conv3d):
                layout = torch.channels_last if isinstance(module, nn.Conv2d) else torch.channels_last_3d
                module.weight.data = module.weight.data.contiguous(memory_format=layout)
            if self.compiled and isinstance(module, UNet | ControlNet):
                module.network.compile()
        _Autocast.put_on(part, torch.bfloat16 if self.precision == "bfloat16" else None)
        return part


@final
class _Autocast:
    """Hooks that run a module's calls under autocast and give their answers in float32.

    Args:
        dtype: of the calls.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._open: list[torch.autocast] = []

    @classmethod
    def put_on(cls, module: nn.Module, dtype: torch.dtype | None) -> None:
        """Replace the hooks that a module may have; None leaves it without any."""
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for key in [key for key, hook in hooks.items() if isinstance(getattr(hook, "__self__", None), cls)]:
                del hooks[key]
        if dtype is not None:
            hook = cls(dtype)
            module.register_forward_pre_hook(hook.enter)
            module.register_forward_hook(hook.leave, always_call=True)

    def enter(self, module: nn.Module, _inputs: object) -> None:
        """Before the call."""
        context = torch.autocast(next(module.parameters()).device.type, self._dtype)
        context.__enter__()  # type: ignore[no-untyped-call]
        self._open.append(context)

    def leave(self, _module: nn.Module, _inputs: object, output: object) -> object:
        """After the call, even one that failed."""
        self._open.pop().__exit__(None, None, None)
        if isinstance(output, tuple):
            return tuple(_in_float32(each) for each in output)
        return _in_float32(output)


def _in_float32(output: object) -> object:
    return output.float() if isinstance(output, Tensor) and output.is_floating_point() else output


def has_bfloat16() -> bool:
    """Whether this CPU multiplies in bfloat16 itself, by what oneDNN says of it."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


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


def measured(
    step: Callable[[Compute], float],
    dimensions: int,
    device: str,
    repeats: int = 3,
    formats: Sequence[Precision] = ("float32", "bfloat16"),
) -> Compute:
    """Times one training step under each candidate and keeps the fastest that computes the same loss.

    On a CPU only the number format is tried: channels-last weights train slower and compiling gains nothing there
    (docs/performance.md).

    Args:
        step: one training step under the settings it is given; returns its loss.
        dimensions: 2 or 3.
        device: type of the device.
        repeats: timed steps of each candidate after one to warm up.
        formats: number formats that are tried.
    """
    exact = step(Compute())
    candidates = [candidate for candidate in _candidates(dimensions, device) if candidate.precision in formats]
    rates: dict[str, float] = {}
    for candidate in candidates:
        loss = step(candidate)  # warms up, and shows whether the whole network computes right
        if abs(loss - exact) <= TOLERANCE * abs(exact):
            rates[candidate.label] = round(1 / _duration(partial(step, candidate), device, repeats), 3)
    right = [candidate for candidate in candidates if candidate.label in rates]
    fallback = Compute(precision=formats[0])
    fastest = max(right, key=lambda candidate: rates[candidate.label], default=fallback)
    return fastest.model_copy(update={"steps_per_second": rates})


def _candidates(dimensions: int, device: str) -> list[Compute]:
    candidates = [Compute()]
    if (device != "cpu" or has_bfloat16()) and bfloat16_is_right(dimensions, device):
        candidates.append(Compute(precision="bfloat16"))
        if device == "cuda":
            candidates.append(Compute(precision="bfloat16", channels_last=True))
            candidates.append(Compute(precision="bfloat16", channels_last=True, compiled=True))
    return candidates


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
