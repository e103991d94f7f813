"""Encoding and decoding images of any size in bounded memory, without seams.

Each tile is worked through with a halo as wide as the network's reach and the halo is cut off, so that every voxel has
seen what it would have seen in the whole image; the image's own faces are faces of the tiles there. The result equals
that of the whole image up to the rounding of float32.
"""

from collections.abc import Callable, Iterator
from itertools import product

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from medsmith.networks.latent import LatentSpace, check_grid

TILE = 32
"""Latents along each edge of a tile, halo not counted."""
Slices = tuple[slice, ...]


@torch.inference_mode()
def encode_in_tiles(
    space: LatentSpace, x: Float[Tensor, "b c *space"], tile: int = TILE
) -> Float32[Tensor, "b d *latent"]:
    """The state of an image, on the image's device; the network's device holds one tile at a time.

    Args:
        space: whose encoder.
        x: image in model space.
        tile: latents along each edge of a tile.

    Raises:
        ValueError: a length of the grid is no multiple of the space's factor.
    """
    check_grid(x, space.factor)
    return _tiled(space.encode, x, space, tile, (space.factor, 1))


@torch.inference_mode()
def decode_in_tiles(
    space: LatentSpace, z: Float[Tensor, "b d *latent"], tile: int = TILE
) -> Float32[Tensor, "b c *space"]:
    """The image of a state, on the state's device.

    Args:
        space: whose decoder.
        z: as ``encode_in_tiles`` gives it, changed or not.
        tile: latents along each edge of a tile.
    """
    return _tiled(space.decode, z, space, tile, (1, space.factor))


def _tiled(
    network: Callable[[Tensor], Tensor], source: Tensor, space: LatentSpace, tile: int, scales: tuple[int, int]
) -> Tensor:
    """The network's answer, put together from tiles.

    Args:
        network: from source to answer.
        source: what is read.
        space: whose reach and device count.
        tile: latents along each edge.
        scales: voxels per latent of source and answer.
    """
    device, halo, (read, written) = space.scale.mean.device, space.halo, scales
    grid = [length // read for length in source.shape[2:]]
    result = source.new_empty(0)
    for core in _cores(grid, tile):
        wide = tuple(
            slice(max(part.start - halo, 0), min(part.stop + halo, length))
            for part, length in zip(core, grid, strict=True)
        )
        answer = network(source[_all(_scaled(wide, read))].to(device))
        if not result.numel():
            result = source.new_empty((*answer.shape[:2], *(n * written for n in grid)), dtype=answer.dtype)
        inner = tuple(
            slice(part.start - edge.start, part.stop - edge.start) for part, edge in zip(core, wide, strict=True)
        )
        result[_all(_scaled(core, written))] = answer[_all(_scaled(inner, written))].to(result.device)
    return result


def _cores(grid: list[int], tile: int) -> Iterator[Slices]:
    """Boxes that cover the grid, each voxel once."""
    axes = [[slice(start, min(start + tile, length)) for start in range(0, length, tile)] for length in grid]
    yield from product(*axes)


def _scaled(box: Slices, scale: int) -> Slices:
    return tuple(slice(part.start * scale, part.stop * scale) for part in box)


def _all(box: Slices) -> tuple[slice, ...]:
    """The box in every case and channel."""
    return (slice(None), slice(None), *box)
