"""Labels of cases whose segmentations come from 3D Slicer, by the names of their segments."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from medsmith.cases.case import Case
from medsmith.cases.case_files import CaseFiles, Layout
from medsmith.cases.case_io import read_case
from medsmith.cases.integrity import first_of
from medsmith.errors import CohortError
from medsmith.formats.atomic import sha256_of
from medsmith.formats.files import ending_of
from medsmith.formats.itk import SEGMENTS_ENDING, read_header
from medsmith.formats.slicer import segments_of
from medsmith.formats.volume import ReadOptions
from medsmith.preparation.source import CaseReader

_MOST_LABELS = 255


def segmentations_of(cases: Mapping[str, CaseFiles]) -> tuple[Path, ...]:
    """The label files of all cases if every one is a ``.seg.nrrd``; else ()."""
    paths = [path for files in cases.values() for path in files.label_paths]
    return tuple(paths) if all(ending_of(path) == SEGMENTS_ENDING for path in paths) else ()


def name_segments(
    root: Path, paths: Iterable[Path], declared: Mapping[str, int | str]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Name -> label, and the segment of each label.

    Args:
        root: of the files, for messages.
        paths: the segmentations.
        declared: label name -> name or number of a segment; empty takes all segments by their names.

    Raises:
        FileError: a file is damaged.
        CohortError: no file has a declared segment, or the segments are too many.
    """
    names = [[segment.name for segment in segments_of(read_header(path))] for path in sorted(paths)]
    found = list(dict.fromkeys(name for each in names for name in each))
    if not declared:
        once = {name.casefold(): name for name in reversed(found)}
        labels = [name for name in found if once[name.casefold()] == name and name.casefold() != "background"]
        if not 0 < len(labels) <= _MOST_LABELS:
            raise CohortError(root, f"{len(labels)} names of segments", f"1 to {_MOST_LABELS}", "choose with --label")
        return _numbered(labels), tuple(labels)
    taken = {name: str(value) for name, value in declared.items() if value != 0 and name != "background"}
    known, most = {name.casefold() for name in found}, max(map(len, names))
    missing = [
        name for name, value in taken.items()
        if value.casefold() not in known and not (value.isdecimal() and 0 < int(value) <= most)
    ]  # fmt: skip
    if missing:
        limit = f"there are {first_of(found)}"
        raise CohortError(root, f"no segment fits label {first_of(missing)}", limit, "correct it")
    return _numbered(list(taken)), tuple(taken.values())


def _numbered(names: Sequence[str]) -> dict[str, int]:
    return {"background": 0} | {name: label for label, name in enumerate(names, start=1)}


def segment_reader(segments: tuple[str, ...]) -> CaseReader:
    """Reads cases with these segments as labels 1, 2, ...."""

    def read(case_id: str, files: CaseFiles, layout: Layout, options: ReadOptions) -> tuple[Case, tuple[str, ...]]:
        return read_case(case_id, files, layout, replace(options, segments=segments))

    return read


def segment_sums(
    root: Path, cases: Mapping[str, CaseFiles], segments: tuple[str, ...]
) -> Callable[[str], Mapping[str, str]]:
    """The hashes of a case's files, and of the choice of segments, which is not recorded by name."""
    choice = hashlib.sha256("\n".join(segments).encode()).hexdigest()

    def sums(case_id: str) -> dict[str, str]:
        files = {path.relative_to(root).as_posix(): sha256_of(path) for path in cases[case_id].paths}
        return {**files, "segments": choice}

    return sums
