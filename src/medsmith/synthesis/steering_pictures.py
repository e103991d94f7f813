"""Pictures of a steered slice, as displayed: its guides and the new image.

Axes: x y of the slice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.anatomy.context import LUNG, find_context
from medsmith.cases.case import Case
from medsmith.cases.display import displayed
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import model_to_image
from medsmith.diffusion import LowPassGuide
from medsmith.evaluation.pages.sheets import OUTLINES, Tile, legend_of
from medsmith.geometry import Geometry
from medsmith.methods.mddpm import Mddpm
from medsmith.methods.mddpm.steering import Steering
from medsmith.synthesis.steering_words import guide_name

REGION_NAME, REGION_COLOR = "region in which a guide acts", "#ffffff"
Window = tuple[float, float]


@final
@dataclass(frozen=True, eq=False)
class SteeredCase:
    """A case with its steering.

    Attributes:
        case: the image, its annotation and its provenance.
        steering: its guides.
    """

    case: Case
    steering: Steering

    @property
    def adherence(self) -> Mapping[str, float]:
        """How well the image follows its guides, as its provenance has it; see ``measure_adherence``."""
        found: Mapping[str, float] = (self.case.provenance or {})["adherence"]
        return found


def guide_tiles(method: Mddpm, steered: SteeredCase) -> dict[str, Tile]:
    """Every guide before its low-pass filter, by its key, the region in which it acts outlined.

    Args:
        method: that made the case.
        steered: a slice with its steering.
    """
    window = method.fingerprint.robust_range[0]

    def tile(key: str, guide: LowPassGuide) -> Tile:
        plane = model_to_image(guide.reference[0], method.fingerprint)[0, :, :, 0]
        return _tile(plane, _region(guide), window, steered.case.geometry, guide_name(key), (REGION_COLOR,))

    return {key: tile(key, guide) for key, guide in steered.steering.guides.items()}


def image_tiles(case: Case, window: Window, title: str) -> list[Tile]:
    """The image, and the same with its annotation outlined where it has one.

    Args:
        case: a slice.
        window: gray values of black and white.
        title: above the first.
    """
    plane = case.require_image()[0, :, :, 0]
    tiles = [_tile(plane, np.zeros(plane.shape, np.uint8), window, case.geometry, title)]
    if case.labels is not None:
        tiles.append(_tile(plane, case.labels[:, :, 0], window, case.geometry, f"{title}, annotation"))
    return tiles


def shows_lung(case: Case, facts: Fingerprint) -> bool:
    """Whether a slice in Hounsfield units has lung, found by thresholds, which a lung window shows better.

    Args:
        case: a slice.
        facts: of the training cohort.
    """
    return facts.is_hounsfield and LUNG in find_context(case.require_image()[0, :, :, 0])


def legend(guides: Sequence[Tile], images: Sequence[Tile], names: Mapping[str, int]) -> dict[str, str]:
    """Name -> color of everything that is outlined.

    Args:
        guides: of ``guide_tiles``.
        images: of ``image_tiles``.
        names: label name -> value.
    """
    return {**legend_of(images, names), **legend_of(guides, {REGION_NAME: 1})}


def _tile(
    plane: Float32[np.ndarray, "x y"],
    labels: UInt8[np.ndarray, "x y"],
    window: Window,
    grid: Geometry,
    title: str,
    colors: Sequence[str] = OUTLINES,
) -> Tile:
    low, high = window
    gray = np.clip((plane - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.float32)
    oriented = grid.spacing_known
    return Tile(displayed(gray, oriented), displayed(labels, oriented), title, colors, grid.spacing[:2])


def _region(guide: LowPassGuide) -> UInt8[np.ndarray, "x y"]:
    if guide.region is None:
        return np.zeros(tuple(guide.reference.shape[2:]), np.uint8)
    return np.asarray(guide.region[0, 0].numpy() > 0.5, np.uint8)
