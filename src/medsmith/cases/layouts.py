"""Finds the files of each case in a folder: nnU-Net raw, Medical Segmentation Decathlon, images/ + labels/.

nnU-Net v2: F. Isensee et al. 2021, https://github.com/MIC-DKFZ/nnUNet (dataset_format.md).
Decathlon: M. Antonelli et al. 2022, http://medicaldecathlon.com.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from medsmith.cases.case_files import CaseFiles as CaseFiles
from medsmith.cases.case_files import ChannelFile as ChannelFile
from medsmith.cases.case_files import Layout as Layout
from medsmith.cases.integrity import first_of
from medsmith.cases.label_names import label_names_of, label_values, name_labels
from medsmith.errors import CohortError, FileError, counted
from medsmith.formats.files import ENDINGS, ending_of, stem_of
from medsmith.formats.folders import lies_in
from medsmith.formats.json_file import read_json

IMAGES, LABELS, REPORTS, PROVENANCE, DATASET = "imagesTr", "labelsTr", "reports", "provenance", "dataset.json"
UNFINISHED = ".unfinished"
"""Suffix of the marker file in ``provenance/`` while a case is being written."""
_SHOWN = 60
_PARTS: dict[tuple[int, bool], tuple[int, bool]] = {}
"""Each combination of parts once, for all cases that have it."""


@final
class NnunetCases(Mapping[str, CaseFiles]):
    """Id -> files of the cases of an nnU-Net folder; the paths are made when they are asked for, to save memory.

    Args:
        root: of the cohort.
        ending: of its files.
        parts: id -> number of image channels that the case has, and whether it has a label map.
    """

    def __init__(self, root: Path, ending: str, parts: Mapping[str, tuple[int, bool]]) -> None:
        self._root, self._ending, self._parts = root, ending, parts

    def __getitem__(self, case_id: str) -> CaseFiles:
        channels, labeled = self._parts[case_id]
        return nnunet_files(self._root, case_id, channels, self._ending, labels=labeled)

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def find_layout(root: Path) -> Layout:
    """Detects the layout of a folder and lists its cases.

    Raises:
        FileError: there is no such folder, or its dataset.json cannot be read.
        CohortError: it is no cohort, or its dataset.json breaks a rule.
    """
    if not root.is_dir():
        found = "a file, not a folder" if root.exists() else "does not exist"
        raise FileError(root, found, cure="give the folder of a cohort")
    if (root / DATASET).exists():
        facts = read_json(root / DATASET)
        version_2 = "channel_names" in facts and "file_ending" in facts
        return _decathlon(root, facts) if "training" in facts and not version_2 else _nnunet(root, facts)
    if (root / "images").is_dir() or (root / "labels").is_dir():
        return _pairs(root)
    raise CohortError(
        root,
        f"neither {DATASET} nor folders images/ and labels/",
        "a cohort is an nnU-Net or Decathlon folder, or has one or both of these",
        f"run medsmith prepare {root} OUT",
    )


def find_matching_layout(root: Path, requested: Layout) -> Layout:
    """The layout of an existing cohort.

    Raises:
        CohortError: its channels, labels or ending differ from the request.
    """
    found = find_layout(root)
    for what in ("channel_names", "label_names", "file_ending"):
        actual, wanted = getattr(found, what), getattr(requested, what)
        if actual != wanted:
            line = f"has {what.replace('_', ' ')} {actual}"
            raise CohortError(root, line, f"{wanted} is asked for", "choose a new folder")
    return found


def _nnunet(root: Path, facts: Mapping[str, Any]) -> Layout:
    path = root / DATASET
    missing = [key for key in ("channel_names", "labels", "file_ending") if key not in facts]
    if missing:
        raise CohortError(path, f"lacks {', '.join(missing)}", "nnU-Net v2 needs them", "add them")
    channels = _channel_names(facts["channel_names"], path)
    ending = str(facts["file_ending"])
    if ending not in ENDINGS:
        raise CohortError(path, f"file_ending {ending!r}", f"one of {', '.join(ENDINGS)}", "convert the files")
    cases, strays = scan_nnunet(root, len(channels), ending)
    notes = (f"{counted(len(strays), 'file')} without a complete case: {first_of(strays)}",) if strays else ()
    names = label_names_of(facts["labels"], path)
    return Layout(channels, names, ending, cases, notes=notes, strays=tuple(strays))


def _channel_names(names: Any, path: Path) -> tuple[str, ...]:
    if names == {}:
        return ()  # label maps alone
    keys = [str(i) for i in range(len(names))] if isinstance(names, dict) else []
    if not names or not isinstance(names, dict) or sorted(names, key=str) != sorted(keys):
        raise CohortError(path, f"channel names {names!r}", 'keys are "0", "1", ... in order', "correct it")
    return tuple(str(names[key]) for key in keys)


def nnunet_files(root: Path, case_id: str, channels: int, ending: str, *, labels: bool = True) -> CaseFiles:
    """The files of a case in nnU-Net's raw format.

    Args:
        root: of the cohort.
        case_id: its name.
        channels: number of image channels; 0 for no image.
        ending: of its files.
        labels: whether it has a label map.
    """
    images = [root / IMAGES / f"{case_id}_{channel:04d}{ending}" for channel in range(channels)]
    return CaseFiles(tuple(map(ChannelFile, images)), root / LABELS / f"{case_id}{ending}" if labels else None)


def scan_nnunet(root: Path, channels: int, ending: str) -> tuple[NnunetCases, list[str]]:
    """Cases of an nnU-Net folder, and the names of files that belong to none.

    A case has all its channels, its label map, or both, and no marker of an unfinished write. If only some channels
    exist, or an image or label map named in the provenance is missing, all files of the case are left over.
    """
    images, labels = _names(root / IMAGES, ending), _names(root / LABELS, ending)
    unfinished = {
        path.name.removesuffix(UNFINISHED)
        for path in (root / PROVENANCE).glob(f"*{UNFINISHED}")
        if not path.with_suffix(".json").exists()
    }
    parts: dict[str, tuple[int, bool]] = {}
    strays = images | labels
    for case_id in sorted((labels | {name[:-5] for name in images if name.endswith("_0000")}) - unfinished):
        wanted = {f"{case_id}_{channel:04d}" for channel in range(channels)}
        found, labeled = wanted & images, case_id in labels
        if found not in (set(), wanted) or not (found or labeled):
            continue
        if (found and labeled) or _all_recorded(root, case_id):
            parts[case_id] = _PARTS.setdefault((len(found), labeled), (len(found), labeled))
            strays -= wanted | {case_id}
    return NnunetCases(root, ending, parts), sorted(f"{name}{ending}" for name in strays)


def _all_recorded(root: Path, case_id: str) -> bool:
    """Whether every file that the provenance of a case names exists; True without provenance."""
    path = root / PROVENANCE / f"{case_id}.json"
    return not path.exists() or all((root / name).exists() for name in recorded_files(path))


def recorded_files(path: Path) -> list[str]:
    """The files that a provenance names.

    Raises:
        FileError: it cannot be read, or names them otherwise.
    """
    files = read_json(path).get("files", {})
    if not isinstance(files, dict) or any("\0" in name for name in files):
        raise FileError(
            path, f"files = {json.dumps(files)[:_SHOWN]}", "an object of file names", "restore or remove it"
        )
    return list(files)


def _names(folder: Path, ending: str) -> set[str]:
    if not folder.is_dir():
        return set()
    return {
        path.name.removesuffix(ending)
        for path in folder.iterdir()
        if path.name.endswith(ending) and not path.name.startswith(".")
    }


def _decathlon(root: Path, facts: Mapping[str, Any]) -> Layout:
    path = root / DATASET
    missing = [key for key in ("modality", "labels") if key not in facts]
    if missing or not isinstance(facts["training"], list) or not facts["training"]:
        found = f"lacks {', '.join(missing)}" if missing else '"training" lists no case'
        raise CohortError(path, found, "a Decathlon dataset.json names training, modality and labels", "add them")
    channels = _channel_names(facts["modality"], path)
    if not channels:
        raise CohortError(path, "modality names no channel", "at least one", "correct it")
    listed = []
    for entry in facts["training"]:
        if not isinstance(entry, dict) or "image" not in entry:
            raise CohortError(path, f"training entry {entry!r}", 'has an "image"', "correct it")
        image = _inside(root, entry["image"], path)
        label = _inside(root, entry["label"], path) if "label" in entry else None
        listed.append((image, CaseFiles(_of_channels(image, len(channels)), label)))
    ids = distinct_ids([image for image, _ in listed], path)
    cases = {case_id: files for case_id, (_, files) in zip(ids, listed, strict=True)}
    absent = [file for case in cases.values() for file in case.paths if not file.exists()]
    if absent:
        raise CohortError(
            path, f"names {counted(len(absent), 'file')} not to be found: {first_of(absent)}", "", "restore them"
        )
    ending = ending_of(next(iter(cases.values())).paths[-1])
    return Layout(channels, label_names_of(facts["labels"], path), ending, cases)


def _of_channels(image: Path, count: int) -> tuple[ChannelFile, ...]:
    """The channels of a listed image: volumes of one file, or nnU-Net's ``_0000``, ``_0001``, ... if it is not there.

    nnU-Net 1 lists images by a name without channel that no file has.
    """
    split = [image.with_name(f"{stem_of(image)}_{channel:04d}{ending_of(image)}") for channel in range(count)]
    if not image.exists() and all(file.exists() for file in split):
        return tuple(map(ChannelFile, split))
    return tuple(ChannelFile(image, channel if count > 1 else None) for channel in range(count))


def distinct_ids(images: Sequence[Path], path: Path) -> list[str]:
    """The names of images without ending; where some are equal, all with the folders below their common one.

    Args:
        images: of one case each.
        path: of the list, for the message.

    Raises:
        CohortError: an image is listed twice, or two would get one id.
    """
    if len(set(images)) < len(images):
        (twice, _), *_ = Counter(images).most_common(1)
        raise CohortError(path, f"lists {twice.name} twice", "each case once", "correct it")
    ids = [stem_of(image) for image in images]
    if len({case_id.casefold() for case_id in ids}) < len(ids):
        base = os.path.commonpath([image.parent for image in images])
        ids = ["_".join((*image.relative_to(base).parent.parts, stem_of(image))) for image in images]
    seen: dict[str, Path] = {}
    for case_id, image in zip(ids, images, strict=True):
        other = seen.setdefault(case_id.casefold(), image)
        if other != image:
            names = " and ".join(os.path.relpath(file, path.parent) for file in (other, image))
            raise CohortError(path, f"{names} would both be case {case_id}", "ids differ", "rename one")
    return ids


def _inside(root: Path, name: Any, path: Path) -> Path:
    file = root / os.path.normpath(str(name))
    if "\0" in str(name) or not lies_in(file, root):
        raise CohortError(path, f"names {name!r}", "files lie inside the folder", "correct it")
    return file


def _pairs(root: Path) -> Layout:
    """Images and labels of the same name; or all files of one folder if the other is missing or empty."""
    images, labels = _by_stem(root / "images"), _by_stem(root / "labels")
    both = bool(images and labels)
    ids = sorted(images.keys() & labels.keys() if both else images.keys() | labels.keys())
    if not ids:
        raise CohortError(
            root,
            f"images/ has {len(images)} and labels/ {len(labels)} readable files, no two of one name",
            "a pair has the same name",
            "rename them",
        )
    cases = {id: CaseFiles((ChannelFile(images[id]),) if images else (), labels.get(id)) for id in ids}
    label_of, label_names = name_labels(label_values(labels[id] for id in ids)) if labels else ({}, {"background": 0})
    alone = sorted(images.keys() ^ labels.keys()) if both else []
    left_out = (f"{counted(len(alone), 'file')} without a pair left out: {first_of(alone)}",) if alone else ()
    ending = ending_of(next(iter(cases.values())).paths[-1])
    return Layout(("image",) if images else (), label_names, ending, cases, label_of, left_out)


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    files = [path for path in sorted(folder.iterdir()) if ending_of(path) and not path.name.startswith(".")]
    found: dict[str, Path] = {}
    for path in files:
        other = found.setdefault(stem_of(path), path)
        if other != path:
            line = f"{other.name} and {path.name} would both be case {stem_of(path)}"
            raise CohortError(folder, line, "one file per case", "remove or rename one")
    return found
