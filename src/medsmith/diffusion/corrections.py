"""Corrections of the state after each sampling step. They are pure: the source of noise is an argument."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from medsmith.diffusion.schedule import NoiseSchedule

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
