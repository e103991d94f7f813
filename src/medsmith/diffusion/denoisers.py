"""A denoiser is a function of (noisy image, time) that returns the clean estimate; conditions are bound to it before."""

from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor


class Denoiser(Protocol):
    """(x, t) -> the clean estimate."""

    def __call__(self, x: Float[Tensor, "b c *space"], t: Int[Tensor, "b"]) -> Float[Tensor, "b c *space"]:
        """The clean estimate of x at times t."""
        ...


def guided(base: Denoiser, *conditions: tuple[Denoiser, float]) -> Denoiser:
    """Classifier-free guidance with one or several conditions.

    ``base + sum_i w_i (condition_i - base)`` (Ho & Salimans 2022, eq. 6, written for the clean estimate, which is
    affine in the noise estimate; several conditions as in Liu et al. 2022, composable diffusion, eq. 11). A weight of
    1 for one condition is that condition alone, 0 is the base.

    Args:
        base: the denoiser without condition.
        conditions: pairs of a conditioned denoiser and its weight.
    """

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        plain = base(x, t)
        steered = plain
        for condition, weight in conditions:
            steered = steered + weight * (condition(x, t) - plain)
        return steered

    return denoise
