"""Corrections act on the state after each sampling step. They are pure: the source of noise is passed in."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, final

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from torch.nn.functional import interpolate

from medsmith.diffusion.schedule import NoiseSchedule

LowPass = Callable[[Tensor], Tensor]


Fresh = Callable[[], Tensor]
"""Standard normal noise of the state's shape, new at each call."""
Apply = Callable[[Tensor, Tensor, Fresh], Tensor]


@final
@dataclass(frozen=True, eq=False)
class Correction:
    """What is done to the state after a step.

    Attributes:
        apply: (x, t, fresh) -> x: the state b c *space, the time that it has reached (-1 is the finished image), and a
            source of noise.
        from_start: whether it also acts on the noise that sampling starts from, at the first time.
    """

    apply: Apply
    from_start: bool = False

    def __call__(self, x: Float[Tensor, "b c *space"], t: Int[Tensor, "b"], fresh: Fresh) -> Tensor:
        """The corrected state."""
        return self.apply(x, t, fresh)


def on_channels(correction: Correction, channels: slice) -> Correction:
    """A correction of some channels of a state that stacks several things; the others stay as they are."""

    def correct(x: Tensor, t: Tensor, fresh: Fresh) -> Tensor:
        corrected = x.clone()
        corrected[:, channels] = correction(x[:, channels], t, lambda: fresh()[:, channels])
        return corrected

    return Correction(correct, correction.from_start)


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


@final
@dataclass(frozen=True, eq=False)
class LowPassGuide:
    """A guidance image and how it acts.

    Attributes:
        reference: clean, in the space of the state: b or 1, c, *space.
        factor: power-of-two reduction; frequencies that survive it are taken from the reference (ILVR's N).
        until: the last time, reached by the state, at which it acts; -1 acts to the end. mDDPM counts times from 1 and
            names the time before the step: its a is ``until + 2``.
        kind: the low-pass filter.
    """

    reference: Float[Tensor, "#b c *space"]
    factor: int
    until: int = -1
    kind: Literal["projection", "bicubic"] = "projection"


def match_low_frequencies(schedule: NoiseSchedule, *guides: LowPassGuide) -> Correction:
    """Give the state the low frequencies of guidance images.

    ``x + sum_m (low_pass_m(reference_m,t) - low_pass_m(x))``, where reference_m,t is the m-th reference noised, with a
    noise of its own, to the time that x has reached, and every term sees the same x (mDDPM, Algorithm 1). With one
    guide that is ILVR (Choi et al. 2021, eq. 8-9).

    Args:
        schedule: the schedule that is sampled through.
        guides: the guidance images.

    Raises:
        ValueError: a factor is not a power of two, or there is no such filter.
    """
    filters = [low_pass(guide.factor, guide.kind) for guide in guides]

    def correct(x: Tensor, t: Tensor, fresh: Fresh) -> Tensor:
        moved = x
        for guide, keep_low in zip(guides, filters, strict=True):
            noised = schedule.add_noise(guide.reference.expand_as(x).to(x), fresh(), t).x
            active = (t >= guide.until).reshape((-1,) + (1,) * (x.ndim - 1)).to(x.device)
            # The filter is linear, so that one pass over the difference does for both of eq. 9's.
            moved = torch.where(active, moved + keep_low(noised - x), moved)
        return moved

    return Correction(correct)


def keep_outside(
    inside: Float[Tensor, "#b 1 *space"],
    background: Float[Tensor, "#b c *space"],
    noised_by: NoiseSchedule | None = None,
) -> Correction:
    """Hold the state to a known background wherever ``inside`` is 0, from the start; the finished image has it exactly.

    Args:
        inside: 1 where the sampler may draw, 0 where the background stays.
        background: the clean image to keep.
        noised_by: the schedule that brings the background to the noise of the state (RePaint, Lugmayr et al. 2022,
            eq. 8); None keeps it clean at every time (LesionDiffusion, eq. 4).
    """

    def correct(x: Tensor, t: Tensor, fresh: Fresh) -> Tensor:
        known = background.expand_as(x).to(x)
        if noised_by is not None:
            known = noised_by.add_noise(known, fresh(), t).x
        return torch.where(inside.to(x.device) > 0, x, known)

    return Correction(correct, from_start=True)
