"""A lesion taken from one case and put at a place of another grid.

Axes: c channels, ``*space`` = x y or x y z on the network's grid. Fractions run from 0 to 1 over the field of view.
"""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from scipy import ndimage
from skimage.exposure import match_histograms
from torch import Tensor

from medsmith.cases.case import Case
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import image_to_model, to_grid
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError
from medsmith.methods.guides import load_guide
from medsmith.methods.mddpm.request import Pathology

INSIDE = 0.75
"""Least share of a lesion that lies in its organ; a nodule may touch the wall."""
TRIES = 500
"""Places tried where the seed chooses one."""
_OVERSAMPLING = 8

Fractions = Float64[np.ndarray, " d"]


@final
@dataclass(frozen=True, eq=False)
class Source:
    """A lesion in its own image.

    Attributes:
        image: in model space, c *space of its own grid, gray values matched.
        mask: of the lesion, on the same grid.
        label: name of the lesion's label.
        center: of the lesion, as fractions of the field of view.
        extent: the field of view in mm along each axis; in units of the longest axis where spacing is unknown.
    """

    image: Float32[Tensor, "c *own"]
    mask: Float32[Tensor, "*own"]
    label: str
    center: Fractions
    extent: Fractions


@final
@dataclass(frozen=True, eq=False)
class Placed:
    """A lesion at its place on the network's grid.

    Attributes:
        image: its whole image, moved with it, in model space.
        mask: of the lesion.
        label: name of its label.
        at: its center as fractions of the field of view.
    """

    image: Float32[Tensor, "c *space"]
    mask: Bool[np.ndarray, "*space"]
    label: str
    at: Fractions


def load_source(
    pathology: Pathology, facts: Fingerprint, reference: Float32[Tensor, "c ..."], index: int, key: str
) -> Source:
    """The lesion of a request in its own image.

    Args:
        pathology: what is asked for.
        facts: of the training cohort.
        reference: gray values in model space whose histogram is taken on where values are matched.
        index: chooses the case where the request names a cohort alone.
        key: of the pathology in the request, for messages.

    Raises:
        RequestError: the case does not fit, or has no such label.
        MedsmithError: it cannot be read.
    """
    case = load_guide(pathology.case, index, facts)
    inside, label = _lesion(pathology, case, key)
    size = case.geometry.shape[: facts.dimensions]
    image = image_to_model(case, facts, size)
    if pathology.gray == "match" or (pathology.gray == "auto" and not is_hounsfield(facts)):
        pairs = zip(image.flatten(1).numpy(), reference.flatten(1).numpy(), strict=True)
        matched = np.stack([match_histograms(own, target) for own, target in pairs])
        image = torch.from_numpy(matched.astype(np.float32)).reshape(image.shape)
    center = (np.argwhere(inside).mean(0) + 0.5) / np.array(size)
    return Source(image, torch.from_numpy(inside.astype(np.float32)), label, center, _extent_of_case(case, facts))


