"""Guidance by images: the low frequencies of the state follow those of one or several images (ILVR, mDDPM).

Axes: b batch, c channels, ``*space`` = x y or x y z.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Literal, final, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from medsmith.diffusion.corrections import Correction, NoiseSource
from medsmith.diffusion.low_pass import Filter, LowPass, low_pass
from medsmith.diffusion.noise import SeededNoise, derive_seed
from medsmith.diffusion.schedule import NoiseSchedule

Combination = Literal["sum", "mean", "sequential", "band_split"]
COMBINATIONS: tuple[Combination, ...] = get_args(Combination)


@final
@dataclass(frozen=True, eq=False)
class LowPassGuide:
    """A guidance image and how it acts.

    Attributes:
        reference: clean image in the space of the state: b or 1, c, *space.
        factor: frequencies kept by downsampling by it are taken from the reference (ILVR's N).
        until: last time of the state at which it acts; -1 acts to the end. mDDPM counts times from 1, before the step:
            its a is ``until + 2``.
        kind: the low-pass filter.
        region: share of its effect at each voxel, 0 to 1; None acts everywhere.
        noise_seed: of the noise of its reference, which then depends on the seed and the time alone, so that other
            guides and the solver's own noise are the same with and without this guide; None takes the noise source of
            the sampling.
    """

    reference: Float[Tensor, "#b c *space"]
    factor: int
    until: int = -1
    kind: Filter = "projection"
    region: Float[Tensor, "#b 1 *space"] | None = None
    noise_seed: int | None = None


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

    Guides with the same factor share their band where their regions overlap. Where a coarser guide does not act, its
    band belongs to the next finer one.
    """
    coarse_first = sorted(terms, key=lambda term: -term.factor)
    change, taken = torch.zeros_like(x), torch.zeros_like
    for _, group in groupby(coarse_first, key=lambda term: term.factor):
        sharing = list(group)
        acting = torch.zeros_like(x[:, :1])
        for term in sharing:
            acting = acting + term.region
        for term in sharing:
            difference = term.reference - x
            band = term.keep_low(difference) - taken(difference)
            change = change + term.region * band / acting.clamp(min=1)
        taken = partial(_taken, sharing[0].keep_low, acting.clamp(max=1), taken)
    return x + change


def _taken(keep_low: LowPass, acting: Tensor, coarser: LowPass, difference: Tensor) -> Tensor:
    """What guides of a factor and all coarser ones take of a difference at each voxel."""
    return acting * keep_low(difference) + (1 - acting) * coarser(difference)


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
        ValueError: a factor that the filter does not take, or no such filter or combination.
    """
    if combination not in _COMBINE:
        raise ValueError(f"unknown combination {combination!r}: choose one of {', '.join(COMBINATIONS)}")
    combine = _COMBINE[combination]
    filters = [low_pass(guide.factor, guide.kind) for guide in guides]
    kept: dict[tuple[int, torch.dtype, torch.device], tuple[Tensor, Tensor | float]] = {}

    def of_guide(index: int, x: Tensor) -> tuple[Tensor, Tensor | float]:
        """Reference and region on the device of the state, moved there once."""
        key = (index, x.dtype, x.device)
        if key not in kept:
            region = guides[index].region
            kept[key] = (guides[index].reference.to(x), 1.0 if region is None else region.to(x))
        return kept[key]

    def correct(x: Tensor, t: Tensor, noise_source: NoiseSource) -> Tensor:
        time, terms = _common_time(t), []
        for index, (guide, keep_low) in enumerate(zip(guides, filters, strict=True)):
            # The common source is drawn from also while a guide does not act: others must not depend on when it does.
            noise = noise_source() if guide.noise_seed is None else _own_noise(guide.noise_seed, time, x)
            if time >= guide.until:
                reference, region = of_guide(index, x)
                noised = schedule.add_noise(reference.expand_as(x), noise, t).x
                terms.append(_Term(noised, guide.factor, keep_low, region))
        return combine(x, terms)

    return Correction(correct)


def _own_noise(seed: int, time: int, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
    """Noise of one guide at one time."""
    return SeededNoise([derive_seed(seed, time)] * len(x))(*x.shape[1:]).to(x)


def _common_time(t: Int[Tensor, "b"]) -> int:
    first, *others = t.tolist()
    if any(time != first for time in others):
        raise ValueError(f"states of one batch have the same time, not {t.tolist()}")
    return int(first)
