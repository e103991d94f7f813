"""Scans for the tests of insertion: every orientation, several spacings, a body of simple organs."""

import itertools

import nibabel as nib
import numpy as np

from medsmith.geometry import Geometry

ORIENTATIONS = tuple(
    "".join(codes) for letters in itertools.product("RL", "AP", "SI") for codes in itertools.permutations(letters)
)
SPACINGS = ((1.0, 1.0, 1.0), (0.58, 0.58, 1.25), (0.8, 0.8, 5.0), (2.0, 1.0, 0.7), (1.5, 1.5, 1.5))
NAMES = {
    "background": 0,
    "air": 1,
    "soft_tissue": 2,
    "fat": 3,
    "bone": 4,
    "liver": 5,
    "kidney_left": 6,
    "kidney_right": 7,
    "colon": 8,
    "gallbladder": 9,
    "lesion": 10,
}
# Name, center and radii as shares of the scan's edges; later ones cover earlier ones.
_BODY = (
    ("fat", (0.5, 0.5, 0.5), (0.49, 0.49, 0.8)),
    ("soft_tissue", (0.5, 0.5, 0.5), (0.45, 0.45, 0.8)),
    ("liver", (0.7, 0.6, 0.6), (0.22, 0.28, 0.35)),
    ("kidney_left", (0.28, 0.4, 0.6), (0.12, 0.12, 0.2)),
    ("kidney_right", (0.72, 0.25, 0.35), (0.12, 0.12, 0.2)),
    ("colon", (0.35, 0.7, 0.35), (0.16, 0.16, 0.25)),
    ("gallbladder", (0.6, 0.78, 0.45), (0.08, 0.08, 0.12)),
    ("bone", (0.5, 0.2, 0.5), (0.08, 0.1, 0.8)),
)


def oriented(canonical: Geometry, codes: str) -> tuple[Geometry, np.ndarray]:
    """The grid of the same voxels with its file axes along ``codes``, and the nibabel orientation to get there."""
    ornt = nib.orientations.axcodes2ornt(tuple(codes))
    to_file = nib.orientations.ornt_transform(nib.orientations.io_orientation(canonical.affine), ornt)
    affine = canonical.affine @ nib.orientations.inv_ornt_aff(to_file, canonical.shape)
    x, y, z = (canonical.shape[axis] for axis in np.argsort(to_file[:, 0]))
    return Geometry((x, y, z), affine), to_file


def grid(shape, spacing=(1.0, 1.0, 1.0), origin=(-3.0, 7.0, 11.0)) -> Geometry:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return Geometry(tuple(shape), affine)


def body(shape) -> np.ndarray:
    """Labels of a simple body, canonical."""
    places = np.meshgrid(*[(np.arange(count) + 0.5) / count for count in shape], indexing="ij", sparse=True)
    labels = np.full(shape, NAMES["air"], dtype=np.uint8)
    for name, center, radii in _BODY:
        distance = sum(((place - c) / r) ** 2 for place, c, r in zip(places, center, radii, strict=True))
        labels[distance <= 1] = NAMES[name]
    return labels
