"""Losses of autoencoders of images and their discriminators (Tian et al. 2025, equation 3), for a method to call.

    L = |x - D(q(z))|^2 + |sg(z) - q(z)|^2 + beta |sg(q(z)) - z|^2 + lambda weight log(1 - C(D(q(z))))

x is the image, z its latents, q the codebook, D the decoder, C a discriminator, sg the stop-gradient. The paper prints
no beta and no weights; the released code has beta 0.25, the l1 norm, the hinge loss, weight 0.5 and the adaptive lambda
of Esser et al. 2021. Networks may run under autocast; all sums are taken in float32.
"""

from collections.abc import Callable
from typing import Literal, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import relu, softplus

from medsmith.networks.discriminator import Discriminators, Plane
from medsmith.networks.vqgan import VQGAN, Reconstruction

GANLoss = Literal["hinge", "logistic"]
PlaneDistance = Callable[[Tensor, Tensor], Tensor]
"""Perceptual distance of two batches of planes b c u v in [-1, 1], as one number."""
_EPSILON = 1e-4
_LARGEST_WEIGHT = 1e4


@runtime_checkable
class AdversarialAutoencoder(Protocol):
    """What training against discriminators needs of an autoencoder."""

    steps: Tensor
    """Training steps so far."""

    @property
    def last_weight(self) -> Tensor:
        """The last weight of the decoder."""
        ...


