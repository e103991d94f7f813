"""A lesion put at a place of another grid.

Axes: c channels, ``*own`` = x y or x y z of the lesion's own image, ``*space`` = those of the network's grid. Fractions
run from 0 to 1 over the field of view.
"""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from scipy import ndimage
from torch import Tensor

from medsmith.cases.display import displayed_place
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import to_grid
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError
from medsmith.methods.mddpm.pathology import Fractions, Source, field_of_view
from medsmith.methods.mddpm.request import Pathology

INSIDE = 0.75
"""Least share of a lesion that lies in its organ; a nodule may touch the wall."""
VISIBLE = 0.9
"""Least share of a lesion that lies in the image."""
TRIES = 500
"""Places tried where the seed chooses one."""
_OVERSAMPLING = 8


@final
class PlacementError(Exception):
    """A lesion that does not fit into one anatomy, and may fit into another.

    Args:
        error: what to raise where it fits into none.
    """

    def __init__(self, error: RequestError) -> None:
        super().__init__(error.line)
        self.error = error


@final
@dataclass(frozen=True, eq=False)
class Placed:
    """A lesion at its place on the network's grid.

    Attributes:
        image: its whole image, moved with it, in model space.
        mask: of the lesion.
        label: name of its label.
        at: its center as fractions of the field of view as displayed; see ``displayed_place``.
    """

    image: Float32[Tensor, "c *space"]
    mask: Bool[np.ndarray, "*space"]
    label: str
    at: Fractions


