"""Losses of a KL autoencoder and its discriminators, for a method to call.

    images:  |x - D(z)| + perceptual + weight KL(q(z | x), N(0, 1)) + lambda weight generator_loss(C(D(z)))
    labels:  cross-entropy(D(z), x) + Dice(D(z), x) + weight KL(q(z | x), N(0, 1))

x is the image or label map, z ~ q(z | x) its latents, D the decoder, C a discriminator (Rombach et al. 2022, appendix
G; Esser et al. 2021 for the adaptive lambda). Networks may run under autocast; all sums are taken in float32.
"""

from typing import final

import torch
from jaxtyping import Float, Integer
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from medsmith.networks.autoencoder_losses import (
    AutoencoderLossConfig,
    PlaneDistance,
    adversarial_autoencoder_loss,
    adversarial_discriminator_loss,
)
from medsmith.networks.discriminator import Discriminators
from medsmith.networks.kl_autoencoder import KLAutoencoder, KLReconstruction
from medsmith.networks.labels import cross_entropy, dice_loss, one_hot


@final
class KLLossConfig(BaseModel):
    """Weights of the terms for images.

    Attributes:
        kl: weight of the divergence, which is a sum over an image's latents: 1e-7 in MONAI's tutorials of 3-D latent
            diffusion, 1e-6 in Rombach et al.
        image: weights of the other terms.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kl: float = Field(default=1e-7, ge=0)
    image: AutoencoderLossConfig = AutoencoderLossConfig()


@final
class LabelLossConfig(BaseModel):
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
    discriminators: Discriminators,
    image: Float[Tensor, "b c *space"],
    config: KLLossConfig,
    rng: torch.Generator,
    perceptual: PlaneDistance | None = None,
) -> Float[Tensor, ""]:
    """Loss of encoder and decoder; in training mode the step is counted.

    Args:
        autoencoder: what is trained.
        discriminators: frozen meanwhile.
        image: in model space.
        config: weights of the terms.
        rng: source of latents and planes, on the CPU.
        perceptual: distance of planes; None leaves the term out.
    """
    output = _forward(autoencoder, image, rng)
    regularization = config.kl * output.posterior.divergence()
    return adversarial_autoencoder_loss(
        autoencoder, discriminators, output.image, image, regularization, config.image, rng, perceptual
    )


def kl_discriminator_loss(
    autoencoder: KLAutoencoder,
    discriminators: Discriminators,
    image: Float[Tensor, "b c *space"],
    config: KLLossConfig,
    rng: torch.Generator,
) -> Float[Tensor, ""]:
    """Loss of the discriminators of images and reconstructions; 0 before the step at which they start."""
    return adversarial_discriminator_loss(
        autoencoder, discriminators, image, lambda: autoencoder(image, rng).image, config.image, rng
    )


def label_autoencoder_loss(
    autoencoder: KLAutoencoder,
    labels: Integer[Tensor, "b *space"],
    config: LabelLossConfig,
    rng: torch.Generator,
    class_weights: Float[Tensor, "k"] | None = None,
) -> Float[Tensor, ""]:
    """Loss of an autoencoder of label maps, one-hot in and logits out; in training mode the step is counted.

    Args:
        autoencoder: what is trained, with as many channels in and out as there are classes.
        labels: 0 to classes - 1.
        config: weights of the terms.
        rng: source of latents, on the CPU.
        class_weights: of cross-entropy and Dice loss; None for equal ones.
    """
    output = _forward(autoencoder, one_hot(labels, autoencoder.in_channels), rng)
    return (
        config.cross_entropy * cross_entropy(output.image, labels, class_weights)
        + config.dice * dice_loss(output.image, labels, class_weights)
        + config.kl * output.posterior.divergence()
    )


def _forward(autoencoder: KLAutoencoder, x: Tensor, rng: torch.Generator) -> KLReconstruction:
    output: KLReconstruction = autoencoder(x, rng)
    if autoencoder.training:
        autoencoder.steps += 1
    return output
