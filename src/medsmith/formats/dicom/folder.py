"""The files below a folder: which are DICOM, by their content, and what the others are."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from medsmith.errors import FileError
from medsmith.formats.content_type import identify_content
from medsmith.formats.folders import paths_below
from medsmith.formats.opening import open_regular
from medsmith.progress import NullProgress, Progress

_PREAMBLE, _MAGIC, _START = 128, b"DICM", 512
_DIRECTORY = b"1.2.840.10008.1.3.10"
"""Storage class of a DICOMDIR, which comes right after the magic."""
_SILENT = NullProgress()


@final
@dataclass(frozen=True)
class Skipped:
    """A file that is not read.

    Attributes:
        path: the file; its name may identify a patient.
        kind: what it is; names nobody.
    """

    path: Path
    kind: str


@final
@dataclass(frozen=True)
class DicomFolder:
    """The files below a folder; hidden ones are left out.

    Attributes:
        files: DICOM files, sorted by path.
        skipped: the others.
    """

    files: tuple[Path, ...]
    skipped: tuple[Skipped, ...]


def find_files(root: Path, progress: Progress = _SILENT) -> DicomFolder:
    """Tells DICOM files from others, in folders of any depth; each is opened once.

    Args:
        root: the folder.
        progress: of the files.

    Raises:
        FileError: a file cannot be read, or a folder not be listed; neither is named.
    """
    everything = paths_below(root)
    shown = (path for path in everything if not any(part.startswith(".") for part in path.relative_to(root).parts))
    paths = [path for path in shown if not path.is_dir()]
    files, skipped = list[Path](), list[Skipped]()
    with progress.task("find DICOM files", len(paths)) as advance:
        for path in paths:
            try:
                kind = _kind_of(path)
            except (FileError, OSError):
                raise _not_opened(root) from None
            if kind is None:
                files.append(path)
            else:
                skipped.append(Skipped(path, kind))
            advance(1, "")
    return DicomFolder(tuple(files), tuple(skipped))


def _not_opened(root: Path) -> FileError:
    """The error for a file that cannot be read, without its path, which may identify a patient."""
    cure = f"change its mode or owner, or copy it again (find {root} ! -readable names those without permission)"
    return FileError(root, "a file in it cannot be read", "a slice may be lost with it", cure)


def kinds_line(kinds: Iterable[str]) -> str:
    """How many files are of which kind, the most frequent first: ``2 of no known kind, 1 a PDF document``."""
    return ", ".join(f"{count} {kind}" for kind, count in Counter(kinds).most_common())


def _kind_of(path: Path) -> str | None:
    """What a file is; None if it is a DICOM object.

    It is if it has DICOM's magic, or begins with an element of group 0002 or 0008 where the preamble lacks.
    """
    if not path.is_file():
        return "a link to nothing, a pipe or a device"
    with open_regular(path) as file:
        start = file.read(_START)
    if start[_PREAMBLE:].startswith(_MAGIC) or _begins_with_an_element(start):
        return "a DICOMDIR" if _DIRECTORY in start else None
    return identify_content(start) if start else "empty (0 bytes)"


def _begins_with_an_element(start: bytes) -> bool:
    """Whether an element comes first: they have small numbers, and a VR in capitals or a length below 64 KiB."""
    return (
        start[:2] in (b"\x02\0", b"\x08\0") and start[3:4] == b"\0" and (start[4:6].isupper() or start[6:8] == b"\0\0")
    )
