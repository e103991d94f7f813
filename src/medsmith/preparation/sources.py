"""The cases, channels and labels of a source folder, declared or inferred."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, final

from medsmith.cases.case_files import CaseFiles, Layout
from medsmith.cases.case_io import label_options, read_case
from medsmith.cases.integrity import check_id, declared_line, first_of
from medsmith.cases.label_names import label_names_of, label_values, name_labels
from medsmith.cases.layouts import find_layout
from medsmith.cases.nnunet_folder import DATASET
from medsmith.errors import CohortError, FileError, MedsmithError, RequestError, counted
from medsmith.formats.json_file import read_json
from medsmith.formats.volume import ReadOptions
from medsmith.preparation.class_maps import check_no_class_map, with_declared_classes, written_names
from medsmith.preparation.label_files import choose_labels
from medsmith.preparation.options import UNPAIRED, PrepareOptions
from medsmith.preparation.pairing import Declared, dicom_alone, pair_files, with_ids
from medsmith.preparation.roles import Key
from medsmith.preparation.slicer_labels import name_segments, segment_reader, segment_sums, segmentations_of
from medsmith.preparation.source import Source
from medsmith.progress import Progress

_SHOWN = 40
"""Characters of a value in a message."""
_MAX_REPORTED = 5
_DECLARED = "as declared"
_WRITTEN = "as the headers of the files name them"
Result = TypeVar("Result")


def find_source(root: Path, options: PrepareOptions, report: Callable[[str], None], progress: Progress) -> Source:
    """Finds the cases of a folder, and names their channels and labels.

    A folder of only images or only labels gives cases of that kind (see ``pairing.pair_files``). DICOM files are read
    where there are no others (see ``preparation.dicom``). If some cases have both and some only one, the options decide
    about the latter.

    Args:
        root: the folder.
        options: declarations and choices.
        report: receives one line per bad case.
        progress: of finding DICOM files and reading their headers.

    Raises:
        FileError: there is no such folder, a label map cannot be read, or the name of a file is no UTF-8.
        CohortError: files do not pair, or unpaired files are neither kept nor left out.
        ContentError: undeclared label values that cannot be inferred.
        RequestError: an option is for another kind of source.
    """
    dicom = None if (root / DATASET).exists() else dicom_alone(root, progress)
    if dicom and dicom.files:
        from medsmith.preparation.dicom.source import find_dicom_source

        check_no_class_map(root, options)
        return find_dicom_source(root, dicom, options, progress)
    _check_no_series(root, options)
    by_file: tuple[str, ...] = ()
    if (root / DATASET).exists():
        layout = find_layout(root)
        rule, strays = _declared(root, layout), layout.notes
        found: dict[Key, CaseFiles] = {Key(id): files for id, files in layout.cases.items()}
        channels, names = layout.channel_names, layout.label_names
    else:
        pairing = pair_files(root, Declared(len(options.channel_names), bool(options.label_names or options.class_map)))
        rule, strays, found = pairing.rule, (), {**pairing.paired, **pairing.alone}
        channels, names, by_file = (), {}, pairing.labels_by_file
    chosen, alone = _select_cases(root, found, options)
    if strays and UNPAIRED not in options.leave_out:
        raise _unpaired(root, strays)
    _check_text(root, chosen.values())
    cases = _checked_ids(chosen) if names else with_ids(root, chosen)
    keeps = UNPAIRED in options.keep
    cases, labels = _named_labels(root, cases, names or {}, by_file, options, report)
    named, of_file = _channels(root, cases, options.channel_names or channels), labels.names if by_file else {}
    return Source(
        root=root,
        cases=cases,
        layout=Layout(named, labels.names, _ending(cases), cases, labels.label_of, label_of_file=of_file),
        rule=rule,
        channels_known=bool(options.channel_names or channels),
        label_reason=labels.reason,
        left_out=(*strays, *(() if keeps else alone)),
        kept=alone if keeps else (),
        reader=segment_reader(labels.segments) if labels.segments else read_case,
        summed=segment_sums(root, cases, labels.segments) if labels.segments else None,
    )


@final
@dataclass(frozen=True)
class _Labels:
    """How the labels of a source are named: value in the files -> label, names, why, and segments of 3D Slicer."""

    label_of: Mapping[int, int]
    names: Mapping[str, int]
    reason: str
    segments: tuple[str, ...] = ()


def _named_labels(
    root: Path,
    cases: dict[str, CaseFiles],
    names: Mapping[str, int],
    by_file: tuple[str, ...],
    options: PrepareOptions,
    report: Callable[[str], None],
) -> tuple[dict[str, CaseFiles], _Labels]:
    """The cases with the label files that are used, and how their labels are named."""
    if not names and (maps := segmentations_of(cases)):
        check_no_class_map(root, options)
        of_segments: dict[str, int | str] = {**options.label_names, **options.segment_names}
        found, segments = name_segments(root, maps, of_segments)
        return cases, _Labels({}, found, _DECLARED if of_segments else "as the segments are called", segments)
    if by_file:
        check_no_class_map(root, options)
        cases, found = choose_labels(root, cases, by_file, options.label_names)
        return cases, _Labels({}, found, "each has a file of its own")
    paths = tuple(path for files in cases.values() for path in files.label_paths)
    options = with_declared_classes(options, paths)
    declared = options.label_names or names
    if not declared and not options.segment_names and (written := written_names(paths)):
        label_of, found, reason = _labels(root, cases, written, options, report)
        return cases, _Labels(label_of, found, _WRITTEN if reason == _DECLARED else f"{_WRITTEN}; {reason}")
    return cases, _Labels(*_labels(root, cases, declared, options, report))


def _check_no_series(root: Path, options: PrepareOptions) -> None:
    if options.series:
        raise RequestError("--series", f"no DICOM is read in {root}", "it chooses among DICOM series", "leave it out")


def _check_text(root: Path, files: Iterable[CaseFiles]) -> None:
    """Checks that names of files can be written into the record."""
    for path in (path.relative_to(root) for each in files for path in each.paths):
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise FileError(path, "its name is no UTF-8", "names are recorded as text", "rename it") from None


def _checked_ids(chosen: Mapping[Key, CaseFiles]) -> dict[str, CaseFiles]:
    """The cases by the ids that they are declared with."""
    cases = {key.name: files for key, files in chosen.items()}
    for case_id in cases:
        check_id(case_id)
    return cases


def _declared(root: Path, layout: Layout) -> str:
    """The rule, and the number of cases that the declaration has where it is another, as after a copy that stopped."""
    count = read_json(root / DATASET).get("numTraining", len(layout.cases))
    differs = "" if count == len(layout.cases) else f", which has numTraining {json.dumps(count)[:_SHOWN]}"
    return f"as {DATASET} says{differs}"


def _select_cases(
    root: Path, found: Mapping[Key, CaseFiles], options: PrepareOptions
) -> tuple[Mapping[Key, CaseFiles], tuple[str, ...]]:
    """The selected cases, and the names of unpaired files."""
    if not found:
        raise CohortError(root, "has no complete case", "an image, a label or both for each", "add what is missing")
    if len({(bool(files.channels), bool(files.label_paths)) for files in found.values()}) == 1:
        return found, ()
    complete = {key: files for key, files in found.items() if files.channels and files.label_paths}
    unpaired = {key: files for key, files in found.items() if key not in complete}
    names = tuple(sorted(path.relative_to(root).as_posix() for files in unpaired.values() for path in files.paths))
    if UNPAIRED in options.keep:
        return found, names
    if not complete:
        images = [files.channels[0].path.name for files in unpaired.values() if files.channels]
        labels = [path.name for files in unpaired.values() for path in files.label_paths]
        line = f"no image and label share a name ({first_of(images)} and {first_of(labels)})"
        raise CohortError(root, line, "a pair is NAME and NAME or NAME_mask", "rename the files")
    if UNPAIRED not in options.leave_out:
        raise _unpaired(root, names)
    return complete, names


def _unpaired(root: Path, names: Sequence[str]) -> CohortError:
    found = f"{counted(len(names), 'file')} without a pair: {first_of(names)}"
    return CohortError(root, found, "each image has a label", "add it, or pass --leave-out unpaired or --keep unpaired")


def _channels(root: Path, cases: Mapping[str, CaseFiles], names: tuple[str, ...]) -> tuple[str, ...]:
    count = max(len(files.channels) for files in cases.values())
    if not names:
        return ("image",) if count == 1 else tuple(f"image_{index}" for index in range(count))
    if count and len(names) != count:
        found = f"{len(names)} channel names ({', '.join(names)})"
        raise CohortError(root, found, f"each case has {count} channels", "name each channel once")
    return names


def _ending(cases: Mapping[str, CaseFiles]) -> str:
    """Of the files that are written: pictures stay pictures."""
    first = next(iter(cases.values())).paths[-1]
    return ".png" if first.name.lower().endswith(".png") else ".nii.gz"


def _labels(
    root: Path,
    cases: Mapping[str, CaseFiles],
    declared: Mapping[str, int],
    options: PrepareOptions,
    report: Callable[[str], None],
) -> tuple[dict[int, int], dict[str, int], str]:
    """Value in the files -> label, name -> label, and how they were determined."""
    for name, value in options.segment_names.items():
        limit = "values are whole numbers; DICOM and .seg.nrrd alone have segments with labels"
        raise RequestError("--label", f"{name}={value}", limit, "write name=value")
    labeled = [case_id for case_id, files in cases.items() if files.label_paths]
    if not declared and not labeled:
        return {0: 0}, {"background": 0}, "no label maps"
    if not declared:
        found = map_cases(root, labeled, lambda case_id: _values(cases[case_id], options.read), report)
        label_of, names = name_labels({path: values for files in found.values() for path, values in files.items()})
        how = "0 and 255 in a file mean 0 and 1" if 255 in label_of else "inferred from the files"
        return label_of, names, f"{how}; name them with --label NAME=VALUE"
    names = label_names_of({"background": 0} | dict(declared), root)
    label_of = {value: label for label, value in enumerate(names.values())}
    renumbered = {name: label_of[value] for name, value in names.items()}
    reason = _DECLARED if renumbered == names else f"renumbered from {declared_line(names)}"
    if options.label_names and set(label_of) in ({0, 1}, {0, 255}):
        return label_of | {1: 1, 255: 1}, renumbered, f"{reason}; 255, where a file has it, means 1"
    return label_of, renumbered, reason


def _values(files: CaseFiles, options: ReadOptions) -> dict[Path, frozenset[int]]:
    return label_values(files.label_paths, label_options(files, options))


def map_cases(
    root: Path, ids: Iterable[str], function: Callable[[str], Result], report: Callable[[str], None]
) -> dict[str, Result]:
    """Applies a function to every case; errors are collected, so that all bad cases are reported at once.

    Raises:
        MedsmithError: the error of the one bad case.
        CohortError: several are bad; the first five are reported.
    """
    results: dict[str, Result] = {}
    errors: list[MedsmithError] = []
    for case_id in sorted(ids):
        try:
            results[case_id] = function(case_id)
        except MedsmithError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        for bad in errors[:_MAX_REPORTED]:
            report(bad.line)
        found = f"{len(errors)} of {len(results) + len(errors)} cases cannot be used, the first: {errors[0].line}"
        raise CohortError(root, found)
    return results
