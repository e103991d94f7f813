"""Corrections of the state after each sampling step. They are pure: the source of noise is an argument."""

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
NoiseSource = Callable[[], Tensor]
"""Returns new standard normal noise of the shape of the state at each call."""
Apply = Callable[[Tensor, Tensor, NoiseSource], Tensor]


@final
@dataclass(frozen=True, eq=False)
class Correction:
    """A change of the state after each step.

    Attributes:
        apply: (x, t, noise_source) -> x: the state b c *space, its time (-1 is the final image), and a source of noise.
        from_start: whether it also acts on the initial noise, at the first time.
    """

    apply: Apply
    from_start: bool = False

    def __call__(self, x: Float[Tensor, "b c *space"], t: Int[Tensor, "b"], noise_source: NoiseSource) -> Tensor:
        """The corrected state."""
        return self.apply(x, t, noise_source)


def on_channels(correction: Correction, channels: slice) -> Correction:
    """A correction applied to some channels of the state; the others stay unchanged."""

    def correct(x: Tensor, t: Tensor, noise_source: NoiseSource) -> Tensor:
        corrected = x.clone()
        corrected[:, channels] = correction(x[:, channels], t, lambda: noise_source()[:, channels])
        return corrected

    return Correction(correct, correction.from_start)


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


_FILTERS: dict[str, Callable[[int, int], Tensor]] = {
    "projection": _projection_matrix,
    "bicubic": _bicubic_matrix,
}


def low_pass(factor: int, kind: Literal["projection", "bicubic"] = "projection") -> LowPass:
    """A low-pass filter: keep what downsampling by ``factor`` along every axis of space keeps, in 2-D or 3-D.

    Args:
        factor: a power of two (ILVR's N).
        kind: "projection" keeps the lowest cosine modes, so that filtering twice equals filtering once; "bicubic"
            downsamples and upsamples as the reference code of ILVR, and is not a projection.

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
        reference: clean image in the space of the state: b or 1, c, *space.
        factor: power of two; frequencies kept by downsampling by it are taken from the reference (ILVR's N).
        until: last time of the state at which it acts; -1 acts to the end. mDDPM counts times from 1, before the step:
            its a is ``until + 2``.
        kind: the low-pass filter.
    """

    reference: Float[Tensor, "#b c *space"]
    factor: int
    until: int = -1
    kind: Literal["projection", "bicubic"] = "projection"


def match_low_frequencies(schedule: NoiseSchedule, *guides: LowPassGuide) -> Correction:
    """Replace the low frequencies of the state by those of guidance images.

    ``x + sum_m (low_pass_m(reference_m,t) - low_pass_m(x))``, where reference_m,t is the m-th reference with noise of
    its own at the time of x, and every term uses the same x (mDDPM, Algorithm 1). With one guide this is ILVR (Choi et
    al. 2021, eq. 8-9).

    Args:
        schedule: the schedule of the sampling.
        guides: the guidance images.

    Raises:
        ValueError: a factor is not a power of two, or there is no such filter.
    """
    filters = [low_pass(guide.factor, guide.kind) for guide in guides]

    def correct(x: Tensor, t: Tensor, noise_source: NoiseSource) -> Tensor:
        corrected = x
        for guide, keep_low in zip(guides, filters, strict=True):
            noised = schedule.add_noise(guide.reference.expand_as(x).to(x), noise_source(), t).x
            active = (t >= guide.until).reshape((-1,) + (1,) * (x.ndim - 1)).to(x.device)
            # The filter is linear: filtering the difference once replaces the two filterings of eq. 9.
            corrected = torch.where(active, corrected + keep_low(noised - x), corrected)
        return corrected

    return Correction(correct)


def keep_outside(
    inside: Float[Tensor, "#b 1 *space"],
    background: Float[Tensor, "#b c *space"],
    noised_by: NoiseSchedule | None = None,
) -> Correction:
    """Keep a known background wherever ``inside`` is 0, from the start; the final image has it exactly.

    Args:
        inside: 1 where the image is sampled, 0 where the background is kept.
        background: the clean image to keep.
        noised_by: the schedule that noises the background to the time of the state (RePaint, Lugmayr et al. 2022,
            eq. 8); None keeps it clean at every time (LesionDiffusion, eq. 4).
    """

    def correct(x: Tensor, t: Tensor, noise_source: NoiseSource) -> Tensor:
        known = background.expand_as(x).to(x)
        if noised_by is not None:
            known = noised_by.add_noise(known, noise_source(), t).x
        return torch.where(inside.to(x.device) > 0, x, known)

    return Correction(correct, from_start=True)
