"""Insertion of one lesion into a scan: sampled, blended, measured, and sampled again if it misses the request.

Axes: x y z voxels of the scan, canonical; u v w those of the cube's region. The scan is edited in place, only within
the cube's region.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from medsmith.diffusion import derive_seed
from medsmith.insertion.box import Box, intersection
from medsmith.insertion.frame import AIR_HU, crop_geometry
from medsmith.insertion.noise_matching import missing_noise, residual_noise
from medsmith.insertion.organ_map import OrganMap
from medsmith.insertion.regions import allowed_region
from medsmith.insertion.shape import stretch_to_box, threshold_by_volume
from medsmith.insertion.write_back import blend, lesion_weight, mask_to_synthesize, shift_to_ct_values
from medsmith.measurement.assessment import LesionAssessment, assess_lesion
from medsmith.measurement.describe import LabeledScan
from medsmith.methods.lesiondiffusion.generator import LesionGenerator
from medsmith.reports.schema import LesionReport
from medsmith.reports.typical import typical_ct_values

_INSIDE_HU = 10.0
"""How far inside a typical range a mean is moved, so that the measurement does not fall on its end."""
_SMALLEST_SHARE = 0.2
"""Smallest accepted volume of a mask, as a share of the ellipsoid inscribed in the box."""


@final
@dataclass(frozen=True, eq=False)
class TargetScan:
    """A scan that lesions are inserted into, all arrays canonical.

    Attributes:
        image: Hounsfield units; a view that is edited in place.
        labels: label map; a view that is edited in place.
        organ_map: organs.
        lesion_value: label of the lesions that are inserted.
        lesion_values: labels of all lesions, which the inserted ones do not cover.
        stored: dtype of the image on disk.
    """

    image: Float32[np.ndarray, "x y z"]
    labels: UInt8[np.ndarray, "x y z"]
    organ_map: OrganMap
    lesion_value: int
    lesion_values: tuple[int, ...]
    stored: np.dtype[Any]


@final
@dataclass(frozen=True, eq=False)
class Attempt:
    """One synthesized lesion, in the region of its intensity cube.

    Attributes:
        mask: its voxels.
        image: the region with the lesion, HU.
        weight: share of the new image in each voxel; 0 outside the margin.
        assessment: requested against measured.
    """

    mask: Bool[np.ndarray, "u v w"]
    image: Float32[np.ndarray, "u v w"]
    weight: Float32[np.ndarray, "u v w"]
    assessment: LesionAssessment


def insert_lesion(
    scan: TargetScan, report: LesionReport, box: Box, generator: LesionGenerator, seed: int, attempts: int
) -> Mapping[str, Any]:
    """Synthesize a lesion until its measures match the request, and write the best attempt into the scan.

    Args:
        scan: edited in place.
        report: the request.
        box: bounds of the lesion in the scan.
        generator: samples mask and intensities.
        seed: of all attempts.
        attempts: most attempts.

    Returns:
        The record of the lesion for the provenance. If no attempt gave a mask, it is not visible and has no "measured".
    """
    best: Attempt | None = None
    for number in range(attempts):
        attempt = _attempt(scan, report, box, generator, derive_seed(seed, "draw", number))
        if attempt is not None and (best is None or attempt.assessment.misses < best.assessment.misses):
            best = attempt
        if best is not None and not best.assessment.misses:
            break
    record: dict[str, Any] = {
        "requested": report.model_dump(mode="json", exclude_defaults=True),
        "box": [list(box.low), list(box.high)],
        "attempts": number + 1,
        "visible": False,
        "passed": False,
    }
    if best is None:
        return record
    region = generator.frames(box, scan.organ_map.geometry)[1].region
    blend(scan.image, region, best.image, best.weight, scan.stored)
    scan.labels[region][best.mask] = scan.lesion_value
    return record | {
        "visible": best.assessment.visible,
        "passed": best.assessment.misses == 0,
        "measured": best.assessment.measured.model_dump(mode="json", exclude_defaults=True),
        "verdicts": [verdict.as_json() for verdict in best.assessment.verdicts],
        "voxels": int(best.mask.sum()),
    }


def _attempt(scan: TargetScan, report: LesionReport, box: Box, generator: LesionGenerator, seed: int) -> Attempt | None:
    """One attempt; None if its mask is too small."""
    geometry = scan.organ_map.geometry
    _, frame = generator.frames(box, geometry)
    mask = _mask(scan, report, box, generator, derive_seed(seed, "shape"))
    if mask.sum() < max(1.0, _SMALLEST_SHARE * np.pi / 6 * float(np.prod(box.shape))):
        return None
    region, spacing = frame.region, geometry.spacing
    before = scan.image[region].copy()
    cube = frame.resample_in(scan.image, AIR_HU)
    share = frame.on(region).resample_in(mask_to_synthesize(mask, spacing, report.surface), 0.0)
    synthetic = generator.sample_intensities(cube, share, frame, report, derive_seed(seed, "paint"))
    image = frame.resample_out(synthetic) + residual_noise(before - frame.resample_out(cube))
    image += missing_noise(image, before, mask, spacing, generator.reach_mm, derive_seed(seed, "grain"))
    image += shift_to_ct_values(image, mask, spacing, _ct_values(report), generator.reach_mm)
    weight = lesion_weight(mask, spacing, report.surface, generator.reach_mm)
    after = before.copy()
    blend(after, (slice(None), slice(None), slice(None)), image, weight, scan.stored)
    crop = LabeledScan(after, scan.organ_map.labels[region], scan.organ_map.names, crop_geometry(geometry, region))
    return Attempt(mask, image, weight, assess_lesion(crop, mask, report))


def _ct_values(report: LesionReport) -> tuple[float, float] | None:
    """The range of the lesion's mean: the value that the report gives, else what the rules say of its density."""
    if report.ct_value_hu is not None:
        return report.ct_value_hu, report.ct_value_hu
    found = typical_ct_values(report)
    if found is None:
        return None
    low, high = found
    margin = min(_INSIDE_HU, (high - low) / 4)
    return low + margin, high - margin


def _mask(
    scan: TargetScan, report: LesionReport, box: Box, generator: LesionGenerator, seed: int
) -> Bool[np.ndarray, "u v w"]:
    """The lesion's mask in the region of the intensity cube."""
    frame, image_frame = generator.frames(box, scan.organ_map.geometry)
    field = stretch_to_box(generator.sample_mask(scan.organ_map, frame, box, report, seed), frame, box)
    region = frame.region
    allowed = allowed_region(scan.organ_map, report, region) & ~np.isin(scan.labels[region], scan.lesion_values)
    mask = np.zeros([part.stop - part.start for part in image_frame.region], dtype=bool)
    here, there = intersection(region, image_frame.region)
    mask[there] = threshold_by_volume(field, frame, box, allowed, generator.levels)[here]
    return mask
