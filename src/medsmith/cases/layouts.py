"""Finds the files of each case in a folder: nnU-Net raw, Medical Segmentation Decathlon, images/ + labels/.

nnU-Net v2: F. Isensee et al. 2021, https://github.com/MIC-DKFZ/nnUNet (dataset_format.md).
Decathlon: M. Antonelli et al. 2022, http://medicaldecathlon.com.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medsmith.cases.case_files import CaseFiles, ChannelFile, Layout
from medsmith.cases.integrity import first_of
from medsmith.cases.label_names import label_names_of, label_values, name_labels
from medsmith.cases.nnunet_folder import DATASET, CasesFoundLater, scan_nnunet
from medsmith.errors import CohortError, FileError, counted
from medsmith.formats.files import ENDINGS, ending_of, stem_of
from medsmith.formats.folders import lies_in
from medsmith.formats.json_file import read_json

REFUSED = "rejected/rejected.png"
"""Pictures of what the checks refused: all that ``synthesize`` leaves in a folder where it made no case."""


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
        return _decathlon(root, facts) if _is_decathlon(facts) else _nnunet(root, facts)
    if (root / "images").is_dir() or (root / "labels").is_dir():
        return _pairs(root)
    if (root / REFUSED).is_file():
        found = f"holds no case: synthesize made none, and left pictures of what it refused ({REFUSED})"
        raise CohortError(
            root, found, "a cohort has cases", "train longer, or ask for something else, and make it again"
        )
    raise CohortError(
        root,
        f"neither {DATASET} nor folders images/ and labels/",
        "a cohort is an nnU-Net or Decathlon folder, or has one or both of these",
        f"run medsmith prepare {root} OUT",
    )


def find_matching_layout(root: Path, requested: Layout) -> Layout:
    """The layout of an existing cohort, whose cases are listed when they are first asked for.

    Raises:
        CohortError: its channels, labels or ending differ from the request.
    """
    facts = read_json(root / DATASET)
    found = find_layout(root) if _is_decathlon(facts) else _declared(root, facts)
    for what in ("channel_names", "label_names", "file_ending"):
        actual, wanted = getattr(found, what), getattr(requested, what)
        if actual != wanted:
            line = f"has {what.replace('_', ' ')} {actual}"
            raise CohortError(root, line, f"{wanted} is asked for", "choose a new folder")
    return found


def _is_decathlon(facts: Mapping[str, Any]) -> bool:
    version_2 = "channel_names" in facts and "file_ending" in facts
    return "training" in facts and not version_2


def _nnunet(root: Path, facts: Mapping[str, Any]) -> Layout:
    declared = _declared(root, facts)
    cases, strays = scan_nnunet(root, len(declared.channel_names), declared.file_ending)
    notes = (f"{counted(len(strays), 'file')} without a complete case: {first_of(strays)}",) if strays else ()
    return replace(declared, cases=cases, notes=notes, strays=tuple(strays))


def _declared(root: Path, facts: Mapping[str, Any]) -> Layout:
    """What the dataset.json of an nnU-Net folder says."""
    path = root / DATASET
    missing = [key for key in ("channel_names", "labels", "file_ending") if key not in facts]
    if missing:
        raise CohortError(path, f"lacks {', '.join(missing)}", "nnU-Net v2 needs them", "add them")
    channels = _channel_names(facts["channel_names"], path)
    ending = str(facts["file_ending"])
    if ending not in ENDINGS:
        raise CohortError(path, f"file_ending {ending!r}", f"one of {', '.join(ENDINGS)}", "convert the files")
    names = label_names_of(facts["labels"], path)
    return Layout(channels, names, ending, CasesFoundLater(root, len(channels), ending))


def _channel_names(names: Any, path: Path) -> tuple[str, ...]:
    if names == {}:
        return ()  # label maps alone
    keys = [str(i) for i in range(len(names))] if isinstance(names, dict) else []
    if not names or not isinstance(names, dict) or sorted(names, key=str) != sorted(keys):
        raise CohortError(path, f"channel names {names!r}", 'keys are "0", "1", ... in order', "correct it")
    return tuple(str(names[key]) for key in keys)


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
