"""What ``prepare`` found and did, as lines and as ``prepare.json``."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np

from medsmith.cases.case_files import parts_line
from medsmith.cases.integrity import declared_line, first_of
from medsmith.errors import counted
from medsmith.formats.dicom.folder import kinds_line
from medsmith.preparation.notes import note_lines
from medsmith.preparation.options import PrepareOptions
from medsmith.preparation.source import Source

RECORD: Final = "prepare.json"
_SHOWN = 10


@final
@dataclass(frozen=True)
class CaseSummary:
    """Summary of one source case.

    Attributes:
        shape: of its grid.
        spacing: None where none is known.
        stored: number type.
        typical_ct: whether it is clearly CT; None without an image.
        empty: whether its label map is all background.
        left_out: whether it is left out for that.
        noisy: whether the image looks like noise.
        padding: note on the padding to be clipped if the image turns out to be CT.
        notes: one line per accepted irregularity.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float] | None
    stored: str
    typical_ct: bool | None
    empty: bool
    left_out: bool
    noisy: bool
    padding: tuple[str, ...]
    notes: tuple[str, ...]


def record_of(source: Source, summaries: Mapping[str, CaseSummary], options: PrepareOptions) -> dict[str, Any]:
    """The content of ``prepare.json``; identical sources and options give an identical record."""
    facts: dict[str, Any] = {
        "kept": source.kept,
        "skipped": [f"{number}: {kind}" for number, kind in enumerate(source.skipped, start=1)],
        "unused": source.unused,
    }
    return {name: found for name, found in facts.items() if found} | {
        "channel_names": source.layout.channel_names,
        "file_ending": source.layout.file_ending,
        "label_names": source.layout.label_names,
        "label_of_source_value": {str(value): label for value, label in source.layout.label_of.items()},
        "inferred": inferred_lines(source, summaries),
        "left_out": [*source.left_out, *(case_id for case_id, summary in summaries.items() if summary.left_out)],
        "notes": [note for summary in summaries.values() for note in summary.notes],
        "options": options.recorded,
        "sources": {case_id: source.sums(case_id) for case_id in source.cases},
    }


def inferred_lines(source: Source, summaries: Mapping[str, CaseSummary]) -> list[str]:
    """The inferred facts, one line each."""
    layout, kept = source.layout, [summary for summary in summaries.values() if not summary.left_out]
    notes = [note for summary in summaries.values() for note in summary.notes]
    empty = [case_id for case_id, summary in summaries.items() if summary.left_out]
    noisy = [case_id for case_id, summary in summaries.items() if summary.noisy]
    names = {"kept without a pair": source.kept, "left out": source.left_out, "left out, all background": empty}
    joined = [] if source.layout.label_of_file else [id for id, files in source.cases.items() if files.extra_labels]
    names |= {"several label maps of one image, joined": joined}
    names |= {"series that are not taken": source.unused}
    names |= {"images that look like noise, as where gray values above 255 wrap in 8 bits": noisy}
    return [
        f"{_cases(source, [case_id for case_id in summaries if case_id not in empty])}: {source.rule}",
        f"channels: {', '.join(layout.channel_names) or 'none'} ({_channel_reason(source)})",
        f"labels: {declared_line(layout.label_names)} ({source.label_reason})",
        _spacing_line(kept),
        f"shapes: {_span([each.shape for each in kept])}; stored as {_counted(each.stored for each in kept)}",
        *(f"{what}: {first_of(found)}" for what, found in names.items() if found),
        *_skipped(source.skipped),
        *note_lines(notes, _SHOWN, RECORD),
    ]


def _skipped(kinds: Sequence[str]) -> list[str]:
    """The files that are not read, by kind; their names may identify patients."""
    if not kinds:
        return []
    named = "medsmith series FOLDER names them"
    return [f"skipped, no DICOM or damaged: {counted(len(kinds), 'file')} ({kinds_line(kinds)}); {named}"]


def _cases(source: Source, kept: Sequence[str]) -> str:
    """Number of the cases, and what they have where not all have the same."""
    files = [source.cases[case_id] for case_id in kept]
    with_image, with_labels = sum(bool(each.channels) for each in files), sum(bool(each.labels) for each in files)
    alike = {with_image, with_labels} <= {0, len(kept)}
    return counted(len(kept), "case") + ("" if alike else f" ({parts_line(len(kept), with_image, with_labels)})")


def changed_values(options: PrepareOptions) -> list[str]:
    """What is done to all gray values, one line each."""
    lines = [f"gray values: {options.hu_offset:+g} HU"] if options.hu_offset else []
    if options.percentiles is not None:
        low, high = options.percentiles
        lines.append(f"gray values: percentiles {low:g} and {high:g} of each image become 0 and 255, others clipped")
    return lines


def _channel_reason(source: Source) -> str:
    if not source.layout.channel_names:
        return "no images"
    if source.channels_known:
        return source.channel_reason or "as declared"
    if source.layout.channel_names == ("CT",):
        return "every image is in Hounsfield units"
    return "nobody says what it shows: name it with --channel"


def _spacing_line(summaries: Iterable[CaseSummary]) -> str:
    known = [summary.spacing for summary in summaries if summary.spacing is not None]
    if not known:
        return "spacing: PNG stores none, 1 mm stands in"
    middle = " x ".join(f"{size:.3g}" for size in np.median(known, axis=0))
    span = _span([tuple(float(f"{size:.3g}") for size in each) for each in known])
    return f"spacing: {middle} mm" if span == middle else f"spacing: {middle} mm (median), {span}"


def _span(rows: list[tuple[Any, ...]]) -> str:
    ends = [" x ".join(f"{value:g}" for value in end) for end in (np.min(rows, axis=0), np.max(rows, axis=0))]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values)
    return next(iter(counts)) if len(counts) == 1 else ", ".join(f"{value} ({n})" for value, n in counts.items())
