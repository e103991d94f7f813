"""How well an image follows its guidance images: low frequencies, regions by thresholds, contrast of a lesion.

Axes: c channels, ``*space`` = x y or x y z.
"""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from medsmith.anatomy.context import find_context
from medsmith.cases.case import Case
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import gray_to_model, model_to_image
from medsmith.diffusion import LowPassGuide, low_pass
from medsmith.measurement.overlap import dice
from medsmith.methods.mddpm.steering import Steering

_RING = 0.05
"""Width of the ring around a lesion, of the longest axis."""


def measure_adherence(case: Case, steering: Steering, facts: Fingerprint) -> dict[str, float]:
    """How well a case follows its guides.

    Args:
        case: on the network's grid.
        steering: its guides.
        facts: of the training cohort.

    Returns:
        "error KEY" of each guide, share of the gray range; "Dice CLASS" of context classes; "contrast KEY" of lesions
        and "guide contrast KEY" of the same in their guidance images, in stored units. What cannot be measured is left
        out.
    """
    found = {f"error {key}": low_frequency_error(case, guide, facts) for key, guide in steering.guides.items()}
    if steering.regions:
        found |= {f"Dice {name}": value for name, value in context_agreement(case, steering.regions).items()}
    for number, lesion in enumerate(steering.lesions):
        images = {"contrast": case.require_image(), "guide contrast": model_to_image(lesion.image, facts)}
        for name, image in images.items():
            plane = image[0, ..., 0] if facts.dimensions == 2 else image[0]
            found[f"{name} pathologies.{number}"] = lesion_contrast(plane, lesion.mask, _surroundings(steering, number))
    return {name: round(value, 4) for name, value in found.items() if math.isfinite(value)}


def low_frequency_error(case: Case, guide: LowPassGuide, facts: Fingerprint) -> float:
    """Root mean square difference of the low frequencies of image and guide, as a share of the gray range.

    Args:
        case: the image, on the network's grid.
        guide: its guide; its region weights the voxels.
        facts: of the training cohort.
    """
    image = case.require_image()
    own = gray_to_model(image[..., 0] if facts.dimensions == 2 else image, facts)[None]
    squared = low_pass(guide.factor, guide.kind)(own - guide.reference) ** 2
    if guide.region is None:
        return float(squared.mean().sqrt()) / 2
    weight = guide.region.expand_as(squared)
    return float(((weight * squared).sum() / weight.sum()).sqrt()) / 2


def context_agreement(case: Case, regions: Mapping[str, Bool[np.ndarray, "x y"]]) -> dict[str, float]:
    """Dice of body and lung, found by thresholds in the image, with those of the map that it was to follow.

    The thresholds know nothing of the guide, so that this does not reward copying its gray values. The body of the map
    is the union of its classes, since labels lie inside the body.

    Args:
        case: a slice.
        regions: name -> region of every class of the map.

    Returns:
        Name -> Dice, for the classes that the map has; 0 where the image has none.
    """
    found = find_context(case.require_image()[0, :, :, 0])
    covered = np.zeros(case.geometry.shape[:2], bool)
    for region in regions.values():
        covered |= region
    wanted = {"body": covered, "lung": regions.get("lung", np.zeros_like(covered))}
    present = {name: mask for name, mask in wanted.items() if name in regions and mask.any()}
    return {name: dice(found.get(name, np.zeros_like(mask)), mask) for name, mask in present.items()}


def lesion_contrast(
    image: Float32[np.ndarray, "*space"],
    lesion: Bool[np.ndarray, "*space"],
    surroundings: Bool[np.ndarray, "*space"] | None = None,
) -> float:
    """Mean gray value inside a lesion less the median of the ring around it; NaN where the ring is empty.

    The median keeps vessels, and the heart beside a lesion of the lung, from counting as its surroundings.

    Args:
        image: one channel.
        lesion: its mask.
        surroundings: voxels that may belong to the ring; None allows all.
    """
    near = ndimage.distance_transform_edt(~lesion)
    width = max(2.0, _RING * max(image.shape))
    ring = (near > 1) & (near <= 1 + width)
    ring = ring if surroundings is None else ring & surroundings
    return float(image[lesion].mean() - np.median(image[ring])) if ring.any() else float("nan")


def _surroundings(steering: Steering, number: int) -> Bool[np.ndarray, "*space"] | None:
    """The class of the anatomy that holds most of a lesion, without the other lesions; None without an anatomy."""
    mask = steering.lesions[number].mask
    held = {name: int((region & mask).sum()) for name, region in steering.regions.items()}
    if not any(held.values()):
        return None
    region = steering.regions[max(held, key=lambda name: held[name])].copy()
    for other, lesion in enumerate(steering.lesions):
        if other != number:
            region &= ~lesion.mask
    return region
