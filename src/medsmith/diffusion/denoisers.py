"""Denoisers: functions of (noisy image, time) that return the clean estimate, with all conditions bound.

Axes: b batch, c channels, e = c channels of an estimate, or 2 c where the variance is learned.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class Denoiser(Protocol):
    """(x, t) -> the clean estimate.

    It may be followed by as many channels with the fraction of the learned log variance in [0, 1] (see
    ``learned_variance``), which the DDPM solver uses and every other solver ignores.
    """

    def __call__(self, x: Float[Tensor, "b c *space"], t: Int[Tensor, "b"], /) -> Float[Tensor, "b e *space"]:
        """The clean estimate of x at times t."""
        ...


def guided(base: Denoiser, *conditions: tuple[Denoiser, float]) -> Denoiser:
    """Classifier-free guidance with one or several conditions.

    ``base + sum_i w_i (condition_i - base)`` (Ho & Salimans 2022, eq. 6, whose w is ours minus 1; several conditions
    as in Liu et al. 2022, composable diffusion, eq. 11). The papers state it for the noise estimate; the clean estimate
    is affine in it with the same coefficients for all, so that the formula is the same. This holds for estimates that
    are not clamped: clamp after guidance, not before.

    A learned variance is combined in the same way: its logarithm, too, is affine in the output.

    A condition of weight 0 is left out, and a single condition of weight 1 is returned alone, so that no network is
    called needlessly.

    Args:
        base: the unconditional denoiser.
        conditions: pairs of a conditional denoiser and its weight.
    """
    active = [(condition, weight) for condition, weight in conditions if weight != 0]
    if not active:
        return base
    if len(active) == 1 and active[0][1] == 1:
        return active[0][0]

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        unconditional = base(x, t)
        estimate = unconditional
        for condition, weight in active:
            estimate = estimate + weight * (condition(x, t) - unconditional)
        return estimate

    return denoise
