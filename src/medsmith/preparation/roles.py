"""Which files are images and which are label maps, by their names, and the key that pairs them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from medsmith.errors import CohortError
from medsmith.formats.files import ending_of, stem_of
from medsmith.formats.itk import SEGMENTS_ENDING

IMAGE_FOLDERS = {"images", "image", "imgs", "img", "imagestr", "scans", "volumes"}
_LABEL_FOLDERS = {"labels", "label", "labelstr", "masks", "mask", "segmentations", "segmentation", "annotations", "gt"}
_MASK = re.compile(
    r"(?:^|[ _.\-]+)(?:masks?|seg|segmentation|labels?|gt|annotation)(?:[ _.\-]*\d{1,3})?$", re.IGNORECASE
)
_WORDS = r"(?:images?|imaging|img|scan|volume|masks?|seg|segmentations?|labels?|gt|annotations?)"
_WORD_BEFORE_A_NUMBER = re.compile(rf"[ _.\-]+{_WORDS}(?=[ _.\-]*\d+$)", re.IGNORECASE)
_WORD_AT_AN_END = re.compile(rf"^{_WORDS}(?=[ _.\-]*\d)|[ _.\-]+{_WORDS}$|^{_WORDS}$", re.IGNORECASE)
_IMAGE_ALONE = re.compile(r"(?:image|imaging|img|scan|volume|ct|mr|mri|us)", re.IGNORECASE)

Key = PurePosixPath
"""The pairing key of a case: its folders without those named for images or labels, then the bare file name."""


def by_role(root: Path, files: Iterable[Path]) -> tuple[dict[Key, list[Path]], dict[Key, list[Path]]]:
    """Image files and label files, each by the key that pairs them.

    Args:
        root: of the files.
        files: below it.

    Raises:
        CohortError: a label fits two images.
    """
    images: dict[Key, list[Path]] = defaultdict(list)
    labels: dict[Key, list[Path]] = defaultdict(list)
    for path in (path for path in files if not _is_label(root, path)):
        stem, in_folder = stem_of(path), bool(folders_of(root, path) & IMAGE_FOLDERS)
        alone = _IMAGE_ALONE.fullmatch(stem) is not None and not in_folder
        images[Key(*_kept_folders(root, path), "" if alone else stem)].append(path)
    for path in (path for path in files if _is_label(root, path)):
        kept, stem = _kept_folders(root, path), stem_of(path)
        same = Key(*kept, stem)
        labels[same if same in images else Key(*kept, _MASK.sub("", stem))].append(path)
    _check_numbers(root, images, labels)
    return images, _paired_by_bare_name(root, images, labels)


def _check_numbers(root: Path, images: Mapping[Key, list[Path]], labels: Mapping[Key, list[Path]]) -> None:
    """Refuses NAME_mask_1 as a mask of NAME where there is NAME_1 or NAME_image_1.

    Raises:
        CohortError: a label fits two images.
    """
    numbered = {_numbered_key(root, paths[0]): paths[0] for paths in images.values()}
    for key, path in ((key, path) for key, paths in labels.items() if key in images for path in paths):
        other = numbered.get(_numbered_key(root, path))
        if _WORD_BEFORE_A_NUMBER.search(stem_of(path)) and other is not None and other != images[key][0]:
            found = f"{path.name} fits {images[key][0].name} and {other.name}"
            raise CohortError(root, found, "a label map belongs to one image", "rename the files")


def _numbered_key(root: Path, path: Path) -> Key:
    """The key without a word before the number that ends the name."""
    return Key(*_kept_folders(root, path), _WORD_BEFORE_A_NUMBER.sub("", stem_of(path)))


def _paired_by_bare_name(
    root: Path, images: Mapping[Key, list[Path]], labels: Mapping[Key, list[Path]]
) -> dict[Key, list[Path]]:
    """The labels, those without an image by the key of the one image that has the same bare name."""
    alone: dict[Key, list[Key]] = defaultdict(list)
    for key in images.keys() - labels.keys():
        alone[_bare_key(root, images[key][0])].append(key)
    found: dict[Key, list[Path]] = defaultdict(list)
    for key, path in ((key, path) for key, paths in labels.items() for path in paths):
        partners = alone.get(_bare_key(root, path), []) if key not in images else []
        found[partners[0] if len(partners) == 1 else key].append(path)
    return found


def _bare_key(root: Path, path: Path) -> Key:
    """The key without any word for images or labels in it."""
    return Key(*_kept_folders(root, path), _WORD_AT_AN_END.sub("", stem_of(path)).strip(" _.-"))


def folders_of(root: Path, path: Path) -> set[str]:
    """Names of the folders between the root and a file, in lower case."""
    return {part.lower() for part in path.relative_to(root).parent.parts}


def _kept_folders(root: Path, path: Path) -> list[str]:
    words = IMAGE_FOLDERS | _LABEL_FOLDERS
    return [part for part in path.relative_to(root).parent.parts if part.lower() not in words]


def _is_label(root: Path, path: Path) -> bool:
    folders = folders_of(root, path)
    if folders & _LABEL_FOLDERS or ending_of(path) == SEGMENTS_ENDING:
        return True
    return not folders & IMAGE_FOLDERS and _MASK.search(stem_of(path)) is not None
