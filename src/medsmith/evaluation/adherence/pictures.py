"""Pairs as pictures: the cases of one draw side by side, one for each level of the attribute."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.cases.canonical import canonical_case
from medsmith.cases.case import Case
from medsmith.cases.display import displayed
from medsmith.cases.hounsfield import is_ct
from medsmith.cases.windows import CT_WINDOWS
from medsmith.evaluation.pages.sheets import Tile, contact_sheet
from medsmith.methods.attributes import Attribute, Focus

HALF_MM = 32.0
"""Half the edge of a picture that is centered on something, mm."""
_EDGE = 192
"""Of a tile, pixels."""
_LUNG_HU = -400.0
"""Median below which a picture is shown in the lung window."""
_PERCENTILES = (0.5, 99.5)


def pair_picture(attribute: Attribute, cases: Sequence[Case], values: Sequence[float]) -> bytes:
    """A PNG: of each level the image, titled by what was asked for, and the same outlined, titled by the property.

    Args:
        attribute: that was asked for.
        cases: made for its requests; titled by their own names where they are not one for each level.
        values: the property of each level.
    """
    said = attribute.cases or attribute.levels
    found = ["its labels"] * len(cases) if attribute.cases else [f"{value:.3g}" for value in values]
    tiles: list[Tile] = []
    for case, before, after in zip(map(canonical_case, cases), said, found, strict=True):
        tiles += case_tiles(case, attribute.focus(case) if attribute.focus else None, (before, after))
    return contact_sheet([tiles], _EDGE)


def outlined_beside(case: Case, found: UInt8[np.ndarray, "x y z"], titles: tuple[str, str]) -> bytes:
    """A PNG: the image, the same with its labels, and with other labels, in the slice that has most of its own.

    Args:
        case: in canonical axes, with image and labels.
        found: other labels on its grid.
        titles: of the case, and of the other labels.
    """
    tiles = case_tiles(case, None, (titles[0], "its map"))
    level = _fullest(case.require_labels())
    outline = displayed(found[:, :, level], case.geometry.spacing_known)
    return contact_sheet([[*tiles, replace(tiles[0], labels=outline, title=titles[1])]], _EDGE)


def case_tiles(case: Case, focus: Focus | None, titles: tuple[str, str]) -> list[Tile]:
    """One slice of a case, without and with its labels outlined.

    Args:
        case: in canonical axes, with an image.
        focus: what is shown; None: the slice with most labels.
        titles: of the two tiles.
    """
    image, labels, grid = case.require_image()[0], case.labels, case.geometry
    labels = np.zeros(grid.shape, np.uint8) if labels is None else labels
    x, y, level = slice(None), slice(None), _fullest(labels)
    if focus is not None:
        labels = (labels == case.label_names[focus.label]).astype(np.uint8)
        x, y = (_around(focus.center[axis], HALF_MM / grid.spacing[axis], grid.shape[axis]) for axis in (0, 1))
        level = focus.center[2]
    gray = displayed(_gray(image[x, y, level], is_ct(case.channel_names[0])), grid.spacing_known)
    outline = displayed(labels[x, y, level], grid.spacing_known)
    plain = Tile(gray, np.zeros_like(outline), titles[0], pixel=grid.spacing[:2])
    return [plain, replace(plain, labels=outline, title=titles[1])]


def _fullest(labels: UInt8[np.ndarray, "x y z"]) -> int:
    """The slice with most labels; without any, the middle one."""
    return int((labels > 0).sum((0, 1)).argmax()) if labels.any() else labels.shape[2] // 2


def _around(center: int, half: float, most: int) -> slice:
    return slice(max(center - round(half), 0), min(center + round(half) + 1, most))


def _gray(plane: Float32[np.ndarray, "x y"], hounsfield: bool) -> Float32[np.ndarray, "x y"]:
    """The plane in a display window, scaled to 0..255."""
    if hounsfield:
        window = CT_WINDOWS["lung" if float(np.median(plane)) < _LUNG_HU else "soft"]
        low, high = window.low, window.high
    else:
        low, high = (float(value) for value in np.percentile(plane, _PERCENTILES))
    scaled = (plane - low) * (255 / max(high - low, 1e-6))
    gray: Float32[np.ndarray, "x y"] = np.clip(scaled, 0, 255).astype(np.float32)
    return gray
