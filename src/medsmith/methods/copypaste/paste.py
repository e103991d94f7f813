"""One structure put into a template: where it may lie, its gray values, its edge.

Axes: c channels, x y z voxel axes of the template, u v w those of a patch, canonical.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy import ndimage

from medsmith.cases.hounsfield import is_ct
from medsmith.formats.volume import Region
from medsmith.insertion.noise_matching import missing_noise
from medsmith.insertion.write_back import blend
from medsmith.methods.copypaste.body import body_of
from medsmith.methods.copypaste.patch import Patch
from medsmith.methods.copypaste.places import Density, Place, find_place
from medsmith.methods.copypaste.request import CopyPasteRequest
from medsmith.methods.copypaste.rings import Match, gray_of, ring_around
from medsmith.methods.copypaste.structures import TOUCHING, Triple

APART = 1
"""Voxels between two structures, at least."""
FEATHER = 3.0
"""Width of the soft edge in shortest edges of a voxel, where the request names none."""


@final
@dataclass(frozen=True, eq=False)
class Canvas:
    """A template that structures are pasted into; image and labels are edited in place.

    Attributes:
        image: in stored units.
        labels: label map.
        channel_names: of the image.
        label_names: name -> value, with those of what is pasted.
        spacing: edges of a voxel, mm (``structures.edges_of``).
        stored: dtype of the image on disk.
    """

    image: Float32[np.ndarray, "c x y z"]
    labels: UInt8[np.ndarray, "x y z"]
    channel_names: tuple[str, ...]
    label_names: Mapping[str, int]
    spacing: Triple
    stored: np.dtype[Any]

    @cached_property
    def body(self) -> Bool[np.ndarray, "x y z"]:
        """Voxels of the body, as they were before anything was pasted if asked for then."""
        return body_of(self.image, self.channel_names)

    def tissue(self, within: Collection[str]) -> Bool[np.ndarray, "x y z"]:
        """Voxels of some labels, or of the unlabeled body where none is named."""
        if not within:
            return np.asarray(self.body & (self.labels == 0), bool)
        return self._voxels_of(within)

    def count(self, structures: Collection[str]) -> int:
        """Structures, voxels of some labels that touch, that are there."""
        return int(ndimage.label(self._voxels_of(structures), TOUCHING)[1])

    def _voxels_of(self, names: Collection[str]) -> Bool[np.ndarray, "x y z"]:
        values = [self.label_names[name] for name in names if name in self.label_names]
        return np.asarray(np.isin(self.labels, values), bool)

    def apart_from(self, tissue: Bool[np.ndarray, "x y z"], structures: Collection[str]) -> Bool[np.ndarray, "x y z"]:
        """What of a tissue is some voxels away from all structures."""
        taken = self._voxels_of(structures)
        return tissue & ~ndimage.maximum_filter(taken, 2 * APART + 1) if taken.any() else tissue


@final
@dataclass(frozen=True)
class Pasting:
    """How structures are put into a template.

    Attributes:
        request: of the user.
        structures: names of all labels that structures have.
        density: of places; None draws them evenly.
    """

    request: CopyPasteRequest
    structures: tuple[str, ...]
    density: Density | None

    def feather_mm(self, spacing: Triple) -> float:
        """Width of the soft edge."""
        asked = self.request.feather_mm
        return FEATHER * min(spacing) if asked is None else asked

    def within(self, surroundings: str | None) -> tuple[str, ...]:
        """Labels that must hold a structure: those of the request, else the one around it in its own image."""
        return self.request.within or (() if surroundings is None else (surroundings,))

    def paste(
        self,
        canvas: Canvas,
        patch: Patch,
        names: Mapping[int, str],
        tissue: Bool[np.ndarray, "x y z"],
        rng: np.random.Generator,
    ) -> Mapping[str, Any] | None:
        """Puts a structure where it fits, and records where; None where it fits nowhere.

        Args:
            canvas: edited in place.
            patch: the structure on its grid.
            names: label value in the patch -> name.
            tissue: voxels that must hold it.
            rng: source of the place.
        """
        allowed = canvas.apart_from(tissue, self.structures)
        ring = ring_around(patch.inside, canvas.spacing)
        place = find_place(patch, canvas.image, allowed, ring, self.density, rng)
        if place is None:
            return None
        there, here = _overlap(place, patch.inside.shape, canvas.labels.shape)
        matches = self._matches(canvas, patch, ring, tissue, (there, here))
        weight = _weight(patch, canvas, tissue[there], here, self.feather_mm(canvas.spacing))
        for channel, own, match, name in zip(canvas.image, patch.image, matches, canvas.channel_names, strict=True):
            low, high = min(channel.min(), own.min()), max(channel.max(), own.max())
            values = match(own[here])
            if self.request.gray == "matched" and is_ct(name):
                values = values + self._noise(values, channel[there], patch.inside[here], canvas.spacing, rng)
            blend(channel, there, np.clip(values, low, high).astype(np.float32), weight, canvas.stored)
        labels, inside = canvas.labels[there], patch.labels[here]
        for value, name in names.items():
            labels[inside == value] = canvas.label_names[name]
        center = (np.argwhere(patch.inside).mean(0) + place + 0.5) / canvas.labels.shape
        return {
            "at": [round(float(share), 4) for share in center],
            "gray": [match.record for match in matches],
            "voxels": int(patch.inside.sum()),
        }

    def _noise(
        self,
        values: Float32[np.ndarray, "u v w"],
        before: Float32[np.ndarray, "u v w"],
        inside: Bool[np.ndarray, "u v w"],
        spacing: Triple,
        rng: np.random.Generator,
    ) -> Float32[np.ndarray, "u v w"] | float:
        """Noise of the scan that a structure lacks, since resampling averages it, or its own scanner has less.

        In CT alone: there noise is the same in a lesion as around it. A cyst in ultrasound has no speckle.
        """
        seed = int(rng.integers(2**63))
        return missing_noise(values, before, inside, spacing, seed)

    def _matches(
        self,
        canvas: Canvas,
        patch: Patch,
        ring: Bool[np.ndarray, "u v w"],
        tissue: Bool[np.ndarray, "x y z"],
        regions: tuple[Region, Region],
    ) -> list[Match]:
        """The change of gray values of each channel; none where too little surrounds the structure on either side."""
        there, here = regions
        own = gray_of(patch.image, ring & patch.around)
        new = gray_of(canvas.image[:, *there], ring[here] & tissue[there])
        if self.request.gray == "kept" or not own or not new:
            return [Match()] * len(canvas.image)
        return [
            Match.between(one, other, fixed_scale=is_ct(name))
            for one, other, name in zip(own, new, canvas.channel_names, strict=True)
        ]


def _overlap(place: Place, shape: tuple[int, ...], whole: tuple[int, ...]) -> tuple[Region, Region]:
    """The part of a template that a patch covers, and the part of the patch that covers it."""
    low = [max(start, 0) for start in place]
    high = [min(start + count, total) for start, count, total in zip(place, shape, whole, strict=True)]
    x, y, z = (slice(first, last) for first, last in zip(low, high, strict=True))
    u, v, w = (slice(first - start, last - start) for first, last, start in zip(low, high, place, strict=True))
    return (x, y, z), (u, v, w)


def _weight(
    patch: Patch, canvas: Canvas, tissue: Bool[np.ndarray, "u v w"], here: Region, feather_mm: float
) -> Float32[np.ndarray, "u v w"]:
    """Share of the donor's image: 1 in the structure, falling outside within its surroundings and the same tissue.

    Where these end, it falls to 0 as well, over half the width, so that no edge of theirs shows.
    """
    inside = patch.inside[here]
    weight = feather(inside, canvas.spacing, feather_mm)
    usable = inside | (patch.around[here] & tissue)
    if feather_mm and not usable.all():
        depth = ndimage.distance_transform_edt(usable, sampling=canvas.spacing)
        weight = weight * np.clip(depth / (feather_mm / 2), 0, 1).astype(np.float32)
    return np.where(inside, np.float32(1), weight * usable).astype(np.float32)


def feather(mask: Bool[np.ndarray, "u v w"], spacing: Triple, margin_mm: float) -> Float32[np.ndarray, "u v w"]:
    """The share of the donor's image in each voxel of a region.

    1 in the structure, 0 at distances of ``margin_mm`` or more, and 3t^2 - 2t^3 in between, where t falls linearly from
    1 to 0 with the distance.

    Args:
        mask: voxels of the structure.
        spacing: edges of a voxel, mm.
        margin_mm: width of the blend; 0 blends nothing.
    """
    weight = np.zeros(mask.shape, dtype=np.float32)
    bounds = ndimage.find_objects(mask.astype(np.uint8))
    if not bounds:
        return weight
    near = tuple(
        slice(max(part.start - int(margin_mm / edge) - 1, 0), part.stop + int(margin_mm / edge) + 1)
        for part, edge in zip(bounds[0], spacing, strict=True)
    )
    inside = mask[near]
    distance = ndimage.distance_transform_edt(~inside, sampling=spacing)
    nearness = 1.0 - np.minimum(distance, margin_mm) / margin_mm if margin_mm > 0 else inside.astype(np.float64)
    weight[near] = nearness**2 * (3.0 - 2.0 * nearness)
    return weight
