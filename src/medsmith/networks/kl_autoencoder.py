"""The variational autoencoder of latent diffusion (Kingma & Welling 2014; Rombach et al. 2022, KL-regularised).

Axes: b batch, c channels of the image, ``*space`` its grid in 2-D or 3-D, d channels of a latent, ``*latent`` their
grid.

For label maps: one-hot channels in, as many logits out (see ``labels``).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from medsmith.networks.autoencoder import AutoencoderConfig, build_decoder, build_encoder, last_weight
from medsmith.networks.latent import Scale, check_grid

_LOG_VARIANCE = (-30.0, 20.0)
"""Range of the log variance, as in Rombach et al.'s code: its exponential stays finite."""


@final
@dataclass(frozen=True)
class Posterior:
    """A normal distribution of each latent, independent of the others: q(z | x).

    Attributes:
        mean: of each.
        log_variance: natural logarithm of the variance of each.
    """

    mean: Float32[Tensor, "b d *latent"]
    log_variance: Float32[Tensor, "b d *latent"]

    def sample(self, rng: torch.Generator) -> Float32[Tensor, "b d *latent"]:
        """Reparameterized samples, differentiable in mean and variance; the noise is sampled on the CPU."""
        noise = torch.randn(self.mean.shape, generator=rng).to(self.mean.device)
        return self.mean + (self.log_variance / 2).exp() * noise

    def divergence(self) -> Float32[Tensor, ""]:
        """Kullback-Leibler divergence from the standard normal, in nats; summed over an image, mean over the batch.

        Kingma & Welling 2014, appendix B, with the opposite sign. The weights in the literature (1e-7 to 1e-6) apply
        to the sum over an image's latents, not to their mean.
        """
        each = (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance) / 2
        return each.flatten(1).sum(1).mean()


@final
@dataclass(frozen=True)
class KLReconstruction:
    """The output of a KL autoencoder for an image.

    Attributes:
        image: decoded from latents sampled from the posterior; logits, for label maps.
        posterior: distribution of the latents, from the encoder.
    """

    image: Float32[Tensor, "b out *space"]
    posterior: Posterior


@final
class KLAutoencoder(nn.Module):
    """Encoder to a normal distribution of latents, and decoder; a ``LatentSpace``.

    Args:
        config: its shape.
        dimensions: 2 or 3.
        in_channels: of the image.
        out_channels: of the output; as many as of the image, unless given.
    """

    steps: Tensor
    scale_mean: Tensor
    scale_deviation: Tensor

    def __init__(
        self, config: AutoencoderConfig, dimensions: int, in_channels: int = 1, out_channels: int | None = None
    ) -> None:
        super().__init__()
        self.config, self.in_channels = config, in_channels
        self.channels, self.factor, self.halo = config.latent, config.factor, config.halo
        self.encoder = build_encoder(config, dimensions, in_channels, 2 * config.latent)
        self.decoder = build_decoder(config, dimensions, in_channels if out_channels is None else out_channels)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("scale_mean", torch.zeros(config.latent))
        self.register_buffer("scale_deviation", torch.ones(config.latent))

    def forward(self, image: Float[Tensor, "b c *space"], rng: torch.Generator) -> KLReconstruction:
        """Encode, sample latents from the posterior, decode."""
        posterior = self.posterior(image)
        return KLReconstruction(self._decode(posterior.sample(rng)), posterior)

    def posterior(self, image: Float[Tensor, "b c *space"]) -> Posterior:
        """The distribution of the image's latents, before scaling.

        Raises:
            ValueError: a length of the grid is no multiple of ``factor``.
        """
        check_grid(image, self.factor)
        moments: Tensor = self.encoder(image)
        mean, log_variance = moments.float().chunk(2, 1)
        return Posterior(mean, log_variance.clamp(*_LOG_VARIANCE))

    def encode(self, x: Float[Tensor, "b c *space"]) -> Float32[Tensor, "b d *latent"]:
        """The state of an image: the posterior's mean, scaled."""
        return self.scale.to_state(self.posterior(x).mean)

    def decode(self, z: Float[Tensor, "b d *latent"]) -> Float32[Tensor, "b out *space"]:
        """The image of a state."""
        return self._decode(self.scale.to_latents(z))

    @property
    def scale(self) -> Scale:
        """Mean and deviation of latents; 0 and 1 until fitted."""
        return Scale(self.scale_mean, self.scale_deviation)

    @torch.no_grad()
    def fit_scale(self, states: Iterable[Float[Tensor, "b d *latent"]]) -> None:
        """Give ``encode`` mean 0 and deviation 1 over these images, once the autoencoder is trained.

        Args:
            states: of training images, as ``encode`` gives them under the scale as it is.

        Raises:
            ValueError: there are no states.
        """
        found = Scale.of(states)
        mean, deviation = (each.to(self.scale_mean.device) for each in (found.mean, found.deviation))
        self.scale_mean.add_(self.scale_deviation * mean)
        self.scale_deviation.mul_(deviation)

    @property
    def last_weight(self) -> Tensor:
        """The weight of the last convolution, for the adaptive weight of the generator loss."""
        return last_weight(self.decoder)

    def _decode(self, latents: Float32[Tensor, "b d *latent"]) -> Float32[Tensor, "b out *space"]:
        image: Tensor = self.decoder(latents)
        return image.float()
