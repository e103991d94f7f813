"""One lesion into a scan: shaped, painted, blended, measured, and drawn again where it is not what was asked for.

Axes: x y z voxels of the scan, canonical; s s s a cube about the lesion. The scan is edited in place, in the cube's
region alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy.ndimage import distance_transform_edt, gaussian_filter

from medsmith.conditioning.schema import LesionReport
from medsmith.conditioning.vocabulary import SHARP_SURFACES
from medsmith.diffusion import derive_seed
from medsmith.formats.volume import Region
from medsmith.insertion.box import Box
from medsmith.insertion.organ_map import OrganMap
from medsmith.insertion.regions import allowed_region
from medsmith.insertion.write_back import Spacing, blend, feather
from medsmith.measuring.density import CLEAR_VOXELS, FEWEST_CLEAR
from medsmith.methods.lesiondiffusion.drawing import Artist
from medsmith.methods.lesiondiffusion.examples import AIR_HU
from medsmith.methods.lesiondiffusion.grain import hidden_grain, missing_grain
from medsmith.methods.lesiondiffusion.judging import Judgement, judged
from medsmith.methods.lesiondiffusion.shaping import stretched, voxels_of

_SMALLEST_SHARE = 0.2
"""Of the volume of the box's ellipsoid: a smaller mask is no answer."""
BLEND_MM = 2.0
"""Width of the feather outside the painted region; nothing beyond it changes."""
BEYOND_MM = 2.5
"""How far a sharp lesion is painted over the border of its mask: as far as networks blur an edge."""
EDGE_VOXELS = 0.42
"""Standard deviation, in voxels, of the Gaussian that rounds the cut of a sharp lesion: a scan has no sharper edges."""


@final
@dataclass(frozen=True, eq=False)
class Scan:
    """A scan that lesions are put into, all arrays canonical.

    Attributes:
        image: Hounsfield units; a view that is written into.
        labels: label map; a view that is written into.
        organ_map: organs.
        lesion_value: label of lesions.
        stored: dtype of the image on disk.
    """

    image: Float32[np.ndarray, "x y z"]
    labels: UInt8[np.ndarray, "x y z"]
    organ_map: OrganMap
    lesion_value: int
    stored: np.dtype[Any]


@final
@dataclass(frozen=True, eq=False)
class Draw:
    """One lesion as it was drawn, in the region of its cube of paint.

    Attributes:
        mask: its voxels.
        image: the region with the lesion, HU.
        weight: share of the new image in each voxel; 0 outside the margin.
        judgement: what was asked against what was measured.
    """

    mask: Bool[np.ndarray, "u v w"]
    image: Float32[np.ndarray, "u v w"]
    weight: Float32[np.ndarray, "u v w"]
    judgement: Judgement


def insert_lesion(
    scan: Scan, report: LesionReport, box: Box, artist: Artist, seed: int, draws: int
) -> Mapping[str, Any]:
    """Draw a lesion until it is measured as asked for, and write the best draw into the scan.

    Args:
        scan: edited in place.
        report: what is asked for.
        box: where.
        artist: what draws.
        seed: of all draws.
        draws: at most.

    Returns:
        The record of the lesion: asked, got, pass. One that no draw gave is not visible and has no "got".
    """
    best: Draw | None = None
    for number in range(draws):
        drawn = _draw(scan, report, box, artist, derive_seed(seed, "draw", number))
        if drawn is not None and (best is None or drawn.judgement.misses < best.judgement.misses):
            best = drawn
        if best is not None and not best.judgement.misses:
            break
    record: dict[str, Any] = {
        "asked": report.model_dump(mode="json", exclude_defaults=True),
        "box": [list(box.low), list(box.high)],
        "draws": number + 1,
        "visible": False,
        "passed": False,
    }
    if best is None:
        return record
    region = artist.frames(box, scan.organ_map.geometry)[1].region
    blend(scan.image, region, best.image, best.weight, scan.stored)
    scan.labels[region][best.mask] = scan.lesion_value
    return record | {
        "visible": best.judgement.visible,
        "passed": best.judgement.misses == 0,
        "got": best.judgement.got.model_dump(mode="json", exclude_defaults=True),
        "verdicts": [verdict.as_json() for verdict in best.judgement.verdicts],
        "voxels": int(best.mask.sum()),
    }


