"""Scans for the tests of insertion: every orientation, several spacings."""

import itertools

import nibabel as nib
import numpy as np

from medsmith.case import Geometry

ORIENTATIONS = tuple(
    "".join(codes) for letters in itertools.product("RL", "AP", "SI") for codes in itertools.permutations(letters)
)
SPACINGS = ((1.0, 1.0, 1.0), (0.58, 0.58, 1.25), (0.8, 0.8, 5.0), (2.0, 1.0, 0.7), (1.5, 1.5, 1.5))


def oriented(canonical: Geometry, codes: str) -> tuple[Geometry, np.ndarray]:
    """The grid of the same voxels with its file axes along ``codes``, and the nibabel orientation to get there."""
    ornt = nib.orientations.axcodes2ornt(tuple(codes))
    to_file = nib.orientations.ornt_transform(nib.orientations.io_orientation(canonical.affine), ornt)
    affine = canonical.affine @ nib.orientations.inv_ornt_aff(to_file, canonical.shape)
    shape = np.array(canonical.shape)[np.argsort(to_file[:, 0])]
    return Geometry(tuple(int(n) for n in shape), affine), to_file


def grid(shape, spacing=(1.0, 1.0, 1.0), origin=(-3.0, 7.0, 11.0)) -> Geometry:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return Geometry(tuple(shape), affine)
