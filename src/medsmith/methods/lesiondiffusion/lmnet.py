"""LMNet: a diffusion model that shapes the lesion (Tian et al. 2025, section 2.1).

Axes: b batch, g channels of the organs around, s edge of the cube. Masks are -1 outside and 1 inside the lesion, with
the share of a voxel that lies inside between them.
"""

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medsmith.data.batches import Batch
from medsmith.diffusion import Denoiser, Predict
from medsmith.methods.lesiondiffusion.config import MaskConfig
from medsmith.methods.lesiondiffusion.words import Words, forgotten
from medsmith.networks import UNet

GROUPS = 3
"""Parenchymal organs, hollow organs, everything else that is labelled."""
_SITE = ("organ", "around", "box")


@final
class LMNet(nn.Module):
    """Answers for noisy masks.

    Args:
        config: settings.
        attributes: number of attributes that shape a mask.
    """

    def __init__(self, config: MaskConfig, attributes: int) -> None:
        super().__init__()
        self.config, self.process = config, config.diffusion.process()
        self.words = Words(config.words, attributes)
        channels = 1 + 1 + around_channels(config) + 1
        self.network = UNet(
            config.network, 3, channels, 1, context=self.words.context, modulation=self.words.modulation
        )

    def forward(
        self,
        noisy: Float[Tensor, "b 1 s s s"],
        t: Int[Tensor, "b"],
        site: Float[Tensor, "b c s s s"],
        vectors: Float[Tensor, "b n d"],
    ) -> Float[Tensor, "b 1 s s s"]:
        """The network's answer.

        Args:
            noisy: mask with noise.
            t: times.
            site: target organ, organs around and box (``site_of``).
            vectors: encoded attributes.
        """
        answer: Tensor = self.network(torch.cat([noisy, site], dim=1), t, *self.words(vectors))
        return answer

    def loss(self, batch: Batch, null: Float[Tensor, "n d"], rng: torch.Generator) -> Float[Tensor, ""]:
        """Equation 2: the error inside the box, and gamma times that everywhere.

        Each case's weights have mean 1, so that a large box counts no more than a small one.

        Args:
            batch: examples ("mask", "organ", "around", "box", "mask_words").
            null: the null text of every attribute.
            rng: source of times, noise and forgotten words.
        """
        noised = self.process.noised(batch["mask"].float(), rng)
        vectors = forgotten(batch["mask_words"], null, self.config.words, rng)
        weight = batch["box"].float() + self.config.outside
        weight = weight / weight.mean(dim=(1, 2, 3, 4), keepdim=True)
        return self.process.loss(self(noised.x, noised.t, site_of(batch), vectors), noised, weight)

    def denoiser(
        self,
        site: Float[Tensor, "1 c s s s"],
        vectors: Float[Tensor, "1 n d"],
        null: Float[Tensor, "1 n d"],
        guidance: float,
    ) -> Denoiser:
        """The network with site and words bound, guided away from the null text."""

        def with_words(words: Tensor) -> Predict:
            return lambda x, t: self(x, t, site, words)

        return self.process.denoiser(with_words(null), (with_words(vectors), guidance))


def around_channels(config: MaskConfig) -> int:
    """Channels of the organs around."""
    return 1 if config.organs == "id" else GROUPS


def site_of(batch: Batch) -> Float[Tensor, "b c s s s"]:
    """Target organ, organs around and box as channels; the one place that orders them."""
    return torch.cat([batch[key].float() for key in _SITE], dim=1)
