"""Corrections act on the state after each sampling step. They are pure: noise is passed in."""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from torch.nn.functional import interpolate

from medsmith.diffusion.schedule import NoiseSchedule

LowPass = Callable[[Tensor], Tensor]


@runtime_checkable
class Correction(Protocol):
    """(x, t, noise) -> x, where t is the time that x has reached; t == -1 is the finished image."""

    def __call__(
        self, x: Float[Tensor, "b c *space"], t: Int[Tensor, "b"], noise: Float[Tensor, "b c *space"]
    ) -> Float[Tensor, "b c *space"]:
        """The corrected state."""
        ...


@lru_cache(maxsize=64)
def _projection_matrix(size: int, factor: int) -> Float64[Tensor, "n n"]:
    """Orthogonal projection onto the lowest size // factor cosine modes of one axis (DCT-II)."""
    kept = torch.arange(max(1, size // factor), dtype=torch.float64)[:, None]
    place = (torch.arange(size, dtype=torch.float64) + 0.5)[None]
    modes = torch.cos(torch.pi * kept * place / size)
    modes = modes / modes.norm(dim=1, keepdim=True)
    matrix: Tensor = modes.T @ modes
    return matrix


@lru_cache(maxsize=64)
def _bicubic_matrix(size: int, factor: int) -> Float64[Tensor, "n n"]:
    """Bicubic reduction by a factor and enlargement back, along one axis, as a matrix."""
    rows = torch.eye(size, dtype=torch.float64)[None, None]
    small = interpolate(rows, size=(max(1, size // factor), size), mode="bicubic", antialias=True)
    return interpolate(small, size=(size, size), mode="bicubic", antialias=True)[0, 0]


_FILTERS: dict[str, Callable[[int, int], Tensor]] = {
    "projection": _projection_matrix,
    "bicubic": _bicubic_matrix,
}


def low_pass(factor: int, kind: Literal["projection", "bicubic"] = "projection") -> LowPass:
    """Keep what survives a reduction by ``factor`` along every axis of space, 2-D or 3-D.

    Args:
        factor: a power of two (ILVR's N).
        kind: "projection" keeps the lowest cosine modes, so that filtering twice equals filtering once; "bicubic"
            reduces and enlarges as the reference code of ILVR does, and is not a projection.

    Raises:
        ValueError: the factor is not a power of two, or there is no such filter.
    """
    if kind not in _FILTERS:
        raise ValueError(f"unknown low-pass {kind!r}: choose one of {', '.join(_FILTERS)}")
    if factor < 1 or factor & (factor - 1):
        raise ValueError(f"low-pass factor {factor} is not a power of two")

    def apply(x: Tensor) -> Tensor:
        for axis in range(2, x.ndim):
            matrix = _FILTERS[kind](x.shape[axis], factor).to(x)
            x = torch.tensordot(x, matrix, dims=([axis], [1])).movedim(-1, axis)
        return x

    return apply


def match_low_frequencies(
    reference: Float[Tensor, "#b c *space"],
    schedule: NoiseSchedule,
    factor: int,
    *,
    kind: Literal["projection", "bicubic"] = "projection",
    until: int = -1,
) -> Correction:
    """Give the state the low frequencies of a reference (ILVR, Choi et al. 2021, eq. 8-9; mDDPM, Algorithm 1).

    ``x + low_pass(reference_t) - low_pass(x)``, where reference_t is the reference noised to the time x has reached.

    Args:
        reference: clean guidance images in model space, b or 1, c, *space.
        schedule: the schedule the sampler walks.
        factor: power-of-two reduction below which frequencies are taken from the reference.
        kind: the low-pass filter.
        until: the last time, reached by the state, at which the correction acts; -1 acts to the end. mDDPM counts
            times from 1 and names the time before the step: its a is ``until + 2``.
    """
    keep_low = low_pass(factor, kind)

    def correct(x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        guide = schedule.add_noise(reference.expand_as(x).to(x), noise, t).x
        active = (t >= until).reshape((-1,) + (1,) * (x.ndim - 1))
        # The filter is linear, so that one pass over the difference does for both of eq. 9's.
        return torch.where(active.to(x.device), x + keep_low(guide - x), x)

    return correct


def keep_outside(
    inside: Float[Tensor, "#b 1 *space"],
    background: Float[Tensor, "#b c *space"],
    noised_by: NoiseSchedule | None = None,
) -> Correction:
    """Hold the state to a known background wherever ``inside`` is 0; the finished image has it exactly.

    Args:
        inside: 1 where the sampler may draw, 0 where the background stays.
        background: the clean image to keep.
        noised_by: the schedule that brings the background to the noise of the state (RePaint, Lugmayr et al. 2022,
            eq. 8); None keeps it clean at every time (LesionDiffusion, eq. 4).
    """

    def correct(x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        known = background.expand_as(x).to(x)
        if noised_by is not None:
            known = noised_by.add_noise(known, noise, t).x
        return torch.where(inside.to(x.device) > 0, x, known)

    return correct
