"""Series of a folder: DICOM files at any depth, grouped by study and series."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import final

from medsmith.errors import FileError, counted
from medsmith.formats.dicom.folder import find_files
from medsmith.formats.dicom.headers import SEG, STRUCTURES, Header, read_header
from medsmith.progress import NullProgress, Progress

_SILENT = NullProgress()


@final
@dataclass(frozen=True)
class Series:
    """One series of images, or one segmentation or structure set, which is an object of its own wherever it is stored.

    Attributes:
        root: the folder that was searched.
        headers: of its files, sorted by path.
    """

    root: Path
    headers: tuple[Header, ...]

    @property
    def first(self) -> Header:
        """The header whose facts stand for the series."""
        return self.headers[0]

    @property
    def paths(self) -> tuple[Path, ...]:
        """Its files."""
        return tuple(header.path for header in self.headers)

    @cached_property
    def uids(self) -> frozenset[str]:
        """Of the series and its instances."""
        return frozenset({self.first.series, *(header.instance for header in self.headers)})

    @property
    def is_image(self) -> bool:
        """Whether it is made of gray images that are placed in the patient."""
        return all(header.gray for header in self.headers)

    @property
    def is_flat(self) -> bool:
        """Whether it is made of images that are not placed in the patient, each of its own."""
        return all(header.flat for header in self.headers)

    @property
    def is_labels(self) -> bool:
        """Whether it holds segmentations or structure sets."""
        return self.first.modality in (SEG, STRUCTURES)

    @property
    def synthetic(self) -> bool:
        """Whether one of its files is marked as synthetic."""
        return any(header.synthetic for header in self.headers)

    @property
    def localizer(self) -> bool:
        """Whether it is made of scout images."""
        return all(header.localizer for header in self.headers)

    @property
    def size(self) -> str:
        """Such as ``236 slices of 512 x 512``; objects without voxels are counted."""
        frames, count = self.first.frames, len(self.headers)
        if self.is_labels:
            return counted(len(self.first.segments), "segment" if self.first.modality == SEG else "ROI")
        if not all(self.first.size):
            return counted(count, "object")
        single = "image" if self.is_flat else "slice"
        slices = counted(frames, "frame") if frames > 1 and count == 1 else counted(count, single)
        sizes = sorted({header.size for header in self.headers})
        shown = f"{len(sizes)} sizes" if len(sizes) > 1 else f"{sizes[0][1]} x {sizes[0][0]}"
        return f"{slices} of {shown}"

    @property
    def name(self) -> str:
        """Names the series without identity: ``series 2 (CT, 236 slices of 512 x 512)``."""
        number = "without a number" if self.first.number is None else str(self.first.number)
        return f"series {number} ({self.first.modality or 'no modality'}, {self.size})"

    @property
    def subject(self) -> str:
        """Names folder and series, for an error."""
        return f"{self.root}, {self.name}"


def find_dicom_files(root: Path, progress: Progress = _SILENT) -> list[Path]:
    """The DICOM files below a folder (see ``folder.find_files``).

    Raises:
        FileError: a file cannot be read.
    """
    return list(find_files(root, progress).files)


def refuse_unreadable(_path: Path, error: FileError) -> None:
    """Refuses a file that cannot be read.

    Raises:
        FileError: always.
    """
    raise error


def read_series_of(
    root: Path,
    files: Sequence[Path],
    progress: Progress = _SILENT,
    unreadable: Callable[[Path, FileError], None] = refuse_unreadable,
) -> tuple[Series, ...]:
    """The series that some files make up, in the order of their first files.

    Args:
        root: folder of the files.
        files: all DICOM files below it, sorted.
        progress: of reading their headers.
        unreadable: receives each damaged file, and its error.

    Raises:
        FileError: one instance is there twice; and what ``unreadable`` raises.
    """
    groups: dict[str, list[Header]] = defaultdict(list)
    seen: dict[str, int] = {}
    with progress.task("read headers", len(files)) as advance:
        for index, path in enumerate(files, start=1):
            place = f"{root}, file {index} of {len(files)}"
            advance(1, "")
            try:
                header = read_header(path, place)
            except FileError as error:
                unreadable(path, error)
                continue
            if header.instance in seen:
                found = f"is the same instance as file {seen[header.instance]}"
                raise FileError(place, found, "each instance once, by the order of paths", "remove the copy")
            seen[header.instance] = index
            groups[header.instance if header.modality in (SEG, STRUCTURES) else header.series].append(header)
    return tuple(Series(root, tuple(headers)) for headers in groups.values())
