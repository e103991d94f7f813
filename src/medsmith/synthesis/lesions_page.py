"""A page of inserted lesions: requested and measured attributes, with pictures before and after."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from medsmith.cases.canonical import canonical_geometry, canonical_view, region_in_file
from medsmith.cases.cohort import Cohort
from medsmith.cases.display import displayed
from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.errors import counted
from medsmith.evaluation.pages.page import Page, Picture, Section, Table, write_page
from medsmith.evaluation.pages.sheets import Tile, contact_sheet
from medsmith.evaluation.pages.viewer_link import link_to_coming_view
from medsmith.formats.json_file import read_json
from medsmith.geometry import Geometry
from medsmith.measurement.adherence import MEASURED_BY, TOLERANCES
from medsmith.measurement.assessment import need_not_stand_out
from medsmith.reports.organs import is_bone
from medsmith.reports.wording import organ_words
from medsmith.synthesis.lesion_values import (
    DRAWN,
    NOT_ASKED,
    asked_verdicts,
    attribute_in_words,
    lesion_values,
    said_density,
    unmeasured,
)
from medsmith.synthesis.missed import missed_line, read_missed

PAGE = "lesions.html"
MAX_PICTURES = 24
HALF_MM = (16.0, 48.0)
"""Least and most half edge length of the pictures, mm; between them it is twice the longest edge of the lesion."""
LUNG_WINDOW, SOFT_WINDOW, BONE_WINDOW = (-1350.0, 150.0), (-160.0, 240.0), (-450.0, 1050.0)
"""Display windows, HU from black to white."""
_SAME = "nothing: words that mean the same"
_ROWS = (
    "A request is met if what was measured is listed under 'met by'. Words that no image tells apart, such as cystic "
    "and round-like, count as one; the table of attributes says how each is measured, and where its words part.",
    "A lesion is visible if its contrast, rim or texture exceeds five times the noise of its largest slice (Rose's "
    "criterion): in a large lesion a low contrast does, and a narrow window may be needed to see it.",
    f"What a request left open was {DRAWN} of the lesion type, and does not count.",
    f"Rows with '{NOT_ASKED}' were measured and not requested; they do not count.",
    "Densities are those of the voxels clear of the border, in a small lesion of its deepest alone; the mean of all "
    "voxels of a mask is nearer to its surroundings.",
)
Json = Mapping[str, Any]


def write_lesions_page(out: Path, templates: Path) -> Path | None:
    """Write OUT/lesions.html.

    Args:
        out: a cohort of synthetic cases.
        templates: the cohort of the scans that the lesions were inserted into.

    Returns:
        The page's path; None if the cases have no record of lesions.
    """
    cohort, scans = Cohort.open(out), Cohort.open(templates)
    records = {id: read_json(out / PROVENANCE / f"{id}.json") for id in cohort.ids}
    lesions = [(id, lesion) for id, record in records.items() for lesion in record.get("lesions", ())]
    if not lesions:
        return None
    pictures = [_picture(cohort, scans, id, records[id]["template"], lesion) for id, lesion in lesions[:MAX_PICTURES]]
    page = Page(
        title="Lesions: requested and measured",
        summary=[
            _summary([lesion for _, lesion in lesions]),
            _attempts(out, records.values()),
            *_not_made(out),
            *_unpictured(len(lesions)),
            *_remarks(records.values()),
        ],
        sections=[
            Section("Attributes", tables=[_totals([lesion for _, lesion in lesions])]),
            Section("Before, after, outlined", pictures=pictures),
            *_closest(out),
            Section("All lesions", _ROWS, tables=[_details(lesions)]),
        ],
        facts={"weights": str(next(iter(records.values()))["weights_hash"])[:16]},
        links=[link_to_coming_view(out, out / PAGE)],
    )
    write_page(page, out / PAGE)
    return out / PAGE


def lesions_line(out: Path) -> str:
    """How many lesions of a cohort are as requested, and how many cases are not made since theirs are not, in one line.

    Empty if its cases have no record of lesions.
    """
    records = [read_json(path) for path in sorted((out / PROVENANCE).glob("*.json"))]
    lesions = [lesion for record in records for lesion in record.get("lesions", ())]
    return " ".join([_summary(lesions), *_remarks(records), *_not_made(out)]) if lesions else ""


def _not_made(out: Path) -> list[str]:
    missed = read_missed(out)
    made = len(list((out / PROVENANCE).glob("*.json")))
    return [f"{missed_line(made, missed)}."] if missed else []


def _closest(out: Path) -> Iterator[Section]:
    """What was measured at the cases that are not made, and why some have no place."""
    rows = [
        (id, value.attribute, value.requested, value.measured, value.met_by)
        for id, misses in read_missed(out).items()
        for value in misses.closest
    ]
    if rows:
        head = ("case", "attribute", "requested", "measured", "met by")
        yield Section("Not made: what the closest attempt missed", tables=[Table(head, rows)])
    unplaced = [(id, misses.unplaced) for id, misses in read_missed(out).items() if misses.unplaced]
    if unplaced:
        yield Section("Not made: no template can take the report", tables=[Table(("case", "why"), unplaced)])


def _summary(lesions: Sequence[Json]) -> str:
    passed, visible = (sum(bool(lesion[key]) for lesion in lesions) for key in ("passed", "visible"))
    hidden = sum(need_not_stand_out(*map(lesion["requested"].get, ("density", "organ"))) for lesion in lesions)
    excused = f" ({hidden} asked to be isodense, which need not stand out)"
    return (
        f"{passed} of {counted(len(lesions), 'lesion')} as asked in every measured attribute; "
        f"visible: {visible}{excused if hidden else ''}{_not_shown(lesions)}{_drawn(lesions)}."
    )


def _not_shown(lesions: Sequence[Json]) -> str:
    """What was asked for and could not be measured; empty if all was."""
    counts = Counter(attribute_in_words(name) for lesion in lesions for name in unmeasured(lesion))
    listed = ", ".join(f"{name} of {counted(count, 'lesion')}" for name, count in counts.items())
    return f"; asked and not measured (lesion too small or voxels too coarse): {listed}" if listed else ""


def _drawn(lesions: Sequence[Json]) -> str:
    """How much of what nobody asked for is as it was drawn; empty if nothing was drawn."""
    drawn = [
        bool(verdict["passed"])
        for lesion in lesions
        for verdict in lesion.get("verdicts", ())
        if verdict["attribute"] in lesion.get("drawn", ())
    ]
    return f"; {DRAWN} and not counted: {counted(len(drawn), 'value')}, {sum(drawn)} met" if drawn else ""


def _attempts(out: Path, records: Collection[Json]) -> str:
    """How many attempts all cases took, how many were refused, and how often lesions were drawn in the others."""
    made, refused = len(records), sum(record["attempt"] for record in records)
    checks = sum((Counter(record["refused"]) for record in records), Counter[str]())
    by = ", ".join(f"{check} {times}" for check, times in sorted(checks.items()))
    draws = sum(lesion["attempts"] for record in records for lesion in record.get("lesions", ()))
    said = (
        f"Attempts at the {counted(made, 'case')} made: {made + refused}, of which the checks refused {refused}"
        f"{f' ({by})' if by else ''}; in the {made} that passed lesions were drawn {counted(draws, 'time')}."
    )
    unmade = sum(not misses.unplaced for misses in read_missed(out).values())
    if not unmade:
        return said
    limits = next(iter(records))["limits"]
    given_up = unmade * min(limits["attempts"], limits["missed_attempts"])
    return f"{said} At the {unmade} not made since they missed the request: {given_up}, all refused."


def _remarks(records: Iterable[Json]) -> list[str]:
    """How the words of the request were read where a report does not hold them as said, in one line or none."""
    asked = (record.get("remarks") or record.get("request", {}).get("remarks", ()) for record in records)
    remarks = dict.fromkeys(said for remarks_of_one in asked for said in remarks_of_one)
    return [f"Of the words of the request: {'; '.join(remarks)}."] if remarks else []


def _unpictured(count: int) -> list[str]:
    return [f"Pictures: the first {MAX_PICTURES} of {count} lesions."] if count > MAX_PICTURES else []


def _totals(lesions: Sequence[Json]) -> Table:
    requested: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for lesion in lesions:
        for verdict in asked_verdicts(lesion):
            requested[verdict["attribute"]] += 1
            passed[verdict["attribute"]] += verdict["passed"]
    rows = [
        (
            attribute_in_words(name),
            MEASURED_BY.get(name, ""),
            TOLERANCES.get(name, _SAME),
            str(count),
            f"{passed[name]} ({passed[name] / count:.0%})",
        )
        for name, count in requested.items()
    ]
    return Table(("attribute", "measured by", "may be off by", "requested", "met"), rows)


def _details(lesions: Sequence[tuple[str, Json]]) -> Table:
    def rows() -> Iterator[tuple[str, ...]]:
        for id, lesion in lesions:
            name = _name(lesion["requested"])
            for value in lesion_values(lesion):
                met = "" if value.passed is None else "yes" if value.passed else "no"
                yield (id, name, value.attribute, value.requested, value.measured, value.met_by, met)

    return Table(("case", "lesion", "attribute", "requested", "measured", "met by", "met"), list(rows()))


def _name(requested: Json) -> str:
    """The type of a lesion, else where it was asked for."""
    kind, organ = requested.get("lesion_type"), requested.get("organ")
    return str(kind or (f"lesion in the {organ_words(organ)}" if organ else "lesion"))


def _picture(cohort: Cohort, scans: Cohort, id: str, template: str, lesion: Json) -> Picture:
    """The template, the case, and the case with its lesion outlined, in the slice where the lesion is largest.

    Only the shown region is read, since a whole scan takes hundreds of MB.
    """
    box, grid = lesion["box"], canonical_geometry(cohort.geometry(id))
    changed = _changed((cohort, id), (scans, template), grid.shape, box)
    level = int(changed.sum((0, 1)).argmax())
    plane = _plane(box, grid)
    region = (*plane, slice(box[0][2] + level, box[0][2] + level + 1))
    window = _window(str(lesion["requested"].get("organ")))
    outline = displayed(changed[*plane, level].astype(np.uint8), grid.spacing_known)
    before, after = (_gray(of, name, region, window) for of, name in ((scans, template), (cohort, id)))
    pixel, plain = grid.spacing[:2], np.zeros_like(outline)
    tiles = [
        Tile(before, plain, "before", pixel=pixel),
        Tile(after, plain, "after", pixel=pixel),
        Tile(after, outline, "outlined", pixel=pixel),
    ]
    report = lesion["requested"]
    words = [
        report.get("lesion_type"),
        *report.get("shape", ()),
        said_density(report),
        report.get("surface"),
        lesion.get("note"),
    ]
    words.append(f"{2 * _half_mm(box, grid):.0f} mm wide")
    return Picture(contact_sheet([tiles]), f"{id} in {template}: {', '.join(filter(None, words))}")


def _changed(
    case: tuple[Cohort, str], template: tuple[Cohort, str], shape: tuple[int, int, int], box: Sequence[Sequence[int]]
) -> Bool[np.ndarray, "x y z"]:
    """Voxels whose labels differ between case and template, in the slices of a box."""
    region = (slice(0, shape[0]), slice(0, shape[1]), slice(box[0][2], box[1][2]))

    def labels(cohort: Cohort, id: str) -> UInt8[np.ndarray, "x y z"]:
        geometry = cohort.geometry(id)
        if not cohort.files(id).label_paths:  # a template without labels
            return np.zeros([part.stop - part.start for part in region], np.uint8)
        return canonical_view(cohort.labels_region(id, region_in_file(region, geometry)), geometry)

    return np.asarray(labels(*case) != labels(*template))


def _half_mm(box: Sequence[Sequence[int]], grid: Geometry) -> float:
    """Half the edge length of the pictures of a lesion, mm."""
    longest = max((box[1][axis] - box[0][axis]) * grid.spacing[axis] for axis in range(2))
    return float(np.clip(2 * longest, *HALF_MM))


def _plane(box: Sequence[Sequence[int]], grid: Geometry) -> tuple[slice, slice]:
    """The shown part of an axial slice, centered on the box."""

    def along(axis: int) -> slice:
        middle, half = (box[0][axis] + box[1][axis]) // 2, int(_half_mm(box, grid) / grid.spacing[axis])
        return slice(max(middle - half, 0), min(middle + half, grid.shape[axis]))

    return along(0), along(1)


def _window(organ: str) -> tuple[float, float]:
    if "lung" in organ:
        return LUNG_WINDOW
    return BONE_WINDOW if is_bone(organ) else SOFT_WINDOW


def _gray(
    cohort: Cohort, id: str, region: tuple[slice, slice, slice], window: tuple[float, float]
) -> Float32[np.ndarray, "w h"]:
    """One slice in a display window, scaled to 0..255."""
    geometry = cohort.geometry(id)
    image = cohort.image_region(id, region_in_file(region, geometry))[0]
    gray = (canonical_view(image, geometry)[:, :, 0] - window[0]) / (window[1] - window[0]) * 255
    return np.asarray(displayed(np.clip(gray, 0, 255), geometry.spacing_known), np.float32)
