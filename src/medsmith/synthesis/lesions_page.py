"""A page of the lesions that were put into scans: asked, got, passed, with pictures before and after."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

from medsmith.case import Case
from medsmith.cohort import Cohort
from medsmith.formats.json_file import read_json
from medsmith.insertion.canonical import canonical_geometry, canonical_view
from medsmith.layouts import PROVENANCE
from medsmith.report.page import Page, Picture, Section, Table, write_page
from medsmith.report.sheets import Tile, contact_sheet

PAGE = "lesions.html"
SHOWN = 24
HALF_MM = 48.0
"""Half the edge of the pictures."""
LUNG_WINDOW, SOFT_WINDOW = (-1350.0, 150.0), (-160.0, 240.0)
"""HU shown from black to white."""
Json = Mapping[str, Any]


def write_lesions_page(out: Path, templates: Path) -> Path | None:
    """Write OUT/lesions.html.

    Args:
        out: a cohort of synthetic cases.
        templates: the cohort whose scans they were put into.

    Returns:
        The page; None if the cases have no record of lesions.
    """
    cohort, scans = Cohort.open(out), Cohort.open(templates)
    records = {id: read_json(out / PROVENANCE / f"{id}.json") for id in cohort.ids}
    lesions = [(id, lesion) for id, record in records.items() for lesion in record.get("lesions", ())]
    if not lesions:
        return None
    shown = [id for id in cohort.ids if records[id].get("lesions")][:SHOWN]
    pictures = [_picture(cohort[id], scans[records[id]["template"]], records[id]["lesions"]) for id in shown]
    page = Page(
        title="Lesions: asked and got",
        summary=[_summary([lesion for _, lesion in lesions])],
        sections=[
            Section("Attribute by attribute", tables=[_totals([lesion for _, lesion in lesions])]),
            Section("Before, after, outlined", pictures=pictures),
            Section("Every lesion", tables=[_verdicts(lesions)]),
        ],
        facts={"weights": str(next(iter(records.values()))["weights_hash"])[:16]},
    )
    write_page(page, out / PAGE)
    return out / PAGE


def _summary(lesions: Sequence[Json]) -> str:
    passed, visible = (sum(bool(lesion[key]) for lesion in lesions) for key in ("passed", "visible"))
    draws = sum(lesion["draws"] for lesion in lesions)
    return (
        f"{len(lesions)} lesions from {draws} draws: {passed} are measured as they were asked for in every attribute, "
        f"{visible} can be seen or were asked to be isodense."
    )


def _totals(lesions: Sequence[Json]) -> Table:
    asked: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for lesion in lesions:
        for verdict in lesion.get("verdicts", ()):
            asked[verdict["attribute"]] += 1
            passed[verdict["attribute"]] += verdict["passed"]
    rows = [(name, str(count), f"{passed[name]} ({passed[name] / count:.0%})") for name, count in asked.items()]
    return Table(("attribute", "asked", "passed"), rows)


def _verdicts(lesions: Sequence[tuple[str, Json]]) -> Table:
    def rows() -> Iterator[tuple[str, ...]]:
        for id, lesion in lesions:
            name = lesion["asked"].get("lesion_type") or lesion["asked"].get("organ") or "lesion"
            for verdict in lesion.get("verdicts", ()):
                words = (_plain(verdict[key]) for key in ("asked", "got"))
                yield (id, name, verdict["attribute"], *words, "yes" if verdict["passed"] else "no")

    return Table(("case", "lesion", "attribute", "asked", "got", "passed"), list(rows()))


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " x ".join(f"{float(edge):.0f}" for edge in value) + " mm"
    return f"{value:.0f} HU" if isinstance(value, float) else str(value)


def _picture(case: Case, template: Case, lesions: Sequence[Json]) -> Picture:
    """The template, the case, and the case outlined, in the slice where the first lesion is largest."""
    low, high = lesions[0]["box"]
    spacing = canonical_geometry(case.geometry).spacing
    middle = [(first + last) // 2 for first, last in zip(low, high, strict=True)]
    reach = [int(HALF_MM / edge) for edge in spacing]
    plane = tuple(slice(max(place - half, 0), place + half) for place, half in zip(middle[:2], reach[:2], strict=True))
    changed = canonical_view(case.labels, case.geometry) != canonical_view(template.labels, template.geometry)
    height = low[2] + int(changed[:, :, low[2] : high[2]].sum((0, 1)).argmax())
    window = LUNG_WINDOW if "lung" in str(lesions[0]["asked"].get("organ")) else SOFT_WINDOW

    def shown(of: Case) -> Float32[np.ndarray, "w h"]:
        view = canonical_view(of.image[0], of.geometry)[*plane, height]
        grey = (view - window[0]) / (window[1] - window[0]) * 255
        return np.asarray(_as_seen(np.clip(grey, 0, 255)), np.float32)

    outline = _as_seen(changed[*plane, height].astype(np.uint8))
    tiles = [
        Tile(shown(template), np.zeros_like(outline), "before"),
        Tile(shown(case), np.zeros_like(outline), "after"),
        Tile(shown(case), outline, "outlined"),
    ]
    asked = lesions[0]["asked"]
    words = [asked.get("lesion_type"), *asked.get("shape", ()), asked.get("density"), asked.get("surface")]
    return Picture(
        contact_sheet([tiles]), f"{case.id} in {template.id}: {', '.join(filter(None, words)) or 'a lesion'}"
    )


def _as_seen(plane: Shaped[np.ndarray, "w h"]) -> Shaped[np.ndarray, "w h"]:
    """As radiologists look: the patient's right to the left, the front above."""
    return np.ascontiguousarray(plane[::-1, ::-1])
