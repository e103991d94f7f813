"""What autoencoders of images and their critics minimise (Tian et al. 2025, equation 3), for a method to call.

    L = |x - D(q(z))|^2 + |sg(z) - q(z)|^2 + beta |sg(q(z)) - z|^2 + lambda weight log(1 - C(D(q(z))))

x is the image, z its latents, q the codebook, D the decoder, C a critic, sg the stop-gradient. The paper prints no beta
and no weights; the released code has beta 0.25, the l1 norm, the hinge game, weight 0.5 and the adaptive lambda of
Esser et al. 2021. Networks may run under autocast; all sums are taken in float32.
"""

from collections.abc import Callable
from typing import Literal, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import relu, softplus

from medsmith.networks.critic import Critics, Plane
from medsmith.networks.vqgan import VQGAN, Reconstruction

PlaneDistance = Callable[[Tensor, Tensor], Tensor]
"""Perceptual distance of two batches of planes b c u v in [-1, 1], as one number."""
_SMALL = 1e-4
_MOST = 1e4


@runtime_checkable
class AdversarialAutoencoder(Protocol):
    """What training against critics needs of an autoencoder."""

    steps: Tensor
    """Training steps so far."""

    @property
    def last_weight(self) -> Tensor:
        """The last weight of the decoder."""
        ...


@final
class AutoencodingConfig(BaseModel):
    """Weights of the terms.

    Attributes:
        norm: of the reconstruction error: "l2" (equation 3) or "l1" (the released code).
        game: "logistic" (equation 3) or "hinge" (the released code).
        adversarial: weight of the critics' term, beside the adaptive one; 0 trains no critic.
        critic_from: first step, counted from 1, at which the critics count and learn.
        perceptual: weight of the perceptual term, where one is given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    norm: Literal["l1", "l2"] = "l1"
    game: Literal["hinge", "logistic"] = "hinge"
    adversarial: float = Field(default=0.5, ge=0)
    critic_from: int = Field(default=2000, ge=0)
    perceptual: float = Field(default=1.0, ge=0)


def autoencoder_loss(
    vqgan: VQGAN,
    critics: Critics,
    image: Float[Tensor, "b c *space"],
    config: AutoencodingConfig,
    draw: torch.Generator,
    perceptual: PlaneDistance | None = None,
) -> Float[Tensor, ""]:
    """Equation 3 for encoder, codebook and decoder; in training mode the codebook learns too.

    Args:
        vqgan: what is trained.
        critics: frozen meanwhile.
        image: in model space.
        config: weights of the terms.
        draw: source of planes and of revived codes, on the CPU.
        perceptual: distance of planes; None leaves the term out.
    """
    made: Reconstruction = vqgan(image)
    if vqgan.training:
        vqgan.learn(made, draw)
    return image_loss(vqgan, critics, made.image, image, made.quantised.loss, config, draw, perceptual)


def critic_loss(
    vqgan: VQGAN,
    critics: Critics,
    image: Float[Tensor, "b c *space"],
    config: AutoencodingConfig,
    draw: torch.Generator,
) -> Float[Tensor, ""]:
    """What the critics minimise: telling images from reconstructions; 0 before the step they count from."""
    return discrimination_loss(vqgan, critics, image, lambda: vqgan(image).image, config, draw)


def image_loss(
    autoencoder: AdversarialAutoencoder,
    discriminator: Critics,
    made: Float[Tensor, "b c *space"],
    image: Float[Tensor, "b c *space"],
    penalty: Float[Tensor, ""],
    config: AutoencodingConfig,
    draw: torch.Generator,
    perceptual: PlaneDistance | None = None,
) -> Float[Tensor, ""]:
    """Reconstruction, perceptual and generator loss, and a penalty on the latents.

    Args:
        autoencoder: what is trained.
        discriminator: frozen meanwhile.
        made: what the decoder made of the latents.
        image: what it was to be.
        penalty: the latents' own term, which has no part in the adaptive weight.
        config: weights of the terms.
        draw: source of planes, on the CPU.
        perceptual: distance of planes; None leaves the term out.
    """
    plane = Plane.drawn(image.shape, draw)
    faithful = reconstruction_loss(made, image, config.norm)
    if perceptual is not None:
        faithful = faithful + config.perceptual * perceptual(plane.of(made), plane.of(image)).float()
    total = faithful + penalty
    if not _critics_count(autoencoder, config):
        return total
    fooling = fooling_loss(discriminator(made, plane), config.game)
    return total + config.adversarial * adaptive_weight(faithful, fooling, autoencoder.last_weight) * fooling


def discrimination_loss(
    autoencoder: AdversarialAutoencoder,
    discriminator: Critics,
    image: Float[Tensor, "b c *space"],
    reconstruct: Callable[[], Tensor],
    config: AutoencodingConfig,
    draw: torch.Generator,
) -> Float[Tensor, ""]:
    """The discriminator's loss; 0 before the step it counts from, when nothing is reconstructed either.

    Args:
        autoencoder: frozen.
        discriminator: what is trained.
        image: in model space.
        reconstruct: gives the image after its way through the autoencoder.
        config: weights of the terms.
        draw: source of planes, on the CPU.
    """
    if not _critics_count(autoencoder, config):
        return sum((0 * weights.sum() for weights in discriminator.parameters()), torch.zeros((), device=image.device))
    with torch.no_grad():
        made = reconstruct()
    plane = Plane.drawn(image.shape, draw)
    return telling_loss(discriminator(image, plane), discriminator(made, plane), config.game)


def reconstruction_loss(
    made: Float[Tensor, "b c *space"], image: Float[Tensor, "b c *space"], norm: Literal["l1", "l2"]
) -> Float[Tensor, ""]:
    """Mean absolute or squared error."""
    error = made.float() - image.float()
    return error.abs().mean() if norm == "l1" else error.square().mean()


def fooling_loss(fake: tuple[Tensor, ...], game: Literal["hinge", "logistic"]) -> Float[Tensor, ""]:
    """What the decoder minimises: minus the critics' answers (hinge), or log(1 - C) (logistic); summed over critics."""
    if game == "hinge":
        return torch.stack([-answer.float().mean() for answer in fake]).sum()
    return torch.stack([-softplus(answer.float()).mean() for answer in fake]).sum()


def telling_loss(
    real: tuple[Tensor, ...], fake: tuple[Tensor, ...], game: Literal["hinge", "logistic"]
) -> Float[Tensor, ""]:
    """What the critics minimise: the hinge loss, or -log C(real) - log(1 - C(fake)); halved, summed over critics."""
    signed = [-answer.float() for answer in real] + [answer.float() for answer in fake]
    parts = [relu(1 + answer).mean() if game == "hinge" else softplus(answer).mean() for answer in signed]
    return torch.stack(parts).sum() / 2


def adaptive_weight(
    faithful: Float[Tensor, ""], fooling: Float[Tensor, ""], last_weight: Float[Tensor, "..."]
) -> Float[Tensor, ""]:
    """Ratio of the two losses' gradients at the decoder's last weight (Esser et al. 2021, equation 7), at most 10^4."""
    wanted, pushed = (torch.autograd.grad(loss, last_weight, retain_graph=True)[0] for loss in (faithful, fooling))
    ratio = torch.linalg.vector_norm(wanted.float()) / (torch.linalg.vector_norm(pushed.float()) + _SMALL)
    return torch.clamp(ratio, max=_MOST).detach()


def _critics_count(autoencoder: AdversarialAutoencoder, config: AutoencodingConfig) -> bool:
    return config.adversarial > 0 and int(autoencoder.steps) >= config.critic_from
