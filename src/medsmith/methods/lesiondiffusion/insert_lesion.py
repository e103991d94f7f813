"""Insertion of one lesion into a scan: sampled, blended, measured, and sampled again if it misses the request.

Axes: x y z voxels of the scan, canonical; u v w those of the cube's region. The scan is edited in place, only within
the cube's region.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, final

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from medsmith.diffusion import derive_seed
from medsmith.insertion.box import Box, intersection
from medsmith.insertion.ct_values import organ_level, wanted_ct_values
from medsmith.insertion.edge import blurred_by_scanner, edge_width_mm, margin_mm, sharp_beside_gas, with_edge
from medsmith.insertion.frame import AIR_HU, crop_geometry
from medsmith.insertion.intensities import (
    lesion_intensities,
    limited_beside,
    mask_to_synthesize,
    shift_for_partial_volumes,
    shift_to_ct_values,
)
from medsmith.insertion.noise_matching import missing_noise, noise_gain
from medsmith.insertion.organ_map import OrganMap, selected
from medsmith.insertion.regions import allowed_region, target_of
from medsmith.insertion.rim import with_rim
from medsmith.insertion.shape import HALF, beyond_box, fitted_share
from medsmith.insertion.spicules import body_box, with_spicules
from medsmith.insertion.write_back import blend
from medsmith.measurement.assessment import LesionAssessment, assess_lesion
from medsmith.measurement.describe import LabeledScan
from medsmith.methods.lesiondiffusion.generator import LesionGenerator
from medsmith.reports.organs import is_hollow
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import Enhancement, Feature

_SPICULATED: Final[Feature] = "spiculated margins"
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
        enhancement: whether contrast agent was given; None if no organ decides it.
    """

    image: Float32[np.ndarray, "x y z"]
    labels: UInt8[np.ndarray, "x y z"]
    organ_map: OrganMap
    lesion_value: int
    lesion_values: tuple[int, ...]
    stored: np.dtype[Any]
    enhancement: Enhancement | None = None


@final
@dataclass(frozen=True, eq=False)
class Attempt:
    """One synthesized lesion, in the region of its intensity cube.

    Attributes:
        mask: its voxels: those with a share of at least one half.
        image: intensities of the lesion, HU.
        share: share of the lesion in each voxel; 0 outside the voxels where it may lie.
        assessment: requested against measured.
    """

    mask: Bool[np.ndarray, "u v w"]
    image: Float32[np.ndarray, "u v w"]
    share: Float32[np.ndarray, "u v w"]
    assessment: LesionAssessment


def insert_lesion(
    scan: TargetScan,
    report: LesionReport,
    box: Box,
    generator: LesionGenerator,
    seed: int,
    attempts: int,
    denied: tuple[str, ...] = (),
    drawn: tuple[str, ...] = (),
) -> Mapping[str, Any]:
    """Synthesize a lesion until its measures match the request, and write the best attempt into the scan.

    Args:
        scan: edited in place.
        report: the request.
        box: bounds of the lesion in the scan.
        generator: samples mask and intensities.
        seed: of all attempts.
        attempts: most attempts.
        denied: options that the lesion must not have, as measured.
        drawn: attributes of the report that nobody asked for: the rules of its type drew them. Of draws that meet the
            request alike, the one that meets more of them is taken.

    Returns:
        The record of the lesion for the provenance. If no attempt gave a mask, it is not visible and has no "measured".
    """
    best: Attempt | None = None
    for number in range(attempts):
        attempt = _attempt(scan, report, box, generator, derive_seed(seed, "draw", number), denied)
        if attempt is not None:
            attempt = replace(attempt, assessment=replace(attempt.assessment, drawn=drawn))
            best = attempt if best is None else min(best, attempt, key=_misses)
        if best is not None and not any(_misses(best)):
            break
    record: dict[str, Any] = {
        "requested": report.model_dump(mode="json", exclude_defaults=True),
        "box": [list(box.low), list(box.high)],
        "attempts": number + 1,
        "visible": False,
        "passed": False,
        **({"drawn": list(drawn)} if drawn else {}),
    }
    if best is None:
        return record
    region = generator.frames(box, scan.organ_map.geometry)[1].region
    blend(scan.image, region, best.image, best.share, scan.stored)
    scan.labels[region][best.mask] = scan.lesion_value
    return record | {
        "visible": best.assessment.visible,
        "passed": best.assessment.misses == 0,
        "measured": best.assessment.measured.model_dump(mode="json", exclude_defaults=True),
        "verdicts": [verdict.as_json() for verdict in best.assessment.verdicts],
        "voxels": int(best.mask.sum()),
    }


