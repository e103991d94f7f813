"""Finds the files of each case in a folder: nnU-Net raw, Medical Segmentation Decathlon, images/ + labels/.

nnU-Net v2: F. Isensee et al. 2021, https://github.com/MIC-DKFZ/nnUNet (dataset_format.md).
Decathlon: M. Antonelli et al. 2022, http://medicaldecathlon.com.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np

from medsmith.errors import CohortError, ContentError, FileError
from medsmith.formats.files import ENDINGS, ending_of, read_labels, stem_of
from medsmith.formats.json_file import read_json
from medsmith.formats.volume import ReadOptions
from medsmith.integrity import first_of

IMAGES, LABELS, REPORTS, PROVENANCE, DATASET = "imagesTr", "labelsTr", "reports", "provenance", "dataset.json"
UNFINISHED = ".unfinished"
"""Ending of the file that stands in ``provenance/`` while a synthetic case is being written."""
_MOST_UNDECLARED = 64
_DEFAULT = ReadOptions()


@final
@dataclass(frozen=True)
class ChannelFile:
    """Where one channel lies: a file, or one volume of a four-dimensional file."""

    path: Path
    volume: int | None = None


@final
@dataclass(frozen=True)
class CaseFiles:
    """Where one case lies.

    Attributes:
        channels: one per channel.
        labels: the label map.
        more_labels: further maps of the same case, one lesion each; they are united.
    """

    channels: tuple[ChannelFile, ...]
    labels: Path
    more_labels: tuple[Path, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file, each once, images first."""
        images = dict.fromkeys(channel.path for channel in self.channels)
        return (*images, self.labels, *self.more_labels)


