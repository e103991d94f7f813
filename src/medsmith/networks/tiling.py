"""Encoding and decoding images of any size in bounded memory, without seams.

Each tile is computed with a halo as wide as the receptive field of the network, and the halo is cropped. At the border
of the image tiles have no halo, so that padding acts as on the whole image. The result equals that of the whole image
up to float32 rounding. Where the device has no memory for a tile, smaller tiles are taken.
"""

from collections.abc import Callable, Iterator
from itertools import product

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from medsmith.networks.latent import LatentSpace, check_grid
from medsmith.networks.memory import made_in_pieces

TILE = 32
"""Latents along each edge of a tile, halo not counted."""
_SMALLEST = 4
"""The same, where memory is exhausted; below it the halo takes most of the memory."""
Slices = tuple[slice, ...]


@torch.inference_mode()
def encode_in_tiles(
    space: LatentSpace, x: Float[Tensor, "b c *space"], tile: int = TILE
) -> Float32[Tensor, "b d *latent"]:
    """The state of an image, on the device of the image; the device of the network holds one tile at a time.

    Args:
        space: its encoder is used.
        x: image in model space.
        tile: latents along each edge of a tile; smaller ones where memory is exhausted.

    Raises:
        ValueError: a length of the grid is no multiple of the space's factor.
    """
    check_grid(x, space.factor)
    return made_in_pieces(lambda size: _tiled(space.encode, x, space, size, (space.factor, 1)), tile, _SMALLEST)


@torch.inference_mode()
def decode_in_tiles(
    space: LatentSpace, z: Float[Tensor, "b d *latent"], tile: int = TILE
) -> Float32[Tensor, "b c *space"]:
    """The image of a state, on the state's device.

    Args:
        space: its decoder is used.
        z: state on the grid of ``encode_in_tiles``.
        tile: latents along each edge of a tile; smaller ones where memory is exhausted.
    """
    return made_in_pieces(lambda size: _tiled(space.decode, z, space, size, (1, space.factor)), tile, _SMALLEST)


def _tiled(
    network: Callable[[Tensor], Tensor], source: Tensor, space: LatentSpace, tile: int, scales: tuple[int, int]
) -> Tensor:
    """The output of a network, assembled from tiles.

    Args:
        network: maps a tile of the source to a tile of the output.
        source: input of the network.
        space: gives halo and device.
        tile: latents along each edge.
        scales: voxels per latent in source and output.
    """
    device, halo, (in_scale, out_scale) = space.scale.mean.device, space.halo, scales
    grid = [length // in_scale for length in source.shape[2:]]
    result = source.new_empty(0)
    for core in _cores(grid, tile):
        padded = tuple(
            slice(max(part.start - halo, 0), min(part.stop + halo, length))
            for part, length in zip(core, grid, strict=True)
        )
        output = network(source[_all(_scaled(padded, in_scale))].to(device))
        if not result.numel():
            result = source.new_empty((*output.shape[:2], *(n * out_scale for n in grid)), dtype=output.dtype)
        inner = tuple(
            slice(part.start - edge.start, part.stop - edge.start) for part, edge in zip(core, padded, strict=True)
        )
        result[_all(_scaled(core, out_scale))] = output[_all(_scaled(inner, out_scale))].to(result.device)
    return result


def _cores(grid: list[int], tile: int) -> Iterator[Slices]:
    """Boxes that cover the grid, each voxel once."""
    axes = [[slice(start, min(start + tile, length)) for start in range(0, length, tile)] for length in grid]
    yield from product(*axes)


def _scaled(box: Slices, scale: int) -> Slices:
    return tuple(slice(part.start * scale, part.stop * scale) for part in box)


def _all(box: Slices) -> tuple[slice, ...]:
    """The box in every image and channel of a batch."""
    return (slice(None), slice(None), *box)
