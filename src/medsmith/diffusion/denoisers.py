"""A denoiser is a function of (noisy image, time) that returns the clean estimate, all conditions already bound."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class Denoiser(Protocol):
    """(x, t) -> the clean estimate."""

    def __call__(self, x: Float[Tensor, "b c *space"], t: Int[Tensor, "b"], /) -> Float[Tensor, "b c *space"]:
        """The clean estimate of x at times t."""
        ...


def guided(base: Denoiser, *conditions: tuple[Denoiser, float]) -> Denoiser:
    """Classifier-free guidance with one or several conditions.

    ``base + sum_i w_i (condition_i - base)`` (Ho & Salimans 2022, eq. 6, whose w is ours less 1; several conditions as
    in Liu et al. 2022, composable diffusion, eq. 11). The papers write it for the noise estimate; the clean estimate
    is affine in it, with the same factors for all, so that the formula is the same. That holds for estimates that are
    not clamped: clamp after guidance, not before.

    A weight of 0 leaves a condition out, and one condition of weight 1 is that condition alone: neither calls a
    network for nothing.

    Args:
        base: the denoiser without condition.
        conditions: pairs of a conditioned denoiser and its weight.
    """
    active = [(condition, weight) for condition, weight in conditions if weight != 0]
    if not active:
        return base
    if len(active) == 1 and active[0][1] == 1:
        return active[0][0]

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        plain = base(x, t)
        steered = plain
        for condition, weight in active:
            steered = steered + weight * (condition(x, t) - plain)
        return steered

    return denoise
