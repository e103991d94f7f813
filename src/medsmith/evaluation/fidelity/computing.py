"""Where features are computed, and how exactly: by networks in float32 with TF32 off, on every device.

TF32 keeps 10 bits of the mantissa, so that a GPU would give other features than a CPU. What remains is the order of
sums: features of two types of device agree to about 1e-5, and are kept apart.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, runtime_checkable

import torch

EXACT: Final = "float32, TF32 off"
"""The precision that an extractor with a network names."""


@runtime_checkable
class Named(Protocol):
    """What has a name, as every extractor."""

    @property
    def name(self) -> str:
        """As shown in reports."""
        ...


@contextmanager
def exact_float32() -> Iterator[None]:
    """A context in which PyTorch computes float32 products and convolutions exactly; what was set is restored."""
    places = _switches()
    before = [getattr(place, name) for place, name, _ in places]
    try:
        for place, name, exact in places:
            setattr(place, name, exact)
        yield
    finally:
        for (place, name, _), value in zip(places, before, strict=True):
            setattr(place, name, value)


def _switches() -> list[tuple[Any, str, Any]]:
    """Where PyTorch keeps what is allowed, and what forbids TF32: the names of 2.9, or those before."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(cudnn, "conv"):
        return [(matmul, "fp32_precision", "ieee"), (cudnn.conv, "fp32_precision", "ieee")]
    return [(matmul, "allow_tf32", False), (cudnn, "allow_tf32", False)]


def device_of(extractor: object) -> str:
    """Type of the device that an extractor computes on: its ``device``, or the CPU where it names none."""
    return str(getattr(extractor, "device", "cpu"))


def precision_of(extractor: object) -> str:
    """How exactly the network of an extractor computes: its ``precision``; empty where it names none."""
    return str(getattr(extractor, "precision", ""))


def computed_line(extractors: Iterable[Named]) -> str:
    """Where and how extractors compute, such as ``inception on cuda (float32, TF32 off), radiomics on cpu``."""
    return ", ".join(map(_computed, extractors))


def _computed(extractor: Named) -> str:
    precision = precision_of(extractor)
    return f"{extractor.name} on {device_of(extractor)}" + (f" ({precision})" if precision else "")
