"""An annotated scan as what the networks learn from: a cube about its largest lesion for each of them."""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float32
from scipy.ndimage import distance_transform_edt, find_objects
from scipy.ndimage import label as components

from medsmith.canonical import canonical_geometry, canonical_view
from medsmith.case import Case, Geometry
from medsmith.conditioning.embeddings import PhraseTable
from medsmith.conditioning.organs import is_lesion
from medsmith.conditioning.schema import LesionReport, ScanReport
from medsmith.data.batches import Example
from medsmith.data.hounsfield_scale import hu_to_model
from medsmith.errors import ContentError
from medsmith.insertion.box import Box
from medsmith.insertion.frame import Frame
from medsmith.methods.lesiondiffusion.config import LesionDiffusionConfig, PaintConfig
from medsmith.methods.lesiondiffusion.site import cube_about, look_around

AIR_HU = -1000.0


@final
@dataclass(frozen=True, eq=False)
class Lesion:
    """The largest lesion of a scan.

    Attributes:
        mask: its voxels, canonical.
        box: its bounds.
        report: what is said of it.
        geometry: grid of the scan, canonical.
    """

    mask: Bool[np.ndarray, "x y z"]
    box: Box
    report: LesionReport
    geometry: Geometry


def largest_lesion(case: Case) -> Lesion:
    """The largest connected part of what is labelled as a lesion, with the report that is nearest in size.

    Raises:
        ContentError: the case has no labels, or nothing is labelled as a lesion.
    """
    values = [value for name, value in case.label_names.items() if is_lesion(name)]
    if not values:  # one class alone needs no name to be told apart
        values = [value for value in case.label_names.values() if value > 0]
    lesions = np.isin(canonical_view(case.require_labels(), case.geometry), values)
    parts, count = components(lesions, structure=np.ones((3, 3, 3)))
    if not count:
        raise ContentError(case.id, "no lesion is labelled", f"labels {dict(case.label_names)}", "leave the case out")
    largest = int(np.bincount(parts.ravel())[1:].argmax()) + 1
    mask = parts == largest
    box = box_of(mask)
    geometry = canonical_geometry(case.geometry)
    x, y, z = (float(count * edge) for count, edge in zip(box.shape, geometry.spacing, strict=True))
    return Lesion(mask, box, _report(case, (x, y, z)), geometry)


def box_of(mask: Bool[np.ndarray, "x y z"]) -> Box:
    """The bounds of a mask that is not empty."""
    x, y, z = find_objects(mask.astype(np.uint8))[0]
    return Box((x.start, y.start, z.start), (x.stop, y.stop, z.stop))


def _report(case: Case, edges: tuple[float, float, float]) -> LesionReport:
    reports = ScanReport.model_validate(case.report or {}).lesions
    if not reports:
        return LesionReport(size_mm=edges)

    def mismatch(report: LesionReport) -> float:
        return float(np.abs(np.log(np.array(report.size_mm or edges) / np.array(edges))).sum())

    nearest = min(reports, key=mismatch)
    return nearest if nearest.size_mm else nearest.model_copy(update={"size_mm": edges})


def example_of(case: Case, config: LesionDiffusionConfig, tables: tuple[PhraseTable, PhraseTable]) -> Example:
    """What LMNet, VQGAN and LINet learn from one case.

    Tensors: "mask", "organ", "around", "box" in LMNet's cube and "mask_words" (attribute, d); of a case with an image
    also "image" (model space), "lesion" (share inside), "region" (1 where painted) in LINet's and "image_words".

    Args:
        case: with a lesion.
        config: of the method.
        tables: encoded vocabulary of LMNet and of LINet.
    """
    lesion = largest_lesion(case)
    scan = lesion.geometry
    shaping = cube_about(lesion.box, scan, config.mask.frame)
    painting = cube_about(lesion.box, scan, config.paint.frame)
    labels = canonical_view(case.require_labels(), case.geometry)
    site = look_around(labels, case.label_names, shaping, shaping.inside(lesion.box), lesion.report.organ, config.mask)
    example = {
        "mask": torch.from_numpy(shaping.take(lesion.mask, 0.0) * 2 - 1)[None].half(),
        "organ": torch.from_numpy(site.organ),
        "around": torch.from_numpy(site.around).half(),
        "box": torch.from_numpy(site.box),
        "mask_words": torch.from_numpy(tables[0].tokens(lesion.report, "mask").vectors),
    }
    if case.image is None:
        return example
    image = hu_to_model(painting.take(canonical_view(case.image[0], case.geometry), AIR_HU))
    share = painting.take(lesion.mask, 0.0)
    region = painted_region(share, painting.spacing_mm, config.paint)
    return example | {
        "image": torch.from_numpy(image)[None].half(),
        "lesion": torch.from_numpy(share)[None].half(),
        "region": torch.from_numpy(region.astype(np.uint8))[None],
        "image_words": torch.from_numpy(tables[1].tokens(lesion.report, "image").vectors),
    }


def painted_region(
    share: Float32[np.ndarray, "s s s"], spacing_mm: float, config: PaintConfig
) -> Bool[np.ndarray, "s s s"]:
    """The lesion and, where margins are painted, what lies within reach of it: a voxel of the cube at least.

    A voxel belongs to the lesion from half the largest share on, so that a lesion smaller than a voxel is not lost.
    """
    mask = (share > 0) & (share >= 0.5 * share.max())
    if not mask.any() or config.reach_mm == 0:
        return np.asarray(mask)
    return np.asarray(distance_transform_edt(~mask, sampling=spacing_mm) <= max(config.reach_mm, spacing_mm))


def share_inside(mask: Bool[np.ndarray, "x y z"], frame: Frame) -> Float32[np.ndarray, "s s s"]:
    """The share of each voxel of a cube that lies in a mask of the scan."""
    return frame.take(mask, 0.0)
