"""The autoencoder of images, of either kind, and its losses."""

import torch
from jaxtyping import Float
from torch import Tensor

from medsmith.methods.lldm.config import LldmConfig
from medsmith.networks.autoencoder_losses import PlaneDistance, vqgan_discriminator_loss, vqgan_loss
from medsmith.networks.discriminator import Discriminators
from medsmith.networks.kl_autoencoder import KLAutoencoder
from medsmith.networks.kl_losses import KLLossConfig, kl_autoencoder_loss, kl_discriminator_loss
from medsmith.networks.vqgan import VQGAN, VQGANConfig

Networks = tuple[KLAutoencoder | VQGAN, Discriminators]


def image_autoencoder(config: LldmConfig, dimensions: int, channels: int) -> KLAutoencoder | VQGAN:
    """The untrained autoencoder: a VQGAN if its config has codes.

    Args:
        config: of the method.
        dimensions: 2 or 3.
        channels: of the images.
    """
    shape = config.image_autoencoder
    if isinstance(shape, VQGANConfig):
        return VQGAN(shape, dimensions, channels)
    return KLAutoencoder(shape, dimensions, channels)


def image_loss(
    networks: Networks,
    image: Float[Tensor, "b c *space"],
    config: KLLossConfig,
    rng: torch.Generator,
    perceptual: PlaneDistance | None,
) -> Float[Tensor, ""]:
    """Loss of the autoencoder.

    Args:
        networks: autoencoder and discriminators.
        image: a batch.
        config: weights of the terms.
        rng: of the latents that are drawn.
        perceptual: the perceptual distance, if there is one.
    """
    autoencoder, discriminators = networks
    if isinstance(autoencoder, VQGAN):
        return vqgan_loss(autoencoder, discriminators, image, config.image, rng, perceptual)
    return kl_autoencoder_loss(autoencoder, discriminators, image, config, rng, perceptual)


def discriminator_loss(
    networks: Networks, image: Float[Tensor, "b c *space"], config: KLLossConfig, rng: torch.Generator
) -> Float[Tensor, ""]:
    """Loss of the discriminators; the arguments are those of ``image_loss``."""
    autoencoder, discriminators = networks
    if isinstance(autoencoder, VQGAN):
        return vqgan_discriminator_loss(autoencoder, discriminators, image, config.image, rng)
    return kl_discriminator_loss(autoencoder, discriminators, image, config, rng)
