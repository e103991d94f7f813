"""What a KL autoencoder and its discriminator minimise, as functions for a method to call.

    images:  |x - D(z)| + perceptual + weight KL(q(z | x), N(0, 1)) + lambda weight fooling(C(D(z)))
    labels:  cross-entropy(D(z), x) + Dice(D(z), x) + weight KL(q(z | x), N(0, 1))

x is the image or label map, z ~ q(z | x) its latents, D the decoder, C the discriminator (Rombach et al. 2022, appendix
G; Esser et al. 2021 for the adaptive lambda). Networks may run under autocast; all sums are taken in float32.
"""

from typing import final

import torch
from jaxtyping import Float, Integer
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from medsmith.networks.autoencoding import AutoencodingConfig, PlaneDistance, discrimination_loss, image_loss
from medsmith.networks.critic import Critics
from medsmith.networks.kl_autoencoder import KLAutoencoder, Resampling
from medsmith.networks.labels import cross_entropy, dice_loss, one_hot


@final
class KLConfig(BaseModel):
    """Weights of the terms for images.

    Attributes:
        kl: weight of the divergence, which is a sum over an image's latents: 1e-7 in MONAI's tutorials of 3-D latent
            diffusion, 1e-6 in Rombach et al.
        image: weights of the other terms.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kl: float = Field(default=1e-7, ge=0)
    image: AutoencodingConfig = AutoencodingConfig()


@final
class LabelConfig(BaseModel):
    """Weights of the terms for label maps.

    Attributes:
        kl: weight of the divergence, which is a sum over a map's latents.
        cross_entropy: weight of the cross-entropy.
        dice: weight of the Dice loss.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kl: float = Field(default=1e-7, ge=0)
    cross_entropy: float = Field(default=1.0, ge=0)
    dice: float = Field(default=1.0, ge=0)


def kl_autoencoder_loss(
    autoencoder: KLAutoencoder,
    discriminator: Critics,
    image: Float[Tensor, "b c *space"],
    config: KLConfig,
    draw: torch.Generator,
    perceptual: PlaneDistance | None = None,
) -> Float[Tensor, ""]:
    """For encoder and decoder; in training mode the step is counted.

    Args:
        autoencoder: what is trained.
        discriminator: frozen meanwhile.
        image: in model space.
        config: weights of the terms.
        draw: source of latents and planes, on the CPU.
        perceptual: distance of planes; None leaves the term out.
    """
    made = _made(autoencoder, image, draw)
    penalty = config.kl * made.posterior.divergence()
    return image_loss(autoencoder, discriminator, made.image, image, penalty, config.image, draw, perceptual)


def kl_discriminator_loss(
    autoencoder: KLAutoencoder,
    discriminator: Critics,
    image: Float[Tensor, "b c *space"],
    config: KLConfig,
    draw: torch.Generator,
) -> Float[Tensor, ""]:
    """For the discriminator: telling images from reconstructions; 0 before the step it counts from."""
    return discrimination_loss(
        autoencoder, discriminator, image, lambda: autoencoder(image, draw).image, config.image, draw
    )


def label_autoencoder_loss(
    autoencoder: KLAutoencoder,
    labels: Integer[Tensor, "b *space"],
    config: LabelConfig,
    draw: torch.Generator,
    class_weights: Float[Tensor, "k"] | None = None,
) -> Float[Tensor, ""]:
    """For an autoencoder of label maps, one-hot in and logits out; in training mode the step is counted.

    Args:
        autoencoder: what is trained, with as many channels in and out as there are classes.
        labels: 0 to classes - 1.
        config: weights of the terms.
        draw: source of latents, on the CPU.
        class_weights: of cross-entropy and Dice loss; None for equal ones.
    """
    made = _made(autoencoder, one_hot(labels, autoencoder.in_channels), draw)
    return (
        config.cross_entropy * cross_entropy(made.image, labels, class_weights)
        + config.dice * dice_loss(made.image, labels, class_weights)
        + config.kl * made.posterior.divergence()
    )


def _made(autoencoder: KLAutoencoder, x: Tensor, draw: torch.Generator) -> Resampling:
    made: Resampling = autoencoder(x, draw)
    if autoencoder.training:
        autoencoder.steps += 1
    return made
