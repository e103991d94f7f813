"""Converts a folder of images, label maps or both to a cohort.

Missing information is inferred if it is unambiguous, reported, and recorded in ``prepare.json``; anything else is
refused before the first file is written.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.case_files import CaseFiles
from medsmith.cases.cohort import Cohort
from medsmith.cases.hounsfield import clip_padding, hounsfield_scores, is_ct
from medsmith.cases.stretching import check_percentiles, stretch
from medsmith.errors import CohortError, RequestError, similar
from medsmith.formats.folders import as_folder, check_disjoint_folders
from medsmith.preparation.notes import with_clipped
from medsmith.preparation.options import EMPTY, UNPAIRED, UNREADABLE, PrepareOptions
from medsmith.preparation.pictures import as_picture
from medsmith.preparation.prepare_record import RECORD, CaseSummary, changed_values, inferred_lines, record_of
from medsmith.preparation.quality import check_reported, inspect, looks_like_noise, refuse_empty
from medsmith.preparation.recorded import pending_ids, recorded
from medsmith.preparation.source import Source
from medsmith.preparation.sources import find_source, map_cases
from medsmith.progress import NullProgress, Progress, advancing, silent

__all__ = ["RECORD", "PrepareOptions", "prepare"]

_LARGEST = float(np.finfo(np.float32).max)


def prepare(
    source: Path | str,
    out: Path | str,
    options: PrepareOptions | None = None,
    *,
    report: Callable[[str], None] = silent,
    progress: Progress | None = None,
) -> Cohort:
    """Converts a folder of images, label maps or both to a cohort; continues an interrupted identical call.

    Scans without label maps, or with maps that are all background throughout, give a cohort of images, and label maps
    without scans one of labels; see ``pairing.pair_files`` for how the two are distinguished.

    Args:
        source: an nnU-Net or Decathlon folder, image files that pair by their names, or DICOM files. Never written to.
        out: a new folder, or the one started by an identical call.
        options: declarations about the source; None infers everything.
        report: receives one line per inferred fact, and per change of gray values.
        progress: of reading DICOM headers, of reading and checking cases, then of writing.

    Raises:
        FileError: a file is damaged, or cannot be read or written.
        GeometryError: grids cannot be used, or differ within a case.
        ContentError: values that cannot be an annotated image.
        CohortError: files do not pair, names are not valid ids, several cases cannot be used, or ``out`` holds
            something else.
        RequestError: an option does not apply.
    """
    root, out, options = as_folder(source), Path(out), options or PrepareOptions()
    _check_options(options)
    check_disjoint_folders((root, out))
    progress = progress or NullProgress()
    found = find_source(root, options, report, progress)
    if found.channels_known:
        _check_gray_scale(options, found.layout.channel_names)
    every = found
    with progress.task("check", len(found.cases)) as advance:
        check = advancing(lambda case_id: _summarize(every, case_id, options), advance)
        summaries = map_cases(root, found.cases, check, report)
    found, summaries = _without_empty_maps(found, summaries, options, report)
    kept = {case_id: summary for case_id, summary in summaries.items() if not summary.left_out}
    found, summaries = _with_channels(found, summaries)
    if options.pictures:
        found = replace(found, layout=replace(found.layout, file_ending=".png"))
    record = record_of(found, summaries, options)
    for line in (*inferred_lines(found, summaries), *changed_values(options)):
        report(line)
    with recorded(out, RECORD, record, found.layout) as cohort:
        pending = pending_ids(cohort, ((case_id, found.cases[case_id]) for case_id in kept))
        with progress.task("write", len(kept), len(kept) - len(pending)) as advance:
            read = advancing(lambda case_id: _repaired(found.read(case_id, options.read)[0], options)[0], advance)
            cohort.write_all(pending, read)
        cohort.finish()
    return cohort


def _check_options(options: PrepareOptions) -> None:
    kinds = (EMPTY, UNPAIRED)
    for option, chosen, known in (
        ("--leave-out", options.leave_out, (*kinds, UNREADABLE)),
        ("--keep", options.keep, kinds),
    ):
        unknown = sorted(chosen - set(known))
        if unknown:
            cure = similar(unknown[0], known, "choose one")
            raise RequestError(option, f"{unknown[0]!r}", f"one of {', '.join(known)}", cure)
    both = sorted(options.keep & options.leave_out)
    if both:
        raise RequestError("--keep", f"{both[0]!r} is to be left out as well", "one of the two", "choose one")
    if not 0 < options.fraction <= 1:
        raise RequestError("--fraction", f"{options.fraction:g}", "above 0, at most 1", "choose another")
    for option, number in (("--hu-offset", options.hu_offset), ("--nan-fill", options.read.nan_fill)):
        if number is not None and not abs(number) <= _LARGEST:
            raise RequestError(option, f"{number:g}", f"at most {_LARGEST:.3g} in magnitude", "choose another")
    if options.hu_offset and not any(map(is_ct, options.channel_names)):
        raise RequestError("--hu-offset", "no channel is named CT", "it applies to CT", "add --channel CT")
    _check_gray_scale(options, options.channel_names)


def _check_gray_scale(options: PrepareOptions, channel_names: Iterable[str]) -> None:
    if options.pictures and options.percentiles is None:
        raise RequestError("--pictures", "no --percentiles", "pictures are in 8 bit", "add --percentiles 0.5,99.5")
    if options.percentiles is not None:
        check_percentiles(options.percentiles)
        if any(map(is_ct, channel_names)):
            cure = "leave it out, or name the channel otherwise than CT"
            raise RequestError("--percentiles", "a channel is named CT", "Hounsfield units have one scale", cure)


def _repaired(case: Case, options: PrepareOptions) -> tuple[Case, tuple[str, ...]]:
    """The case with CT channels in HU, offset added and padding clipped, or with other values stretched."""
    if case.image is None:
        return as_picture(case) if options.pictures else case, ()
    channels, notes = list(case.image), []
    for index, name in enumerate(case.channel_names):
        if is_ct(name):
            shifted = channels[index] + np.float32(options.hu_offset) if options.hu_offset else channels[index]
            channels[index], found = clip_padding(shifted)
            notes += [f"{case.id}: {note}" for note in found]
    image = channels[0][None] if len(channels) == 1 else np.stack(channels)
    unsigned = case.stored.kind == "u" and image.min() < 0
    case = replace(case, image=image, stored=np.dtype(np.int16) if unsigned else case.stored)
    case = case if options.percentiles is None else stretch(case, options.percentiles)
    return as_picture(case) if options.pictures else case, tuple(notes)


def _padding(case: Case) -> tuple[str, ...]:
    return tuple(f"{case.id}: {note}" for note in clip_padding(case.require_image())[1])


def _summarize(source: Source, case_id: str, options: PrepareOptions) -> CaseSummary:
    """Reads a case and checks its values."""
    case, notes = source.read(case_id, options.read)
    case, repairs = _repaired(case, options)
    empty = case.labels is not None and not case.labels.any()
    left_out = empty and EMPTY in options.leave_out
    if not left_out:
        if EMPTY not in options.keep:
            check_reported(case)
        notes = (*with_clipped(notes, repairs), *(f"{case_id}: {note}" for note in inspect(case)))
    typical = None if case.image is None else len(case.image) == 1 and hounsfield_scores(case.image).typical
    return CaseSummary(
        shape=case.geometry.shape,
        spacing=case.geometry.spacing if case.geometry.spacing_known else None,
        stored=str(case.stored),
        typical_ct=typical,
        padding=_padding(case) if typical and not left_out and not source.channels_known else (),
        empty=empty,
        left_out=left_out,
        noisy=case.image is not None and not left_out and looks_like_noise(case.image),
        notes=notes,
    )


def _without_empty_maps(
    source: Source, summaries: Mapping[str, CaseSummary], options: PrepareOptions, report: Callable[[str], None]
) -> tuple[Source, dict[str, CaseSummary]]:
    """The source; as images alone if every label map is all background and nothing is said about such maps.

    Raises:
        CohortError, ContentError: some maps are empty and neither kept nor left out, or all cases are left out.
    """

    def check_not_empty(case_id: str) -> None:
        if summaries[case_id].empty:
            refuse_empty(case_id)

    empty = [case_id for case_id, summary in summaries.items() if summary.empty]
    if EMPTY in options.leave_out and len(empty) == len(summaries):
        found = f"all {len(summaries)} label maps are all background"
        raise CohortError(source.root, found, "one case at least", "without --leave-out empty, images alone are taken")
    if not empty or EMPTY in options.keep | options.leave_out:
        return source, dict(summaries)
    labeled = [files for files in source.cases.values() if files.label_paths]
    if len(empty) < len(labeled) or not all(files.channels for files in labeled):
        map_cases(source.root, summaries, check_not_empty, report)
    cases = {case_id: CaseFiles(files.channels, labels=None) for case_id, files in source.cases.items()}
    layout = replace(source.layout, label_names={"background": 0}, label_of={}, label_of_file={}, cases=cases)
    reason = "every label map is all background: images alone are taken"
    images = replace(source, cases=cases, layout=layout, label_reason=reason)
    return images, {case_id: replace(summary, empty=False) for case_id, summary in summaries.items()}


def _with_channels(source: Source, summaries: Mapping[str, CaseSummary]) -> tuple[Source, dict[str, CaseSummary]]:
    """Names a single undeclared channel CT if every case is clearly CT; its padding is then clipped, and noted."""
    kept = [summary for summary in summaries.values() if not summary.left_out]
    typical = [summary.typical_ct for summary in kept if summary.typical_ct is not None]
    if source.channels_known or not typical or not all(typical):
        return source, dict(summaries)
    noted = {
        id: replace(summary, notes=with_clipped(summary.notes, summary.padding)) for id, summary in summaries.items()
    }
    return replace(source, layout=replace(source.layout, channel_names=("CT",))), noted
