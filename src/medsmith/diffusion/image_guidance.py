"""Guidance by images: the low frequencies of the state follow those of one or several images (ILVR, mDDPM).

Axes: b batch, c channels, ``*space`` = x y or x y z.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, final, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from medsmith.diffusion.corrections import Correction, NoiseSource
from medsmith.diffusion.low_pass import Filter, LowPass, low_pass
from medsmith.diffusion.schedule import NoiseSchedule

Combination = Literal["sum", "mean", "sequential", "band_split"]
COMBINATIONS: tuple[Combination, ...] = get_args(Combination)


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
        region: share of its effect at each voxel, 0 to 1; None acts everywhere.
    """

    reference: Float[Tensor, "#b c *space"]
    factor: int
    until: int = -1
    kind: Filter = "projection"
    region: Float[Tensor, "#b 1 *space"] | None = None


@final
@dataclass(frozen=True, eq=False)
class _Term:
    """One guide at one time: its noised reference, filter and region."""

    reference: Float[Tensor, "b c *space"]
    factor: int
    keep_low: LowPass
    region: Float[Tensor, "#b 1 *space"] | float

    def change(self, x: Tensor) -> Tensor:
        """The change of the state by this guide alone (mDDPM, eq. 8), within its region.

        The filter is linear: filtering the difference once replaces the two filterings of the equation.
        """
        return self.region * self.keep_low(self.reference - x)


def _sum(x: Tensor, terms: Sequence[_Term]) -> Tensor:
    """mDDPM, eq. 9: overlapping bands add up."""
    change = torch.zeros_like(x)
    for term in terms:
        change = change + term.change(x)
    return x + change


def _mean(x: Tensor, terms: Sequence[_Term]) -> Tensor:
    """The sum over the number of guides that act at a voxel: an equal share for each."""
    change, acting = torch.zeros_like(x), torch.zeros_like(x[:, :1])
    for term in terms:
        change, acting = change + term.change(x), acting + term.region
    return x + change / acting.clamp(min=1)


def _sequential(x: Tensor, terms: Sequence[_Term]) -> Tensor:
    """Each guide acts on the result of the previous one: the last has the final say in its band."""
    for term in terms:
        x = x + term.change(x)
    return x


def _band_split(x: Tensor, terms: Sequence[_Term]) -> Tensor:
    """Bands that do not overlap: a guide acts between the cutoff of the next coarser guide and its own.

    Guides with the same factor share their band equally.
    """
    coarse_first = sorted(terms, key=lambda term: -term.factor)
    change, coarser = torch.zeros_like(x), None
    for _, group in groupby(coarse_first, key=lambda term: term.factor):
        sharing = list(group)
        for term in sharing:
            difference = term.reference - x
            band = term.keep_low(difference)
            if coarser is not None:
                band = band - coarser(difference)
            change = change + term.region * band / len(sharing)
        coarser = sharing[0].keep_low
    return x + change


_COMBINE: dict[Combination, Callable[[Tensor, Sequence[_Term]], Tensor]] = {
    "sum": _sum,
    "mean": _mean,
    "sequential": _sequential,
    "band_split": _band_split,
}


def match_low_frequencies(
    schedule: NoiseSchedule, *guides: LowPassGuide, combination: Combination = "sum"
) -> Correction:
    """Replace the low frequencies of the state by those of guidance images.

    ``x + sum_m (low_pass_m(reference_m,t) - low_pass_m(x))``, where reference_m,t is the m-th reference with noise of
    its own at the time of x, and every term uses the same x (mDDPM, Algorithm 1). With one guide this is ILVR (Choi et
    al. 2021, eq. 8-9).

    Low-pass bands of several guides overlap, so that this sum moves a shared band once per guide: where two guides
    agree, it overshoots by their distance from x. The other combinations do not.

    Args:
        schedule: the schedule of the sampling.
        guides: the guidance images.
        combination: "sum" as above; "mean" divides the sum by the number of guides that act at a voxel; "sequential"
            applies one after the other, in the given order; "band_split" gives each guide the band between the next
            larger factor and its own.

    Raises:
        ValueError: a factor is not a power of two, or there is no such filter or combination.
    """
    if combination not in _COMBINE:
        raise ValueError(f"unknown combination {combination!r}: choose one of {', '.join(COMBINATIONS)}")
    combine = _COMBINE[combination]
    filters = [low_pass(guide.factor, guide.kind) for guide in guides]

    def correct(x: Tensor, t: Tensor, noise_source: NoiseSource) -> Tensor:
        time, terms = _common_time(t), []
        for guide, keep_low in zip(guides, filters, strict=True):
            noise = noise_source()  # also while the guide does not act: the noise of others must not depend on it
            if time >= guide.until:
                reference = schedule.add_noise(guide.reference.expand_as(x).to(x), noise, t).x
                region = 1.0 if guide.region is None else guide.region.to(x)
                terms.append(_Term(reference, guide.factor, keep_low, region))
        return combine(x, terms)

    return Correction(correct)


def _common_time(t: Int[Tensor, "b"]) -> int:
    first, *others = t.tolist()
    if any(time != first for time in others):
        raise ValueError(f"states of one batch have the same time, not {t.tolist()}")
    return int(first)