def _draw(scan: Scan, report: LesionReport, box: Box, artist: Artist, seed: int) -> Draw | None:
    """One draw; None if its mask is far too small to be the lesion."""
    _, painting = artist.frames(box, scan.organ_map.geometry)
    mask = _mask(scan, report, box, artist, derive_seed(seed, "shape"))
    if mask.sum() < max(1.0, _SMALLEST_SHARE * np.pi / 6 * float(np.prod(box.shape))):
        return None
    region, spacing = painting.region, scan.organ_map.geometry.spacing
    before = scan.image[region].copy()
    cube = painting.take(scan.image, AIR_HU)
    share = painting.on(region).take(_painted(mask, spacing, report), 0.0)
    painted = artist.paint(cube, share, painting, report, derive_seed(seed, "paint"))
    image = painting.give(painted) + hidden_grain(before - painting.give(cube))
    image += missing_grain(image, before, mask, spacing, artist.reach_mm, derive_seed(seed, "grain"))
    image += level(image, mask, spacing, report.ct_value_hu, artist.reach_mm)
    weight = _weight(mask, spacing, report, artist.reach_mm)
    after = before.copy()
    blend(after, (slice(None), slice(None), slice(None)), image, weight, scan.stored)
    return Draw(mask, image, weight, judged(after, mask, report, scan.organ_map, region))


def _painted(mask: Bool[np.ndarray, "u v w"], spacing: Spacing, report: LesionReport) -> Bool[np.ndarray, "u v w"]:
    """What is painted: of a sharp lesion more than the mask, which then cuts it, so that its edge is the cut."""
    if report.surface in SHARP_SURFACES:
        return np.asarray(distance_transform_edt(~mask, sampling=spacing) <= BEYOND_MM)
    return mask


def level(
    image: Float32[np.ndarray, "u v w"],
    mask: Bool[np.ndarray, "u v w"],
    spacing: Spacing,
    asked_hu: float | None,
    reach_mm: float,
) -> Float32[np.ndarray, "u v w"] | float:
    """What is added so that the lesion's mean is the CT value that was asked for; it fades over the margin.

    The mean is taken clear of the border, as it is measured, or over the whole of a lesion too small for that.

    Args:
        image: painted, HU.
        mask: voxels of the lesion; not empty.
        spacing: edges of a voxel, mm.
        asked_hu: the CT value; None leaves the painting as it is.
        reach_mm: how far outside the mask is painted.
    """
    if asked_hu is None:
        return 0.0
    core = distance_transform_edt(mask, sampling=spacing) > CLEAR_VOXELS * min(spacing)
    inside = core if core.sum() >= FEWEST_CLEAR else mask
    return feather(mask, spacing, reach_mm) * np.float32(asked_hu - float(image[inside].mean()))


def _weight(
    mask: Bool[np.ndarray, "u v w"], spacing: Spacing, report: LesionReport, reach_mm: float
) -> Float32[np.ndarray, "u v w"]:
    """Share of the painting in each voxel: outside a sharp surface the scan stays as it is."""
    if report.surface in SHARP_SURFACES:
        return gaussian_filter(mask.astype(np.float32), EDGE_VOXELS, truncate=2.0)  # reaches one voxel far
    return feather(mask | (feather(mask, spacing, reach_mm) > 0), spacing, BLEND_MM)


def _mask(scan: Scan, report: LesionReport, box: Box, artist: Artist, seed: int) -> Bool[np.ndarray, "u v w"]:
    """The lesion's voxels in the region of the cube of paint."""
    shaping, painting = artist.frames(box, scan.organ_map.geometry)
    field = stretched(artist.shape(scan.organ_map, shaping, box, report, seed), shaping, box)
    region = shaping.region
    allowed = allowed_region(scan.organ_map, report, region) & (scan.labels[region] != scan.lesion_value)
    mask = np.zeros([part.stop - part.start for part in painting.region], dtype=bool)
    there, here = _shared(region, painting.region)
    mask[there] = voxels_of(field, shaping, box, allowed, artist.levels)[here]
    return mask


def _shared(first: Region, second: Region) -> tuple[Region, Region]:
    """The voxels that two regions share, as a part of the second and as a part of the first."""
    low = [max(a.start, b.start) for a, b in zip(first, second, strict=True)]
    high = [min(a.stop, b.stop) for a, b in zip(first, second, strict=True)]

    def part_of(region: Region) -> Region:
        x, y, z = (
            slice(start - part.start, stop - part.start) for start, stop, part in zip(low, high, region, strict=True)
        )
        return x, y, z

    return part_of(second), part_of(first)
