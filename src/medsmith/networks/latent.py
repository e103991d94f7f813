"""The state space of diffusion: latents of an autoencoder, or voxels (Rombach et al. 2022).

Axes: b batch, c channels of the image, ``*space`` its grid in 2-D or 3-D, d channels of the state, ``*latent`` its
grid.

Latents are the output of the encoder. The state is the latents scaled to mean 0 and standard deviation 1 in each
channel; diffusion works on the state.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn.functional import max_pool2d, max_pool3d

_SMALLEST_DEVIATION = 1e-6
"""Keeps the state of a constant channel finite."""


@final
@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of latents, by channel.

    Attributes:
        mean: of each channel.
        deviation: standard deviation of each channel, at least 1e-6.
    """

    mean: Float32[Tensor, "d"]
    deviation: Float32[Tensor, "d"]

    @classmethod
    def of(cls, latents: Iterable[Float[Tensor, "b d *latent"]]) -> "Scale":
        """The scale over all voxels of all latents, computed in float64 with one batch in memory.

        Raises:
            ValueError: there are no latents.
        """
        count, mean, squares = 0, torch.zeros(()), torch.zeros(())
        for batch in latents:  # Chan et al. 1983, equation 2.1: sums about the running mean avoid cancellation
            rows = batch.detach().cpu().double().movedim(1, 0).flatten(1)
            own, total = rows.mean(1), count + rows.shape[1]
            share, shift = rows.shape[1] / total, own - mean
            squares = squares + (rows - own[:, None]).square().sum(1) + shift.square() * count * share
            mean, count = mean + shift * share, total
        if not count:
            raise ValueError("no latents to take a scale of")
        return cls(mean.float(), (squares / count).sqrt().clamp(min=_SMALLEST_DEVIATION).float())

    def to_state(self, latents: Float[Tensor, "b d *latent"]) -> Float32[Tensor, "b d *latent"]:
        """Latents with mean 0 and standard deviation 1 per channel."""
        mean, deviation = self._broadcast(latents)
        return (latents - mean) / deviation

    def to_latents(self, state: Float[Tensor, "b d *latent"]) -> Float32[Tensor, "b d *latent"]:
        """The inverse of ``to_state``."""
        mean, deviation = self._broadcast(state)
        return state * deviation + mean

    def _broadcast(self, values: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, *[1] * (values.ndim - 2))
        return self.mean.reshape(shape), self.deviation.reshape(shape)


@runtime_checkable
class LatentSpace(Protocol):
    """Maps images in model space to the state of diffusion and back."""

    @property
    def channels(self) -> int:
        """Channels of the state."""
        ...

    @property
    def factor(self) -> int:
        """Voxels per latent along each axis."""
        ...

    @property
    def halo(self) -> int:
        """Receptive field of encoder and decoder: latents along each axis, on each side, that an output depends on."""
        ...

    @property
    def scale(self) -> Scale:
        """Scale of the latents, on the device of the networks; part of the weights."""
        ...

    def encode(self, x: Float[Tensor, "b c *space"]) -> Float32[Tensor, "b d *latent"]:
        """The state of an image, without randomness.

        Raises:
            ValueError: a length of the grid is no multiple of ``factor``.
        """
        ...

    def decode(self, z: Float[Tensor, "b d *latent"]) -> Float32[Tensor, "b c *space"]:
        """The image of a state."""
        ...

    def fit_scale(self, states: Iterable[Float[Tensor, "b d *latent"]]) -> None:
        """Give ``encode`` mean 0 and deviation 1 over these images, once the autoencoder is trained.

        Args:
            states: of training images, as ``encode`` gives them under the scale as it is.
        """
        ...


@final
class VoxelSpace:
    """The voxels of the image as the state, multiplied by a constant.

    Args:
        amplitude: value of the state where the image is 1.
        channels: of the image.
    """

    factor = 1
    halo = 0

    def __init__(self, amplitude: float = 1.0, channels: int = 1) -> None:
        self.channels, self._amplitude = channels, amplitude
        self.scale = Scale(torch.zeros(channels), torch.full((channels,), 1 / amplitude))

    def encode(self, x: Float[Tensor, "b c *space"]) -> Float32[Tensor, "b c *space"]:
        """The image times the amplitude."""
        return x * self._amplitude

    def decode(self, z: Float[Tensor, "b c *space"]) -> Float32[Tensor, "b c *space"]:
        """The state divided by the amplitude, clamped to [-1, 1]."""
        return (z / self._amplitude).clamp(-1, 1)

    def fit_scale(self, states: Iterable[Float[Tensor, "b c *space"]]) -> None:
        """Does nothing: the amplitude is fixed."""


def on_latent_grid(share: Float[Tensor, "b c *space"], factor: int) -> Float[Tensor, "b c *latent"]:
    """A mask on the grid of the state: the largest share in each block, so that a lesion of one voxel is kept.

    Args:
        share: of each voxel, 0 to 1.
        factor: of the latent space.
    """
    return max_pool2d(share, factor) if share.ndim == 4 else max_pool3d(share, factor)


def check_grid(x: Float[Tensor, "b c *space"], factor: int) -> None:
    """Check that an image can be encoded.

    Raises:
        ValueError: a length is no multiple of ``factor``.
    """
    if any(length % factor for length in x.shape[2:]):
        raise ValueError(f"an image of {tuple(x.shape[2:])} voxels: every axis must be a multiple of {factor}")
