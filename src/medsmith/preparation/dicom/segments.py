"""Maps segments and regions of interest to the labels of a cohort."""

from collections.abc import Mapping
from pathlib import Path

from medsmith.cases.integrity import first_of
from medsmith.errors import CohortError
from medsmith.formats.dicom.labels import find_segments
from medsmith.formats.dicom.series import Series
from medsmith.preparation.dicom.choice import Chosen

_MOST_LABELS = 255
Drawn = tuple[tuple[Series, Mapping[int, int]], ...]
"""Segmentations and structure sets, each with number of the segment -> label."""


def map_segments(
    root: Path, chosen: Mapping[str, Chosen], declared: Mapping[str, int | str]
) -> tuple[dict[str, Drawn], dict[str, int], str]:
    """The segments of each case, name -> label, and how they were determined.

    Args:
        root: the folder.
        chosen: case id -> its series.
        declared: label name -> number or label of the segment, or name of the region; empty takes all segments.

    Raises:
        CohortError: a segment is in no case, is in several objects of a case, or undeclared segments have no common
            meaning.
    """
    if declared:
        names = tuple(name for name in declared if declared[name] != 0 and name != "background")
        found = {
            case_id: _declared(case_id, case, [declared[name] for name in names], names)
            for case_id, case in chosen.items()
        }
        _check_found(root, names, found)
        return found, _numbered(names), "as declared"
    drawn = {case_id: _all(root, case_id, case) for case_id, case in chosen.items()}
    count = max((len(label_of) for rows in drawn.values() for _, label_of in rows), default=0)
    _check_meaning(root, drawn, count)
    if not count:
        return drawn, {"background": 0}, "no label maps"
    names = tuple(f"label_{label}" for label in range(1, count + 1))
    return drawn, _numbered(names), "in the order of the segments; name them with --label NAME=SEGMENT"


def _numbered(names: tuple[str, ...]) -> dict[str, int]:
    return {"background": 0} | {name: label for label, name in enumerate(names, start=1)}


def _declared(case_id: str, case: Chosen, wanted: list[int | str], names: tuple[str, ...]) -> Drawn:
    rows: dict[str, tuple[Series, dict[int, int]]] = {}
    for label, (name, value) in enumerate(zip(names, wanted, strict=True), start=1):
        fitting = [(series, segments) for series in case.drawn if (segments := find_segments(series, value))]
        if len(fitting) > 1:
            found = f"label {name} of {case_id} is in {first_of(series.name for series, _ in fitting)}"
            raise CohortError(case.image.root, found, "one of them", "choose with --series")
        for series, segments in fitting:
            if len(segments) > 1:
                found = f"{len(segments)} segments fit label {name}"
                raise CohortError(series.subject, found, "one", "choose by number, or by a description of its own")
            label_of = rows.setdefault(series.first.instance, (series, {}))[1]
            label_of |= {segment.number: label for segment in segments}
    return tuple(rows.values())


def _check_found(root: Path, names: tuple[str, ...], found: Mapping[str, Drawn]) -> None:
    """Checks that each declared label has a segment in some case."""
    there = {label for rows in found.values() for _, label_of in rows for label in label_of.values()}
    missing = [name for label, name in enumerate(names, start=1) if label not in there]
    if missing:
        line = f"no segmentation or structure set of the chosen series has a segment for label {first_of(missing)}"
        cure = f"medsmith series {root} lists the segments"
        raise CohortError(root, line, "--label NAME=SEGMENT, by number or label", cure)


def _all(root: Path, case_id: str, case: Chosen) -> Drawn:
    if len(case.drawn) > 1:
        found = f"{case_id} has {len(case.drawn)}: {first_of(series.name for series in case.drawn)}"
        cure = "choose with --series (the image's own takes it without labels), or name segments: --label NAME=SEGMENT"
        raise CohortError(root, found, "one segmentation or structure set per case", cure)
    if not case.drawn:
        return ()
    segments = case.drawn[0].first.segments
    if not 0 < len(segments) <= _MOST_LABELS:
        found = f"{len(segments)} segments"
        raise CohortError(case.drawn[0].subject, found, f"1 to {_MOST_LABELS}", "choose with --label NAME=SEGMENT")
    return ((case.drawn[0], {segment.number: label for label, segment in enumerate(segments, start=1)}),)


def _check_meaning(root: Path, drawn: Mapping[str, Drawn], count: int) -> None:
    """Checks that undeclared segments of one place have one label throughout; the labels themselves are not shown."""
    for place in range(count):
        texts = {
            series.first.segments[place].label.casefold()
            for rows in drawn.values()
            for series, _ in rows
            if place < len(series.first.segments)
        }
        if len(texts) > 1:
            found = f"segment {place + 1} has {len(texts)} different labels in the files"
            raise CohortError(root, found, "one meaning", "choose with --label NAME=SEGMENT, by label")