@final
@dataclass(frozen=True)
class Layout:
    """What a folder holds, as far as it is known without reading images.

    Attributes:
        channel_names: one per channel.
        label_names: name -> value, "background" is 0.
        file_ending: of images and labels.
        cases: id -> files, complete cases only.
        label_of: value in the files -> label, where they differ.
        notes: one line per thing that was assumed or left out.
    """

    channel_names: tuple[str, ...]
    label_names: Mapping[str, int]
    file_ending: str
    cases: Mapping[str, CaseFiles]
    label_of: Mapping[int, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def find_layout(root: Path) -> Layout:
    """Recognises a folder and lists its cases.

    Raises:
        FileError: there is no such folder, or its dataset.json cannot be read.
        CohortError: it is no cohort, or its dataset.json breaks a rule.
    """
    if not root.is_dir():
        found = "a file, not a folder" if root.exists() else "does not exist"
        raise FileError(root, found, cure="give the folder of a cohort")
    if (root / DATASET).exists():
        facts = read_json(root / DATASET)
        return _decathlon(root, facts) if "training" in facts else _nnunet(root, facts)
    if (root / "images").is_dir() and (root / "labels").is_dir():
        return _pairs(root)
    raise CohortError(
        root,
        f"neither {DATASET} nor folders images/ and labels/",
        "a cohort is an nnU-Net or Decathlon folder, or such a pair of folders",
        f"run medsmith prepare {root} OUT",
    )


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
    notes = (f"{len(strays)} files belong to no complete case: {first_of(strays)}",) if strays else ()
    return Layout(channels, label_names_of(facts["labels"], path), ending, cases, notes=notes)


def _channel_names(names: Any, path: Path) -> tuple[str, ...]:
    keys = [str(i) for i in range(len(names))] if isinstance(names, dict) else []
    if not names or not isinstance(names, dict) or sorted(names, key=str) != sorted(keys):
        raise CohortError(path, f"channel names {names!r}", 'keys are "0", "1", ... in order', "correct it")
    return tuple(str(names[key]) for key in keys)


def label_names_of(labels: Any, path: Path) -> dict[str, int]:
    """Label names -> values from either form: name -> value (nnU-Net) or value -> name (Decathlon).

    Raises:
        CohortError: a value is no whole number (a region, say), is given twice, or is not 0 for background.
    """
    if not isinstance(labels, dict):
        raise CohortError(path, f"labels {labels!r}", "an object of names and values", "correct it")
    turned = all(str(key).isdecimal() for key in labels)
    pairs = [(name, key) if turned else (key, name) for key, name in labels.items()]
    names = {str(name): _label_value(str(name), value, path) for name, value in pairs}
    values = sorted(names.values())
    if len(set(values)) < len(pairs) or values[:1] != [0] or names.get("background", 0) != 0:
        found = "labels " + ", ".join(f"{name} = {value}" for name, value in names.items())
        raise CohortError(path, found, "each value once, background = 0", "correct it")
    return dict(sorted(names.items(), key=lambda item: item[1]))


def _label_value(name: str, value: Any, path: Path) -> int:
    if isinstance(value, list):
        raise CohortError(path, f"label {name!r} is a region {value}", "one value per label", "list the labels")
    if not str(value).isdecimal() or int(value) > 255:
        raise CohortError(path, f"label {name!r} has value {value!r}", "whole numbers, 0 to 255", "correct it")
    return int(value)


def nnunet_files(root: Path, case_id: str, channels: int, ending: str) -> CaseFiles:
    """Where nnU-Net's raw format keeps a case."""
    images = [root / IMAGES / f"{case_id}_{channel:04d}{ending}" for channel in range(channels)]
    return CaseFiles(tuple(ChannelFile(path) for path in images), root / LABELS / f"{case_id}{ending}")


def scan_nnunet(root: Path, channels: int, ending: str) -> tuple[dict[str, CaseFiles], list[str]]:
    """Complete cases of an nnU-Net folder, and the names of files that belong to none.

    A case is complete with all its channels and its label, and when nobody is or was just writing it.
    """
    images, labels = _names(root / IMAGES, ending), _names(root / LABELS, ending)
    unfinished = {
        path.name.removesuffix(UNFINISHED)
        for path in (root / PROVENANCE).glob(f"*{UNFINISHED}")
        if not path.with_suffix(".json").exists()
    }
    cases = {}
    strays = set(images) | set(labels)
    for case_id in sorted(labels - unfinished):
        wanted = {f"{case_id}_{channel:04d}" for channel in range(channels)}
        if wanted <= images:
            cases[case_id] = nnunet_files(root, case_id, channels, ending)
            strays -= wanted | {case_id}
    return cases, sorted(f"{name}{ending}" for name in strays)


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
    cases = {}
    for entry in facts["training"]:
        if not isinstance(entry, dict) or not {"image", "label"} <= entry.keys():
            raise CohortError(path, f"training entry {entry!r}", 'has "image" and "label"', "correct it")
        image, label = _inside(root, entry["image"], path), _inside(root, entry["label"], path)
        volumes = [None] if len(channels) == 1 else list(range(len(channels)))
        cases[stem_of(image)] = CaseFiles(tuple(ChannelFile(image, k) for k in volumes), label)
    absent = [file for case in cases.values() for file in (case.channels[0].path, case.labels) if not file.exists()]
    if absent:
        raise CohortError(path, f"names {len(absent)} files that do not exist: {first_of(absent)}", "", "restore them")
    ending = ending_of(cases[next(iter(cases))].labels)
    return Layout(channels, label_names_of(facts["labels"], path), ending, cases)


def _inside(root: Path, name: Any, path: Path) -> Path:
    file = root / str(name)
    if not file.resolve().is_relative_to(root.resolve()):
        raise CohortError(path, f"names {name!r}", "files lie inside the folder", "correct it")
    return file


def _pairs(root: Path) -> Layout:
    images, labels = _by_stem(root / "images"), _by_stem(root / "labels")
    alone = sorted(images.keys() ^ labels.keys())
    cases = {
        case: CaseFiles((ChannelFile(images[case]),), labels[case]) for case in sorted(images.keys() & labels.keys())
    }
    if not cases:
        raise CohortError(
            root,
            f"images/ has {len(images)} and labels/ {len(labels)} readable files, no two of one name",
            "a pair has the same name",
            "rename them",
        )
    label_of, label_names = name_labels(label_values(files.labels for files in cases.values()))
    left_out = (f"{len(alone)} files without their pair are left out: {first_of(alone)}",) if alone else ()
    ending = ending_of(next(iter(cases.values())).labels)
    return Layout(("image",), label_names, ending, cases, label_of, left_out)


def _by_stem(folder: Path) -> dict[str, Path]:
    files = [path for path in sorted(folder.iterdir()) if ending_of(path) and not path.name.startswith(".")]
    return {stem_of(path): path for path in files}


def label_values(paths: Iterable[Path], options: ReadOptions = _DEFAULT) -> dict[int, Path]:
    """Every value that occurs in label maps, and the first file that has it."""
    where: dict[int, Path] = {}
    for path in paths:
        counts = np.bincount(read_labels(path, options).values.ravel(), minlength=256)
        for value in np.flatnonzero(counts):
            where.setdefault(int(value), path)
    return where


def name_labels(where: Mapping[int, Path]) -> tuple[dict[int, int], dict[str, int]]:
    """Labels for values that nobody declared.

    Values 0, 1, ..., n are taken as they are; 0 and 255 are the two values of a binary picture.

    Args:
        where: value -> a file that has it.

    Returns:
        value in the files -> label, and name -> label.

    Raises:
        ContentError: other values, of which nobody can know the meaning.
    """
    values = sorted(where.keys() | {0})
    if values == [0, 255]:
        return {0: 0, 255: 1}, {"background": 0, "label_1": 1}
    if values != list(range(len(values))) or len(values) > _MOST_UNDECLARED:
        odd = next((value for index, value in enumerate(values) if value != index), values[-1])
        shown = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
        raise ContentError(
            where[odd],
            f"label value {odd} among {shown}",
            f"undeclared values must be 0, 1, ..., n (n < {_MOST_UNDECLARED}), or 0 and 255",
            "is this the image? else run medsmith prepare with --label NAME=VALUE for each",
        )
    return {value: value for value in values}, {"background": 0} | {f"label_{v}": v for v in values[1:]}
