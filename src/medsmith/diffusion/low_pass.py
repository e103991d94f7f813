"""Low-pass filters of guidance images: linear, along every axis of space, in 2-D and 3-D."""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn.functional import interpolate

Filter = Literal["projection", "bicubic"]
LowPass = Callable[[Tensor], Tensor]


@lru_cache(maxsize=64)
def _projection_matrix(size: int, factor: int) -> Float64[Tensor, "n n"]:
    """Orthogonal projection onto the lowest size // factor cosine modes of one axis (DCT-II)."""
    kept = torch.arange(max(1, size // factor), dtype=torch.float64)[:, None]
    position = (torch.arange(size, dtype=torch.float64) + 0.5)[None]
    modes = torch.cos(torch.pi * kept * position / size)
    modes = modes / modes.norm(dim=1, keepdim=True)
    matrix: Tensor = modes.T @ modes
    return matrix


@lru_cache(maxsize=64)
def _bicubic_matrix(size: int, factor: int) -> Float64[Tensor, "n n"]:
    """Bicubic downsampling by a factor and upsampling back, along one axis, as a matrix."""
    rows = torch.eye(size, dtype=torch.float64)[None, None]
    small = interpolate(rows, size=(max(1, size // factor), size), mode="bicubic", antialias=True)
    return interpolate(small, size=(size, size), mode="bicubic", antialias=True)[0, 0]


_FILTERS: dict[Filter, Callable[[int, int], Tensor]] = {
    "projection": _projection_matrix,
    "bicubic": _bicubic_matrix,
}


def low_pass(factor: int, kind: Filter = "projection") -> LowPass:
    """A low-pass filter: keep what downsampling by ``factor`` along every axis of space keeps, in 2-D or 3-D.

    Args:
        factor: ILVR's N; for "bicubic" a power of two.
        kind: "projection" keeps the lowest cosine modes, so that filtering twice equals filtering once; "bicubic"
            downsamples and upsamples as the reference code of ILVR, and is not a projection.

    Raises:
        ValueError: the factor is not a whole number from 1, or not a power of two for "bicubic", or there is no such
            filter.
    """
    if kind not in _FILTERS:
        raise ValueError(f"unknown low-pass {kind!r}: choose one of {', '.join(_FILTERS)}")
    if factor < 1:
        raise ValueError(f"low-pass factor {factor} is less than 1")
    if kind == "bicubic" and factor & (factor - 1):
        raise ValueError(f"low-pass factor {factor} is not a power of two")
    kept: dict[tuple[int, torch.dtype, torch.device], Tensor] = {}

    def matrix_for(size: int, x: Tensor) -> Tensor:
        key = (size, x.dtype, x.device)
        if key not in kept:
            kept[key] = _FILTERS[kind](size, factor).to(x)
        return kept[key]

    def apply(x: Tensor) -> Tensor:
        for axis in range(2, x.ndim):
            x = torch.tensordot(x, matrix_for(x.shape[axis], x), dims=([axis], [1])).movedim(-1, axis)
        return x

    return apply