@final
@dataclass(frozen=True, eq=False)
class Transplant:
    """A lesion on its way to the network's grid.

    Attributes:
        source: the lesion in its own image.
        pathology: what is asked for.
        extent: field of view of the grid, in the unit of the source's.
        size: the grid.
        key: of the pathology in the request, for messages.
        oriented: whether the grid has an orientation.
    """

    source: Source
    pathology: Pathology
    extent: Fractions
    size: tuple[int, ...]
    key: str
    oriented: bool

    @classmethod
    def of(
        cls, source: Source, pathology: Pathology, facts: Fingerprint, size: tuple[int, ...], key: str
    ) -> "Transplant":
        """A transplant to the median field of view of the training cohort."""
        extent = field_of_view(facts.shape, facts.spacing, facts.dimensions, in_mm=source.in_mm)
        return cls(source, pathology, extent, size, key, facts.spacing_known)

    def place(self, organ: Bool[np.ndarray, "*space"] | None, seed: int) -> Placed:
        """The lesion at the place of the request, or at one in an organ that the seed chooses.

        Args:
            organ: where the lesion must lie; None allows every place.
            seed: chooses the place where the request names none.

        Raises:
            PlacementError: the lesion does not fit into the organ.
            RequestError: the place lies outside the image, or the lesion vanishes on the grid.
        """
        at = self._at(organ, seed)
        share, shown = self._share(at), displayed_place(at, self.oriented)
        where = ", ".join(f"{value:.2f}" for value in shown)
        mask = self._mask(share)
        if float(share.sum()) < VISIBLE * self._volume:
            fact = f"at {where} the lesion reaches beyond the image"
            raise RequestError(self.key, fact, f"at least {VISIBLE:.0%} of it lie inside", "move it")
        if organ is not None and (mask & organ).sum() < INSIDE * mask.sum():
            held = (mask & organ).sum() / mask.sum()
            fact = f"at {where}, {held:.0%} of the lesion lie in the {self.pathology.within}"
            raise PlacementError(
                RequestError(self.key, fact, f"at least {INSIDE:.0%}", "choose another place, or no 'at'")
            )
        return Placed(self._moved(self.source.image, at), mask, self.source.label, shown)

    @property
    def _volume(self) -> float:
        """Of the whole lesion, in voxels of the grid."""
        own = np.array(self.source.mask.shape)
        voxel = np.prod(self.source.extent / own) / np.prod(self.extent / np.array(self.size))
        return float(self.source.mask.sum() * voxel * self.pathology.scale ** len(self.size))

    def _at(self, organ: Bool[np.ndarray, "*space"] | None, seed: int) -> Fractions:
        asked = self.pathology.at
        if asked is not None and len(asked) != len(self.size):
            raise RequestError(self.key, f"at has {len(asked)} values", f"the images are {len(self.size)}-D")
        if asked is not None:
            return displayed_place(np.array(asked, float), self.oriented)
        if organ is None:
            return self.source.center
        return self._place_in(organ, np.random.default_rng(derive_seed(seed, "place", self.key)))

    def _place_in(self, organ: Bool[np.ndarray, "*space"], rng: np.random.Generator) -> Fractions:
        """The best of some random places, the center of the lesion in the middle of a voxel of the organ."""
        candidates, size = np.argwhere(organ), np.array(self.size)
        if not len(candidates):
            raise PlacementError(
                RequestError(self.key, f"the anatomy has no {self.pathology.within}", cure="name another")
            )
        tried = candidates[rng.permutation(len(candidates))[:TRIES]]
        middle = size // 2
        offsets = np.argwhere(self._mask(self._share((middle + 0.5) / size))) - middle
        places = tried[:, None] + offsets
        within = ((places >= 0) & (places < size)).all(-1)
        held = (organ[tuple(np.moveaxis(np.clip(places, 0, size - 1), -1, 0))] & within).mean(1)
        best = int(np.argmax(held))
        if held[best] < INSIDE:
            fact = f"the lesion fits nowhere in the {self.pathology.within}: at best {held[best]:.0%} of it lie inside"
            raise PlacementError(RequestError(self.key, fact, f"at least {INSIDE:.0%}", "make it smaller"))
        return np.asarray((tried[best] + 0.5) / size, float)

    def _share(self, at: Fractions) -> Float32[np.ndarray, "*space"]:
        """Share of each voxel that the lesion covers."""
        share: Float32[np.ndarray, "*space"] = self._moved(self.source.mask[None], at, outside="constant")[0].numpy()
        return share

    def _mask(self, share: Float32[np.ndarray, "*space"]) -> Bool[np.ndarray, "*space"]:
        """Voxels of which the lesion covers at least half."""
        mask: Bool[np.ndarray, "*space"] = share >= 0.5
        if not mask.any():
            found = f"covers at most {share.max():.0%} of a voxel" if share.max() > 0 else "lies outside the image"
            grid = " x ".join(map(str, self.size))
            raise RequestError(self.key, f"the lesion {found} of {grid}", "half a voxel", "raise scale, or move it")
        return mask

    def _moved(
        self, volume: Float32[Tensor, "c *own"], at: Fractions, outside: Literal["nearest", "constant"] = "nearest"
    ) -> Float32[Tensor, "c *space"]:
        """A volume of the source on the network's grid, the lesion's center at a place, scaled and rotated.

        It is sampled at about its own resolution and then reduced, so that thin structures do not alias.
        """
        own, size = np.array(volume.shape[1:]), np.array(self.size)
        fine = size * int(np.clip(np.ceil((own / size).max()), 1, _OVERSAMPLING))
        # target voxel -> mm about `at` -> turned and scaled back -> mm about the lesion -> source voxel
        turned = _rotation(-self.pathology.rotate, len(size)) / self.pathology.scale
        matrix = np.diag(own / self.source.extent) @ turned @ np.diag(self.extent / fine)
        offset = own * self.source.center - 0.5 - matrix @ (at * fine - 0.5)
        moved = [
            ndimage.affine_transform(channel.numpy(), matrix, offset, tuple(fine), order=1, mode=outside)
            for channel in volume
        ]
        return to_grid(torch.from_numpy(np.stack(moved).astype(np.float32)), self.size)


def _rotation(degrees: float, dimensions: int) -> Float64[np.ndarray, "d d"]:
    """Rotation in the plane of the first two axes, from x towards y."""
    angle = np.deg2rad(degrees)
    matrix = np.eye(dimensions)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return matrix