def is_hounsfield(facts: Fingerprint) -> bool:
    """Whether the gray values of a cohort have a scale of their own that must not be changed."""
    return facts.absolute and facts.stored != "uint8"


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
    """

    source: Source
    pathology: Pathology
    extent: Fractions
    size: tuple[int, ...]
    key: str

    @classmethod
    def of(
        cls, source: Source, pathology: Pathology, facts: Fingerprint, size: tuple[int, ...], key: str
    ) -> "Transplant":
        """A transplant to the median field of view of the training cohort."""
        extent = _extent(facts.shape, facts.spacing, facts.dimensions, known=facts.spacing_known)
        return cls(source, pathology, extent, size, key)

    def place(self, organ: Bool[np.ndarray, "*space"] | None, seed: int) -> Placed:
        """The lesion at the place of the request, or at one in an organ that the seed chooses.

        Args:
            organ: where the lesion must lie; None allows every place.
            seed: chooses the place where the request names none.

        Raises:
            RequestError: the place lies outside the organ or the image, or the lesion vanishes on the grid.
        """
        at, whole = self._at(organ, seed), self._mask(np.full(len(self.size), 0.5))
        mask, where = self._mask(at), ", ".join(f"{value:.2f}" for value in at)
        if mask.sum() < 0.9 * whole.sum():
            raise RequestError(
                self.key, f"at {where} the lesion reaches beyond the image", cure="move it, or shrink it"
            )
        if organ is not None and (mask & organ).sum() < INSIDE * mask.sum():
            share = (mask & organ).sum() / mask.sum()
            fact = f"at {where}, {share:.0%} of the lesion lie in the {self.pathology.within}"
            raise RequestError(self.key, fact, f"at least {INSIDE:.0%}", "choose another place, or leave out 'at'")
        return Placed(self._moved(self.source.image, at), mask, self.source.label, at)

    def _at(self, organ: Bool[np.ndarray, "*space"] | None, seed: int) -> Fractions:
        asked = self.pathology.at
        if asked is not None and len(asked) != len(self.size):
            raise RequestError(self.key, f"at has {len(asked)} values", f"the images are {len(self.size)}-D")
        if asked is not None:
            return np.array(asked, float)
        if organ is None:
            return self.source.center
        return _place_in(organ, self._mask(np.full(len(self.size), 0.5)), seed, self.key)

    def _mask(self, at: Fractions) -> Bool[np.ndarray, "*space"]:
        share = self._moved(self.source.mask[None], at, outside="constant")[0].numpy()
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


def _lesion(pathology: Pathology, case: Case, key: str) -> tuple[Bool[np.ndarray, "*own"], str]:
    labels = case.require_labels()
    names = [name for name, value in case.label_names.items() if value > 0]
    label = pathology.label or (names[0] if len(names) == 1 else None)
    if label is None or label not in names:
        found = "no label named" if label is None else f"{pathology.case.cohort} has no label '{label}'"
        raise RequestError(f"{key}.label", found, f"it has {', '.join(names) or 'none'}", "name one of these")
    parts, count = ndimage.label(labels == case.label_names[label], structure=np.ones((3, 3, 3)))
    if not count:
        raise RequestError(key, f"case '{case.id}' has no voxel of '{label}'", cure="name a case that has the lesion")
    largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    inside = parts == largest
    return (inside[..., 0] if case.geometry.dimensions == 2 else inside), label


def _extent_of_case(case: Case, facts: Fingerprint) -> Fractions:
    shape, spacing = case.geometry.shape, case.geometry.spacing
    return _extent(shape, spacing, facts.dimensions, known=facts.spacing_known and case.geometry.spacing_known)


def _extent(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], dimensions: int, *, known: bool
) -> Fractions:
    edges = np.array(shape[:dimensions], float) * (np.array(spacing[:dimensions]) if known else 1.0)
    return edges if known else edges / edges.max()


def _rotation(degrees: float, dimensions: int) -> Float64[np.ndarray, "d d"]:
    """Rotation in the plane of the first two axes, from x towards y."""
    angle = np.deg2rad(degrees)
    matrix = np.eye(dimensions)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return matrix


def _place_in(organ: Bool[np.ndarray, "*space"], lesion: Bool[np.ndarray, "*space"], seed: int, key: str) -> Fractions:
    """A place in the organ where the lesion lies wholly inside, or else inside enough."""
    candidates = np.argwhere(organ)
    if not len(candidates):
        raise RequestError(key, "the anatomy has no voxel of the organ", cure="name another organ, or give 'at'")
    offsets = np.argwhere(lesion) - np.array(organ.shape) // 2
    rng = np.random.default_rng(derive_seed(seed, "place", key))
    chosen = candidates[rng.permutation(len(candidates))[:TRIES]]
    places = chosen[:, None] + offsets
    within = ((places >= 0) & (places < np.array(organ.shape))).all(-1)
    clipped = np.clip(places, 0, np.array(organ.shape) - 1)
    share = (organ[tuple(np.moveaxis(clipped, -1, 0))] & within).mean(1)
    best = int(np.argmax(share >= min(1.0, float(share.max()))))
    if share[best] < INSIDE:
        fact = f"the lesion fits nowhere in the organ: at best {share[best]:.0%} of it lie inside"
        raise RequestError(key, fact, f"at least {INSIDE:.0%}", "make it smaller")
    return np.asarray((chosen[best] + 0.5) / np.array(organ.shape), float)
