"""Pairs images and label maps by file name.

Recognized are folders named for images and labels, endings such as ``_mask`` or ``_seg`` (also several masks of
one image, ``_mask_1``), one folder per case (``imaging`` and ``segmentation``), and nnU-Net's channels ``_0000``. What
does not pair in this way pairs by what is left of the names without such words (``volume-0`` and ``segmentation-0``,
``S1_image`` and ``S1_mask``).
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from medsmith.cases.case_files import CaseFiles, ChannelFile
from medsmith.cases.integrity import check_id, first_of
from medsmith.errors import CohortError, FileError, MedsmithError, counted
from medsmith.formats.dicom.folder import DicomFolder, find_files
from medsmith.formats.files import ENDINGS, ending_of, read_labels, stem_of
from medsmith.formats.folders import paths_below
from medsmith.preparation.label_files import joined_by_folder
from medsmith.preparation.roles import IMAGE_FOLDERS, Key, by_role, folders_of
from medsmith.progress import Progress

_CHANNEL = re.compile(r"(?P<base>.+)_(?P<channel>\d{4})")
_MOST_LABELS, _MOST_SHOWN = 32, 3
_NOT_READ = {".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".dcm"}
_NOT_IN_ID = re.compile(r"[^\w.\-]+")
_CHANNEL_DECLARED, _LABELS_DECLARED = "a channel is declared and no label", "labels are declared and no channel"
_BY_VALUES = "by their values"


@final
@dataclass(frozen=True)
class Pairing:
    """Which files make up which case.

    Attributes:
        paired: key -> files of cases that have an image and labels.
        alone: key -> files of images without labels or labels without an image.
        rule: how images and labels were distinguished, with an example.
        labels_by_file: the labels, where each has a file of its own named for it; () otherwise.
    """

    paired: Mapping[Key, CaseFiles]
    alone: Mapping[Key, CaseFiles]
    rule: str
    labels_by_file: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Declared:
    """User declarations, which distinguish images from labels where file names do not.

    Attributes:
        channels: number of channels named.
        labels: whether labels are named.
    """

    channels: int = 0
    labels: bool = False

    @property
    def kind(self) -> str:
        """By what files of one kind are known to be images or label maps."""
        if self.channels:
            return _CHANNEL_DECLARED
        return _LABELS_DECLARED if self.labels else _BY_VALUES


def pair_files(root: Path, declared: Declared) -> Pairing:
    """Pairs the NIfTI, NRRD, MetaImage or PNG files under a folder by their names.

    If no name distinguishes images from label maps, all files are of one kind: label maps if only labels are declared,
    images if only channels are declared. If neither is, the values decide: files are label maps if all hold integers
    from 0 to 255 with at most 32 distinct values each, otherwise images.

    Raises:
        CohortError: there are no such files, images and labels are declared but only one kind is found, or several
            images share a name.
    """
    files = _readable_files(root)
    images, labels = by_role(root, files)
    labels, by_file = joined_by_folder(images, labels)
    by = ""
    if not labels and not any(folders_of(root, path) & IMAGE_FOLDERS for path in files):
        by = declared.kind
        if by == _LABELS_DECLARED or (by == _BY_VALUES and _look_like_labels(files)):
            images, labels = {}, images
    if (declared.labels and not labels) or (declared.channels and not images) or _pictures_unread(root, images, labels):
        raise _one_kind_only(root, files, declared, labels=bool(labels))
    keyed = (
        _in_channels(root, images, labels)
        if labels and images
        else _alone_in_channels(root, images, declared.channels or 1)
    )
    maps = {key: CaseFiles(keyed.get(key, ()), paths[0], tuple(paths[1:])) for key, paths in labels.items()}
    cases = maps | {key: CaseFiles(channels, None) for key, channels in keyed.items() if key not in maps}
    paired = {key: files for key, files in cases.items() if files.channels and files.labels}
    alone = {key: files for key, files in cases.items() if key not in paired}
    return Pairing(paired, alone, _rule(root, paired or alone, by), by_file)


def dicom_alone(root: Path, progress: Progress) -> DicomFolder:
    """The files below a folder; without DICOM files where others are read by their endings."""
    if not root.is_dir() or any(ending_of(path) for path in paths_below(root) if not _hidden(path.relative_to(root))):
        return DicomFolder((), ())
    return find_files(root, progress)


def _rule(root: Path, cases: Mapping[Key, CaseFiles], by: str) -> str:
    example = cases[min(cases)]
    names = _names(root, example.paths)
    shown = " + ".join(names if len(names) <= _MOST_SHOWN else (*names[: _MOST_SHOWN - 1], f"{len(names) - 2} more"))
    if example.channels and example.labels:
        return shown
    kind = "label maps" if example.labels else "images"
    return f"{kind} alone{f' ({by})' if by else ''}: {shown}"


def _readable_files(root: Path) -> list[Path]:
    if not root.is_dir():
        found = "a file, not a folder" if root.exists() else "does not exist"
        raise FileError(root, found, cure="give the folder of the images")
    everything = [path for path in paths_below(root) if not _hidden(path.relative_to(root))]
    files = [path for path in everything if ending_of(path) and not _second_half(path)]
    if not files:
        found = f"holds no image that can be read ({_other_kinds(root) or 'nothing'})"
        raise CohortError(root, found, f"images end in {', '.join(ENDINGS)}", "convert the images")
    if len({ending_of(path) == ".png" for path in files}) == 2:
        pngs = [path for path in files if ending_of(path) == ".png"]
        found = f"{len(pngs)} PNG and {len(files) - len(pngs)} NIfTI files"
        raise CohortError(root, found, "a cohort has one format", "prepare each on its own, or move one away")
    return files


def _second_half(path: Path) -> bool:
    """Whether this is the .img of an .hdr/.img pair, which is read through its .hdr."""
    base = path.with_name(stem_of(path))
    return ending_of(path).startswith(".img") and any(
        base.with_name(base.name + ending).exists() for ending in (".hdr", ".hdr.gz", ".HDR")
    )


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _in_channels(
    root: Path, images: Mapping[Key, list[Path]], labels: Mapping[Key, list[Path]]
) -> dict[Key, tuple[ChannelFile, ...]]:
    """Images by key; names that end in _0000, _0001, ... are channels where no label has such a name."""
    _check_once(root, images)
    matches = {key: _CHANNEL.fullmatch(key.name) for key in images}
    if not all(matches.values()) or images.keys() & labels.keys():
        return {key: (ChannelFile(paths[0]),) for key, paths in images.items()}
    channels: dict[Key, dict[int, Path]] = defaultdict(dict)
    for key, match in matches.items():
        if match:
            channels[key.with_name(match["base"])][int(match["channel"])] = images[key][0]
    count = max(len(found) for found in channels.values())
    gaps = [str(key) for key, found in channels.items() if sorted(found) != list(range(count))]
    if gaps:
        found = f"a channel is missing in {counted(len(gaps), 'case')}: {first_of(gaps)}"
        raise CohortError(root, found, f"the others have _0000 to _{count - 1:04d}", "add the files")
    return {key: tuple(ChannelFile(found[i]) for i in range(count)) for key, found in channels.items()}


def _check_once(root: Path, images: Mapping[Key, list[Path]]) -> None:
    twice = [path for paths in images.values() if len(paths) > 1 for path in paths]
    if twice:
        raise CohortError(
            root, f"several images of one name: {_shown_paths(root, twice)}", "one each", "remove the others"
        )


def _alone_in_channels(root: Path, images: Mapping[Key, list[Path]], count: int) -> dict[Key, tuple[ChannelFile, ...]]:
    """Images without labels: names ending in _0000 ... are channels if each case has exactly the declared number.

    Other numbers (scan_0017) are part of the name.
    """
    numbers: dict[Key, set[str]] = defaultdict(set)
    for key in images:
        match = _CHANNEL.fullmatch(key.name)
        if match:
            numbers[key.with_name(match["base"])].add(match["channel"])
    wanted = {f"{channel:04d}" for channel in range(count)}
    if (
        numbers
        and len(images) == sum(map(len, numbers.values()))
        and all(found == wanted for found in numbers.values())
    ):
        return _in_channels(root, images, {})
    _check_once(root, images)
    return {key: (ChannelFile(paths[0]),) for key, paths in images.items()}


def with_ids(root: Path, cases: Mapping[Key, CaseFiles]) -> dict[str, CaseFiles]:
    """Portable ids: the bare name, prefixed with its folders where names repeat.

    Raises:
        CohortError: two cases would have one id.
    """
    bare = Counter(key.name.casefold() for key in cases)
    unique = max(bare.values()) == 1 and "" not in bare
    result: dict[str, CaseFiles] = {}
    seen: dict[str, Key] = {}
    for key, files in sorted(cases.items()):
        case_id = portable_id(key.name if unique else "_".join(key.parts))
        check_id(case_id)
        if case_id.casefold() in seen:
            found = f"{key} and {seen[case_id.casefold()]} would both be case {case_id}"
            raise CohortError(root, found, "ids differ in more than case and punctuation", "rename one")
        seen[case_id.casefold()] = key
        result[case_id] = files
    return result


def portable_id(name: str) -> str:
    """A file name's stem as a case id: letters and digits kept, other characters become ``_``.

    ``portable_id("benign (1)") == "benign_1"``
    """
    composed = unicodedata.normalize("NFC", name)
    return _NOT_IN_ID.sub("_", composed).strip("_.-") or "case"


def _look_like_labels(files: Iterable[Path]) -> bool:
    """Whether every file has the values of a label map."""
    for path in files:
        try:
            values = np.bincount(read_labels(path).values.ravel(), minlength=256)
        except MedsmithError:
            return False
        if np.count_nonzero(values) > _MOST_LABELS:
            return False
    return True


def _pictures_unread(root: Path, images: Mapping[Key, list[Path]], labels: Mapping[Key, list[Path]]) -> bool:
    """Whether images or labels are missing and files of an unsupported format exist."""
    return not (images and labels) and any(path.suffix.lower() in _NOT_READ for path in paths_below(root))


def _one_kind_only(root: Path, files: list[Path], declared: Declared, *, labels: bool) -> CohortError:
    others = _other_kinds(root)
    also = f" (besides {others}, which are not read)" if others else ""
    if labels:
        found = f"{counted(len(files), 'label map')}, no images{also}"
        cure = "add or convert the images" + (", or leave out --channel" if declared.channels else "")
        return CohortError(root, found, "channels are named, or pictures not read", cure)
    found = f"{counted(len(files), 'image')}, no label map that its name gives away{also}"
    cure = "add or rename the label maps" + (", or leave out --label" if declared.labels else "")
    return CohortError(root, found, "names NAME_mask or folders images/ and labels/", cure)


def _other_kinds(root: Path) -> str:
    """How many files of other endings lie under a folder: ``"12 .jpg, 1 .txt"``."""
    paths = (path for path in paths_below(root) if not ending_of(path) and path.is_file())
    kinds = Counter(path.suffix.lower() or "without ending" for path in paths if not _hidden(path.relative_to(root)))
    return ", ".join(f"{count} {suffix}" for suffix, count in kinds.most_common(4))


def _names(root: Path, paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(path.relative_to(root).as_posix() for path in paths)


def _shown_paths(root: Path, paths: Iterable[Path]) -> str:
    return first_of(_names(root, paths))
