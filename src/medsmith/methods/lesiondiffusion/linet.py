"""LINet: a diffusion model that inpaints the lesion (Tian et al. 2025, section 2.2).

Axes: b batch, c channels of the state (1 in voxel space, those of the latent otherwise), s edge of the state's cube.
Outside the inpainted region the state is that of the scan, without noise, at every time (equation 4).
"""

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medsmith.diffusion import Denoiser, Predict
from medsmith.methods.lesiondiffusion.config import PaintConfig
from medsmith.networks import UNet
from medsmith.networks.text_conditioning import TextConditioning, attribute_dropout


@final
class LINet(nn.Module):
    """Denoiser of states that are noisy in the inpainted region.

    Args:
        config: settings.
        channels: of the state.
        attributes: number of attributes that condition the image.
    """

    def __init__(self, config: PaintConfig, channels: int, attributes: int) -> None:
        super().__init__()
        self.config, self.process = config, config.diffusion.process()
        self.words = TextConditioning(config.words, attributes)
        self._margin = config.reach_mm > 0
        self._state = channels
        self.network = UNet(
            config.network,
            3,
            channels + 1 + self._margin,
            channels + (config.mask_head > 0),
            context=self.words.context,
            modulation=self.words.modulation,
        )

    def forward(
        self,
        noisy: Float[Tensor, "b c s s s"],
        t: Int[Tensor, "b"],
        lesion: Float[Tensor, "b 1 s s s"],
        region: Float[Tensor, "b 1 s s s"],
        vectors: Float[Tensor, "b n d"],
    ) -> tuple[Float[Tensor, "b c s s s"], Float[Tensor, "b m s s s"]]:
        """The prediction for the state, and the logits of the mask (no channels without a mask head).

        Args:
            noisy: state with noise in the inpainted region.
            t: times.
            lesion: share of each voxel inside the lesion, 0..1.
            region: 1 where the state is inpainted.
            vectors: encoded attributes.
        """
        inputs = [noisy, lesion * 2 - 1] + [region * 2 - 1] * self._margin
        output: Tensor = self.network(torch.cat(inputs, dim=1), t, *self.words(vectors))
        return output[:, : self._state], output[:, self._state :]

    def loss(
        self,
        clean: Float[Tensor, "b c s s s"],
        lesion: Float[Tensor, "b 1 s s s"],
        region: Float[Tensor, "b 1 s s s"],
        vectors: Float[Tensor, "b n d"],
        null: Float[Tensor, "n d"],
        rng: torch.Generator,
    ) -> Float[Tensor, ""]:
        """Equations 4 and 5: noise only in the inpainted region; the error is divided by the voxels of its box.

        The paper sums over the whole box. Voxels without noise have nothing to predict, so the released code and this
        one sum over the region. The weights over times are those of the diffusion settings.

        Args:
            clean: the state without noise.
            lesion: share of each voxel inside the lesion.
            region: 1 where the state is inpainted.
            vectors: encoded attributes.
            null: the null text of every attribute.
            rng: source of times, noise and attribute dropout.
        """
        noised = self.process.noised(clean, rng)
        words = attribute_dropout(vectors, null, self.config.words, rng)
        prediction, logits = self(torch.where(region > 0, noised.x, clean), noised.t, lesion, region, words)
        share = region * (region[0].numel() / _box_voxels(region)).reshape(-1, 1, 1, 1, 1)
        total = self.process.loss(prediction, noised, share, self.config.norm)
        if self.config.mask_head > 0:
            total = total + self.config.mask_head * _dice_loss(logits, lesion)
        return total

    def denoiser(
        self,
        lesion: Float[Tensor, "1 1 s s s"],
        region: Float[Tensor, "1 1 s s s"],
        vectors: Float[Tensor, "1 n d"],
        null: Float[Tensor, "1 n d"],
        guidance: float,
    ) -> Denoiser:
        """The guided network with its conditions bound; sampling must keep the background (``keep_outside``).

        Guidance extrapolates the mean of the lesion as well as its texture: a lesion that should be as dense as its
        organ becomes denser. With level "kept", the mean over the lesion is that of the conditional prediction.
        Guidance is applied to predictions; the clean estimate is affine in them with the same coefficients.
        """

        def with_words(words: Tensor) -> Predict:
            return lambda x, t: self(x, t, lesion, region, words)[0]

        def with_level_kept(x: Tensor, t: Tensor) -> Tensor:
            conditional, unconditional = with_words(vectors)(x, t), with_words(null)(x, t)
            return conditional + (guidance - 1) * _without_level(conditional - unconditional, lesion)

        if self.config.level == "guided" or guidance in (0, 1):
            return self.process.denoiser(with_words(null), (with_words(vectors), guidance))
        return self.process.denoiser(with_level_kept)


def _without_level(difference: Float[Tensor, "1 c s s s"], lesion: Float[Tensor, "1 1 s s s"]) -> Tensor:
    """A difference less the multiple of the lesion's share that fits it best; of a sharp mask, less the mean inside."""
    axes = (2, 3, 4)
    square = (lesion**2).sum(axes, keepdim=True).clamp(min=1e-6)
    return difference - lesion * (difference * lesion).sum(axes, keepdim=True) / square


def _box_voxels(region: Float[Tensor, "b 1 s s s"]) -> Float[Tensor, "b"]:
    """Voxels of the bounding box of each region, B' of equation 5."""
    voxels = torch.ones(len(region), device=region.device)
    for axis in (2, 3, 4):
        others = [other for other in (1, 2, 3, 4) if other != axis]
        hit = (region > 0).float().amax(dim=others)
        places = torch.arange(hit.shape[1], device=region.device).float()
        last = torch.where(hit > 0, places, -1.0).amax(1)
        first = torch.where(hit > 0, places, float(hit.shape[1])).amin(1)
        voxels = voxels * (last - first + 1).clamp(min=1)
    return voxels


def _dice_loss(logits: Float[Tensor, "b 1 s s s"], lesion: Float[Tensor, "b 1 s s s"]) -> Float[Tensor, ""]:
    """One minus the soft Dice overlap, mean over cases (the released code's extra term)."""
    share = logits.sigmoid().flatten(1)
    truth = lesion.flatten(1)
    overlap = (2 * (share * truth).sum(1) + 1) / (share.sum(1) + truth.sum(1) + 1)
    return (1 - overlap).mean()
