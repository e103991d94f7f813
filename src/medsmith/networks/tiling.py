"""Encoding and decoding volumes of any size in bounded memory, without seams.

Each tile is worked through with a halo as wide as the network's reach and the halo is cut off, so that every voxel has
seen what it would have seen in the whole volume; the volume's own faces are faces of the tiles there. The result equals
that of the whole volume up to the rounding of float32.
"""

from collections.abc import Callable, Iterator
from itertools import product

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from medsmith.networks.vqgan import FACTOR, VQGAN

TILE = 32
"""Latents along each edge of a tile, halo not counted."""
Slices = tuple[slice, ...]


@torch.inference_mode()
def encode_in_tiles(vqgan: VQGAN, image: Float[Tensor, "b 1 x y z"], tile: int = TILE) -> Float32[Tensor, "b d u v w"]:
    """The latents of a volume, on the volume's device; the network's device holds one tile at a time.

    Args:
        vqgan: the network.
        image: volume in model space, even numbers of voxels.
        tile: latents along each edge of a tile.
    """
    if any(length % FACTOR for length in image.shape[2:]):
        raise ValueError(f"a volume of {tuple(image.shape[2:])} voxels cannot be halved")
    grid = tuple(length // FACTOR for length in image.shape[2:])
    latents = image.new_empty((len(image), vqgan.config.latent, *grid), dtype=torch.float32)
    _fill(latents, image, vqgan.encode, vqgan, tile, (FACTOR, 1))
    return latents


@torch.inference_mode()
def decode_in_tiles(
    vqgan: VQGAN, latents: Float[Tensor, "b d u v w"], tile: int = TILE
) -> Float32[Tensor, "b 1 x y z"]:
    """The volume of latents, which are quantised first; on the latents' device.

    Args:
        vqgan: the network.
        latents: as ``encode_in_tiles`` gives them, changed or not.
        tile: latents along each edge of a tile.
    """
    grid = tuple(length * FACTOR for length in latents.shape[2:])
    image = latents.new_empty((len(latents), 1, *grid), dtype=torch.float32)
    _fill(image, latents, vqgan.decode, vqgan, tile, (1, FACTOR))
    return image


def _fill(
    result: Tensor,
    source: Tensor,
    network: Callable[[Tensor], Tensor],
    vqgan: VQGAN,
    tile: int,
    scales: tuple[int, int],
) -> None:
    """Put the network's answer for every tile into the result.

    Args:
        result: what is filled.
        source: what is read.
        network: from one to the other.
        vqgan: whose reach and device count.
        tile: latents along each edge.
        scales: voxels per latent of source and result.
    """
    device, (read, written) = vqgan.last_weight.device, scales
    grid = [length // read for length in source.shape[2:]]
    for core in _cores(grid, tile):
        wide = tuple(
            slice(max(part.start - vqgan.config.halo, 0), min(part.stop + vqgan.config.halo, length))
            for part, length in zip(core, grid, strict=True)
        )
        answer = network(source[_all(_scaled(wide, read))].to(device))
        inner = tuple(
            slice(part.start - edge.start, part.stop - edge.start) for part, edge in zip(core, wide, strict=True)
        )
        result[_all(_scaled(core, written))] = answer[_all(_scaled(inner, written))].to(result.device)


def _cores(grid: list[int], tile: int) -> Iterator[Slices]:
    """Boxes that cover the grid, each voxel once."""
    axes = [[slice(start, min(start + tile, length)) for start in range(0, length, tile)] for length in grid]
    yield from product(*axes)


def _scaled(box: Slices, scale: int) -> Slices:
    return tuple(slice(part.start * scale, part.stop * scale) for part in box)


def _all(box: Slices) -> tuple[slice, ...]:
    """The box in every case and channel."""
    return (slice(None), slice(None), *box)
