"""LMNet: a diffusion model that shapes the lesion (Tian et al. 2025, section 2.1).

Axes: b batch, g channels of the organs around, s edge of the cube. Masks are -1 outside and 1 inside the lesion, with
the share of a voxel that lies inside between them.
"""

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medsmith.compute import Compute
from medsmith.data.batches import Batch
from medsmith.diffusion import Denoiser, guided
from medsmith.methods.lesiondiffusion.config import MaskConfig
from medsmith.methods.lesiondiffusion.words import Words, forgotten
from medsmith.networks import UNet
from medsmith.objective import denoising_error, draw_times, normal_like

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


def around_channels(config: MaskConfig) -> int:
    """Channels of the organs around."""
    return 1 if config.organs == "id" else GROUPS


def site_of(batch: Batch) -> Float[Tensor, "b c s s s"]:
    """Target organ, organs around and box as channels; the one place that orders them."""
    return torch.cat([batch[key].float() for key in _SITE], dim=1)


def mask_loss(
    net: LMNet,
    batch: Batch,
    null: Float[Tensor, "n d"],
    config: MaskConfig,
    compute: Compute,
    draw: torch.Generator,
) -> Float[Tensor, ""]:
    """Equation 2: the error inside the box, and gamma times that everywhere.

    Each case's weights have mean 1, so that a large box counts no more than a small one.
    """
    clean, schedule = batch["mask"].float(), config.diffusion.noise_schedule()
    t = draw_times(config.diffusion, len(clean), draw).to(clean.device)
    vectors = forgotten(batch["mask_words"], null, config.words, draw)
    noised = schedule.add_noise(clean, normal_like(clean, draw), t)
    with compute.passes(t.device.type):
        answer = net(noised.x, t, site_of(batch), vectors).float()
    weight = batch["box"].float() + config.outside
    weight = weight / weight.mean(dim=(1, 2, 3, 4), keepdim=True)
    return denoising_error(answer, noised, schedule, config.diffusion, weight)


def mask_denoiser(
    net: LMNet,
    site: Float[Tensor, "1 c s s s"],
    vectors: Float[Tensor, "1 n d"],
    null: Float[Tensor, "1 n d"],
    config: MaskConfig,
    guidance: float,
    compute: Compute,
) -> Denoiser:
    """LMNet with site and words bound, guided away from the null text."""
    schedule = config.diffusion.noise_schedule()

    def seeing(words: Tensor) -> Denoiser:
        def predict(x: Tensor, t: Tensor) -> Tensor:
            with compute.passes(t.device.type):
                answer: Tensor = net(x, t, site, words)
            return answer.float()

        return schedule.denoiser(predict, config.diffusion.prediction, None)

    return clamped(guided(seeing(null), (seeing(vectors), guidance)), config.diffusion.clamp)


def clamped(denoise: Denoiser, limit: float | None) -> Denoiser:
    """The clean estimate within ``limit``; after guidance, which is linear only before."""
    if limit is None:
        return denoise
    return lambda x, t: denoise(x, t).clamp(-limit, limit)
