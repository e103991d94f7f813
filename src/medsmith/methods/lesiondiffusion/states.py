"""What LINet diffuses: voxels, or latents of the VQGAN.

Axes: b batch, s edge of the cube, c channels of the state, h edge of the state's cube (s, or s / 2 in the latent).
"""

from typing import Protocol, final, runtime_checkable

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import max_pool3d

from medsmith.networks.vqgan import FACTOR, VQGAN


@runtime_checkable
class States(Protocol):
    """Between images in model space and the state of the walk."""

    @property
    def channels(self) -> int:
        """Channels of the state."""
        ...

    def of(self, image: Float[Tensor, "b 1 s s s"]) -> Float[Tensor, "b c h h h"]:
        """The state of an image."""
        ...

    def back(self, state: Float[Tensor, "b c h h h"]) -> Float[Tensor, "b 1 s s s"]:
        """The image of a state."""
        ...

    def masks(self, share: Float[Tensor, "b 1 s s s"]) -> Float[Tensor, "b 1 h h h"]:
        """A mask on the grid of the state."""
        ...


@final
class Voxels:
    """The image itself: nothing is lost, and nothing needs decoding.

    Args:
        amplitude: of the state, where the image has 1.
    """

    channels = 1

    def __init__(self, amplitude: float) -> None:
        self._amplitude = amplitude

    def of(self, image: Tensor) -> Tensor:
        """The image, stretched."""
        return image * self._amplitude

    def back(self, state: Tensor) -> Tensor:
        """The image, back in model space."""
        return (state / self._amplitude).clamp(-1, 1)

    def masks(self, share: Tensor) -> Tensor:
        """The mask."""
        return share


@final
class Latents:
    """Latents of the VQGAN, standardised by its codes as they are used.

    Args:
        vqgan: trained.
    """

    def __init__(self, vqgan: VQGAN) -> None:
        self._vqgan = vqgan
        self.channels = vqgan.config.latent

    def of(self, image: Tensor) -> Tensor:
        """The latents before quantisation, as the released code takes them."""
        return self._vqgan.to_state(self._vqgan.encode(image))

    def back(self, state: Tensor) -> Tensor:
        """Quantised and decoded."""
        return self._vqgan.decode(self._vqgan.to_latents(state))

    def masks(self, share: Tensor) -> Tensor:
        """The largest share of each block, so that a lesion of one voxel stays."""
        return max_pool3d(share, FACTOR)