def _misses(attempt: Attempt) -> tuple[int, int]:
    """Misses of what was asked for, and of what was drawn by the rules."""
    return attempt.assessment.misses, attempt.assessment.drawn_misses


def _attempt(
    scan: TargetScan, report: LesionReport, box: Box, generator: LesionGenerator, seed: int, denied: tuple[str, ...]
) -> Attempt | None:
    """One attempt; None if its mask is too small."""
    geometry, names = scan.organ_map.geometry, scan.organ_map.names
    _, frame = generator.frames(box, geometry)
    region, spacing = frame.region, geometry.spacing
    allowed = allowed_region(scan.organ_map, report, region) & ~np.isin(scan.labels[region], scan.lesion_values)
    covered = _covered(scan, report, box, generator, derive_seed(seed, "shape"))
    mask = covered >= HALF
    if mask.sum() < max(1.0, _SMALLEST_SHARE * np.pi / 6 * float(np.prod(box.shape))):
        return None
    before = scan.image[region].copy()
    cube = frame.resample_in(scan.image, AIR_HU)
    painted = frame.on(region).resample_in(mask_to_synthesize(mask, spacing), 0.0)
    organ = selected(scan.organ_map.labels[region], target_of(report, scan.organ_map).organ)
    level = organ_level(before, mask, organ, spacing)
    said = _of_scan(report, scan)
    synthetic = generator.sample_intensities(cube, painted, frame, said, level, derive_seed(seed, "paint"))
    image = lesion_intensities(frame.resample_out(synthetic), mask, spacing, report)
    wanted = wanted_ct_values(report, level)
    image += np.float32(shift_to_ct_values(image, mask, spacing, wanted))
    if report.density is not None:
        image = with_rim(image, mask, spacing, report.density, level, wanted)
    width = edge_width_mm(report.surface, report.density)
    contrast = float(image[mask].mean()) - level if level is not None else None
    sharp = blurred_by_scanner(covered, allowed, spacing)
    share = with_edge(covered, allowed, spacing, width) if width > 0 else sharp
    if report.organ is not None and is_hollow(report.organ):
        share = sharp_beside_gas(share, sharp, before)
    noise = missing_noise(image, before, mask, spacing, derive_seed(seed, "grain")) * noise_gain(share)
    offset = shift_for_partial_volumes(image + noise, before, share, mask, spacing, wanted, margin_mm(width))
    image += np.float32(offset)
    if (width > 0 or offset != 0) and contrast is not None:
        image = limited_beside(image, before, organ & ~mask, contrast)
    image += noise  # after the limit, which would cut off noise beyond the contrast and, with it, most of a weak fade
    after = before.copy()
    blend(after, (slice(None), slice(None), slice(None)), image, share, scan.stored)
    parts = scan.organ_map.labels[region], names, crop_geometry(geometry, region), scan.enhancement
    return Attempt(mask, image, share, assess_lesion(LabeledScan(after, *parts), mask, report, denied))


def _of_scan(report: LesionReport, scan: TargetScan) -> LesionReport:
    """The report with the enhancement that the scan shows, whatever was said or drawn; LINet reads it as a word."""
    return report if scan.enhancement is None else report.model_copy(update={"enhancement": scan.enhancement})


def _covered(
    scan: TargetScan, report: LesionReport, box: Box, generator: LesionGenerator, seed: int
) -> Float32[np.ndarray, "u v w"]:
    """The share of each voxel that the lesion covers, in the region of the intensity cube."""
    frame, image_frame = generator.frames(box, scan.organ_map.geometry)
    field = generator.sample_mask(scan.organ_map, frame, box, report, seed)
    region, spacing = frame.region, scan.organ_map.geometry.spacing
    allowed = allowed_region(scan.organ_map, report, region) & ~np.isin(scan.labels[region], scan.lesion_values)
    spiculated = _SPICULATED in report.features
    beyond = beyond_box(np.random.Generator(np.random.PCG64(derive_seed(seed, "beyond"))))
    share = fitted_share(field, frame, body_box(box) if spiculated else box, allowed, generator.levels, beyond)
    if spiculated:
        rng = np.random.Generator(np.random.PCG64(derive_seed(seed, "spicules")))
        share = with_spicules(share, box.within(region), allowed, spacing, rng)
    covered = np.zeros([part.stop - part.start for part in image_frame.region], dtype=np.float32)
    here, there = intersection(region, image_frame.region)
    covered[there] = share[here]
    return covered
