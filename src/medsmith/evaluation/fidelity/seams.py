"""Seams: can a small classifier tell the border of a region that was painted anew from untouched image?

Patches across the border of what differs from the scan that was painted on, where they show no label of a lesion by
which the classifier could tell them, against the same places of that scan. Patches are described by their profile from
outside to inside: steps, spread and roughness, each relative to the patch. A logistic regression is trained on half of
the scans and scores the others. An area under the ROC curve (AUC) of .5 is wanted; a segmentation network can learn a
seam that is found instead of the lesion.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import index as whole
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Float64, Int
from scipy.ndimage import binary_fill_holes
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medsmith.evaluation.fidelity.bootstrap import Estimate, mean_of_few

PATCHES, MIN_CASES = 40, 6
DEPTH, WIDTH = 6, 8
MARGIN_MM = 3.0
"""Painting reaches beyond the box of a lesion by at most this much (docs/methods/lesiondiffusion.md)."""

Box = tuple[tuple[int, int, int], tuple[int, int, int]]
"""First voxel, and first voxel beyond."""
Volume = Float[np.ndarray, "x y z"]
Places = list[tuple[Int[np.ndarray, " 3"], int, int]]
"""First voxel beyond a border in the direction of an axis, that axis, and its sign from outside to inside."""


@final
@dataclass(frozen=True, eq=False)
class PaintedCase:
    """A synthetic image with the boxes that were painted anew.

    Attributes:
        image: gray values in canonical orientation.
        lesion: voxels of labels that were painted, or are lesions: no patch may show them.
        boxes: that hold what was painted, in voxels of the image.
        original: the image that was painted on.
        scan: name of what was painted on; None: of no other case. Cases of one scan are in one fold.
    """

    image: Volume
    lesion: Bool[np.ndarray, "x y z"]
    boxes: Sequence[Box]
    original: Volume
    scan: str | None = None


def measure_seams(cases: Iterable[PaintedCase], *, seed: int) -> Estimate | None:
    """Area under the ROC curve between borders of what was painted and the same places before.

    Half of the scans teach the classifier and the cases of the others are scored: with cross-validation the cases that
    are scored also teach, and the interval over them is too narrow.

    Args:
        cases: synthetic images with painted boxes.
        seed: of the choice of patches and scans.

    Returns:
        Mean over the scored cases of the AUC within a case, with Student's interval; None if fewer than six cases have
        a painted border that a patch shows without a lesion.
    """
    rng = np.random.default_rng(seed)
    described: list[tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "n d"]]] = []
    scans: list[str] = []
    for number, case in enumerate(cases):
        rows = _describe(case, rng)
        if rows is not None:
            described.append(rows)
            scans.append(f"{number}" if case.scan is None else f"scan {case.scan}")
    if len(described) < MIN_CASES:
        return None
    teaches = teaching(scans, rng)
    learned = [pair for pair, known in zip(described, teaches, strict=True) if known]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    model.fit(np.concatenate([np.concatenate(pair) for pair in learned]), np.concatenate(list(map(_truth, learned))))
    areas = [
        roc_auc_score(_truth(pair), model.decision_function(np.concatenate(pair)))
        for pair, known in zip(described, teaches, strict=True)
        if not known
    ]
    return mean_of_few(np.array(areas, np.float64), "scored cases", (0.0, 1.0))


def teaching(scans: Sequence[str], rng: np.random.Generator) -> Bool[np.ndarray, " n"]:
    """Which cases teach the classifier: those of half of the scans; half of the cases where there is one scan alone.

    Args:
        scans: of each case.
        rng: draws the scans.
    """
    names, owner = np.unique(scans, return_inverse=True)
    if len(names) == 1:
        owner = np.arange(len(scans))
    half: Bool[np.ndarray, " n"] = (rng.permutation(int(owner.max()) + 1) % 2 == 0)[owner]
    return half


def _truth(pair: tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "m d"]]) -> Int[np.ndarray, " both"]:
    return np.repeat([1, 0], [len(pair[0]), len(pair[1])])


def _describe(
    case: PaintedCase, rng: np.random.Generator
) -> tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "n d"]] | None:
    """Descriptions of patches at painted borders, and of the same places before; None without one."""
    places = _borders(case, rng)
    if not places:
        return None
    after, before = (
        np.array([_description(_layers(image, place)) for place in places]) for image in (case.image, case.original)
    )
    return after, before


def _borders(case: PaintedCase, rng: np.random.Generator) -> Places:
    """Places on painted borders around which no lesion shows, equally many of each box if there are."""
    shape, share = case.image.shape, -(-PATCHES // max(1, len(case.boxes)))
    kept: Places = []
    for box in case.boxes:
        places = (at for at in _places(case, box, rng) if not case.lesion[_patch(shape, *at[:2])].any())
        kept += islice(places, share)
    return kept


def _places(case: PaintedCase, box: Box, rng: np.random.Generator) -> Iterator[tuple[Int[np.ndarray, " 3"], int, int]]:
    """The border of what was painted in a box, in random order, where a patch fits into the image."""
    shape = case.image.shape
    low, high = grown(box, (1, 1, 1), shape)
    window = tuple(slice(*ends) for ends in zip(low, high, strict=True))
    # A voxel that was painted in the gray value that it had is no hole in what was painted.
    changed = np.squeeze(case.image[window] != case.original[window])
    painted = binary_fill_holes(changed).reshape([end - start for start, end in zip(low, high, strict=True)])
    found: Places = []
    for axis in range(3):
        steps = np.diff(painted.astype(np.int8), axis=axis)
        for inward in (1, -1):
            beyond = np.argwhere(steps == inward) + np.array(low) + np.eye(3, dtype=int)[axis]
            found += [(voxel, axis, inward) for voxel in beyond if _fits(shape, voxel, axis)]
    return (found[number] for number in rng.permutation(len(found)))


def _patch(shape: tuple[int, ...], voxel: Int[np.ndarray, " 3"], axis: int) -> tuple[slice, ...]:
    """The voxels of a patch: DEPTH across the face, WIDTH along it, one slice of a picture."""
    extents = [min(DEPTH if other == axis else WIDTH, edge) for other, edge in enumerate(shape)]
    starts = [int(at) - extent // 2 for at, extent in zip(voxel, extents, strict=True)]
    return tuple(slice(start, start + extent) for start, extent in zip(starts, extents, strict=True))


def _fits(shape: tuple[int, ...], voxel: Int[np.ndarray, " 3"], axis: int) -> bool:
    cuts = _patch(shape, voxel, axis)
    return all(cut.start >= 0 and cut.stop <= edge for cut, edge in zip(cuts, shape, strict=True))


def _layers(image: Volume, place: tuple[Int[np.ndarray, " 3"], int, int]) -> Float64[np.ndarray, "depth u v"]:
    """A patch from outside to inside."""
    voxel, axis, inward = place
    patch = np.moveaxis(image[_patch(image.shape, voxel, axis)], axis, 0).astype(np.float64)
    return patch[::inward]


def _description(patch: Float64[np.ndarray, "depth u v"]) -> Float64[np.ndarray, " d"]:
    """Profiles from outside to inside, relative to the patch: steps, spread, and roughness along the face."""
    steps = np.abs(np.diff(patch, axis=0)).mean((1, 2))
    along = [np.abs(np.diff(patch, 2, axis)).mean((1, 2)) for axis in (1, 2) if patch.shape[axis] >= WIDTH]
    profiles = (steps, patch.std((1, 2)), np.mean(along, axis=0))
    return np.concatenate([profile / max(float(profile.mean()), 1e-9) for profile in profiles])


def grown(box: Box, margin: Sequence[int], shape: Sequence[int]) -> Box:
    """A box with a margin on all sides, cut at the image."""
    low = [max(edge - more, 0) for edge, more in zip(box[0], margin, strict=True)]
    high = [min(edge + more, end) for edge, more, end in zip(box[1], margin, shape, strict=True)]
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def boxes_of(provenance: Mapping[str, object] | None) -> list[Box]:
    """The painted boxes that a provenance names, in canonical voxels.

    Raises:
        TypeError: a box is no pair of corners.
        ValueError: likewise, or it is empty.
    """
    lesions = (provenance or {}).get("lesions")
    boxes = [lesion["box"] for lesion in lesions if "box" in lesion] if isinstance(lesions, list) else []
    return [_box(box) for box in boxes]


def _box(value: Sequence[Sequence[int]]) -> Box:
    (a, b, c), (x, y, z) = (map(whole, corner) for corner in value)
    if not (a < x and b < y and c < z):
        raise ValueError(f"{value} holds no voxel")
    return (a, b, c), (x, y, z)