@final
class AutoencoderLossConfig(BaseModel):
    """Weights of the terms.

    Attributes:
        norm: of the reconstruction error: "l2" (equation 3) or "l1" (the released code).
        gan_loss: "logistic" (equation 3) or "hinge" (the released code).
        adversarial: weight of the generator loss, times the adaptive one; 0 trains no discriminator.
        discriminator_from: first step, counted from 1, at which the discriminators are used and trained.
        perceptual: weight of the perceptual term, where one is given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    norm: Literal["l1", "l2"] = "l1"
    gan_loss: GANLoss = "hinge"
    adversarial: float = Field(default=0.5, ge=0)
    discriminator_from: int = Field(default=2000, ge=0, le=10**9)
    perceptual: float = Field(default=1.0, ge=0)


def vqgan_loss(
    vqgan: VQGAN,
    discriminators: Discriminators,
    image: Float[Tensor, "b c *space"],
    config: AutoencoderLossConfig,
    rng: torch.Generator,
    perceptual: PlaneDistance | None = None,
) -> Float[Tensor, ""]:
    """Equation 3 for encoder, codebook and decoder; in training mode the codebook is updated too.

    Args:
        vqgan: what is trained.
        discriminators: frozen meanwhile.
        image: in model space.
        config: weights of the terms.
        rng: source of planes and of revived codes, on the CPU.
        perceptual: distance of planes; None leaves the term out.
    """
    output: Reconstruction = vqgan(image)
    if vqgan.training:
        vqgan.update(output, rng)
    return adversarial_autoencoder_loss(
        vqgan, discriminators, output.image, image, output.quantized.loss, config, rng, perceptual
    )


def vqgan_discriminator_loss(
    vqgan: VQGAN,
    discriminators: Discriminators,
    image: Float[Tensor, "b c *space"],
    config: AutoencoderLossConfig,
    rng: torch.Generator,
) -> Float[Tensor, ""]:
    """Loss of the discriminators of images and reconstructions; 0 before the step at which they start."""
    return adversarial_discriminator_loss(vqgan, discriminators, image, lambda: vqgan(image).image, config, rng)


def adversarial_autoencoder_loss(
    autoencoder: AdversarialAutoencoder,
    discriminators: Discriminators,
    reconstructed: Float[Tensor, "b c *space"],
    image: Float[Tensor, "b c *space"],
    regularization: Float[Tensor, ""],
    config: AutoencoderLossConfig,
    rng: torch.Generator,
    perceptual: PlaneDistance | None = None,
) -> Float[Tensor, ""]:
    """Reconstruction, perceptual and generator loss, and a regularization of the latents.

    Args:
        autoencoder: what is trained.
        discriminators: frozen meanwhile.
        reconstructed: what the decoder made of the latents.
        image: the image that was encoded.
        regularization: loss of the latents, which does not enter the adaptive weight.
        config: weights of the terms.
        rng: source of planes, on the CPU.
        perceptual: distance of planes; None leaves the term out.
    """
    plane = Plane.sample(image.shape, rng)
    reconstruction = reconstruction_loss(reconstructed, image, config.norm)
    if perceptual is not None:
        distance = perceptual(plane.of(reconstructed), plane.of(image)).float()
        reconstruction = reconstruction + config.perceptual * distance
    total = reconstruction + regularization
    if not _discriminators_active(autoencoder, config):
        return total
    generator = generator_loss(discriminators(reconstructed, plane), config.gan_loss)
    weight = config.adversarial * adaptive_weight(reconstruction, generator, autoencoder.last_weight)
    return total + weight * generator


def adversarial_discriminator_loss(
    autoencoder: AdversarialAutoencoder,
    discriminators: Discriminators,
    image: Float[Tensor, "b c *space"],
    reconstruct: Callable[[], Tensor],
    config: AutoencoderLossConfig,
    rng: torch.Generator,
) -> Float[Tensor, ""]:
    """Loss of the discriminators; 0 before the step at which they start, when nothing is reconstructed either.

    Args:
        autoencoder: frozen.
        discriminators: what is trained.
        image: in model space.
        reconstruct: returns the reconstruction of ``image``.
        config: weights of the terms.
        rng: source of planes, on the CPU.
    """
    if not _discriminators_active(autoencoder, config):
        return sum((0 * weights.sum() for weights in discriminators.parameters()), torch.zeros((), device=image.device))
    with torch.no_grad():
        reconstructed = reconstruct()
    plane = Plane.sample(image.shape, rng)
    return discriminator_loss(discriminators(image, plane), discriminators(reconstructed, plane), config.gan_loss)


def reconstruction_loss(
    reconstructed: Float[Tensor, "b c *space"], image: Float[Tensor, "b c *space"], norm: Literal["l1", "l2"]
) -> Float[Tensor, ""]:
    """Mean absolute or squared error."""
    error = reconstructed.float() - image.float()
    return error.abs().mean() if norm == "l1" else error.square().mean()


def generator_loss(fake: tuple[Tensor, ...], gan_loss: GANLoss) -> Float[Tensor, ""]:
    """Loss of the decoder: minus the logits (hinge), or log(1 - C) (logistic); summed over discriminators.

    Args:
        fake: logits of reconstructions, one tensor per discriminator.
        gan_loss: kind of loss.
    """
    if gan_loss == "hinge":
        return torch.stack([-logits.float().mean() for logits in fake]).sum()
    return torch.stack([-softplus(logits.float()).mean() for logits in fake]).sum()


def discriminator_loss(real: tuple[Tensor, ...], fake: tuple[Tensor, ...], gan_loss: GANLoss) -> Float[Tensor, ""]:
    """Hinge loss, or -log C(real) - log(1 - C(fake)); halved, summed over discriminators.

    Args:
        real: logits of images, one tensor per discriminator.
        fake: logits of reconstructions.
        gan_loss: kind of loss.
    """
    signed = [-logits.float() for logits in real] + [logits.float() for logits in fake]
    parts = [relu(1 + logits).mean() if gan_loss == "hinge" else softplus(logits).mean() for logits in signed]
    return torch.stack(parts).sum() / 2


def adaptive_weight(
    reconstruction: Float[Tensor, ""], generator: Float[Tensor, ""], last_weight: Float[Tensor, "..."]
) -> Float[Tensor, ""]:
    """Ratio of the two losses' gradients at the decoder's last weight (Esser et al. 2021, equation 7), at most 10^4."""
    wanted, pushed = (
        torch.autograd.grad(loss, last_weight, retain_graph=True)[0] for loss in (reconstruction, generator)
    )
    ratio = torch.linalg.vector_norm(wanted.float()) / (torch.linalg.vector_norm(pushed.float()) + _EPSILON)
    return torch.clamp(ratio, max=_LARGEST_WEIGHT).detach()


def _discriminators_active(autoencoder: AdversarialAutoencoder, config: AutoencoderLossConfig) -> bool:
    return config.adversarial > 0 and int(autoencoder.steps) >= config.discriminator_from
