"""LMNet: a diffusion model of the lesion's mask (Tian et al. 2025, section 2.1).

Axes: b batch, c channels of the context, s edge of the cube. Masks are -1 outside and 1 inside the lesion;
partial voxels lie in between.
"""

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medsmith.data.batches import Batch
from medsmith.diffusion import Denoiser, Predict
from medsmith.insertion.context import context_channels
from medsmith.methods.lesiondiffusion.config import MaskConfig
from medsmith.networks import UNet
from medsmith.networks.text_conditioning import TextConditioning, attribute_dropout

_CONTEXT = ("organ", "other_organs", "box")


@final
class LMNet(nn.Module):
    """Denoiser of masks.

    Args:
        config: settings.
        attributes: number of attributes that condition the mask.
    """

    def __init__(self, config: MaskConfig, attributes: int) -> None:
        super().__init__()
        self.config, self.process = config, config.diffusion.process()
        self.words = TextConditioning(config.words, attributes)
        channels = 1 + context_channels(config.organs)
        self.network = UNet(
            config.network, 3, channels, 1, context=self.words.context, modulation=self.words.modulation
        )

    def forward(
        self,
        noisy: Float[Tensor, "b 1 s s s"],
        t: Int[Tensor, "b"],
        context: Float[Tensor, "b c s s s"],
        vectors: Float[Tensor, "b n d"],
    ) -> Float[Tensor, "b 1 s s s"]:
        """The network's prediction.

        Args:
            noisy: mask with noise.
            t: times.
            context: target organ, other organs and box (``context_of_batch``).
            vectors: encoded attributes.
        """
        output: Tensor = self.network(torch.cat([noisy, context], dim=1), t, *self.words(vectors))
        return output

    def loss(self, batch: Batch, null: Float[Tensor, "n d"], rng: torch.Generator) -> Float[Tensor, ""]:
        """Equation 2: the error inside the box plus gamma times the error everywhere.

        The weights of each case have mean 1, so that all box sizes count the same.

        Args:
            batch: examples ("mask", "organ", "other_organs", "box", "mask_words").
            null: the null text of every attribute.
            rng: source of times, noise and attribute dropout.
        """
        noised = self.process.noised(batch["mask"].float(), rng)
        vectors = attribute_dropout(batch["mask_words"], null, self.config.words, rng)
        weight = batch["box"].float() + self.config.outside
        weight = weight / weight.mean(dim=(1, 2, 3, 4), keepdim=True)
        return self.process.loss(self(noised.x, noised.t, context_of_batch(batch), vectors), noised, weight)

    def denoiser(
        self,
        context: Float[Tensor, "1 c s s s"],
        vectors: Float[Tensor, "1 n d"],
        null: Float[Tensor, "1 n d"],
        guidance: float,
    ) -> Denoiser:
        """The network with context and words bound, with classifier-free guidance."""

        def with_words(words: Tensor) -> Predict:
            return lambda x, t: self(x, t, context, words)

        return self.process.denoiser(with_words(null), (with_words(vectors), guidance))


def context_of_batch(batch: Batch) -> Float[Tensor, "b c s s s"]:
    """Target organ, other organs and box as channels, in the order that LMNet expects."""
    return torch.cat([batch[key].float() for key in _CONTEXT], dim=1)
