"""Label names and values: declared in dataset.json, or inferred from the files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medsmith.errors import CohortError, ContentError
from medsmith.formats.files import read_labels
from medsmith.formats.volume import ReadOptions

_MOST_UNDECLARED = 64
_DEFAULT = ReadOptions()
_DIGITS, _SHOWN = 9, 40
"""Of a value that is read, and of what a message shows."""


def foreground_names(label_names: Mapping[str, int]) -> tuple[str, ...]:
    """Names above background in the order of their values."""
    return tuple(sorted((name for name, value in label_names.items() if value > 0), key=lambda name: label_names[name]))


def label_names_of(labels: Any, path: Path) -> dict[str, int]:
    """Label names -> values from either form: name -> value (nnU-Net) or value -> name (Decathlon).

    Raises:
        CohortError: a value is not a whole number (for example, a region), is given twice, or is not 0 for background.
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
    if not str(value).isdecimal() or len(str(value)) > _DIGITS or int(value) > 255:
        raise CohortError(
            path, f"label {name[:_SHOWN]!r} has value {str(value)[:_SHOWN]!r}", "whole numbers, 0 to 255", "correct it"
        )
    return int(value)


def label_values(paths: Iterable[Path], options: ReadOptions = _DEFAULT) -> dict[Path, frozenset[int]]:
    """The values that occur in each label map."""
    return {
        path: frozenset(np.flatnonzero(np.bincount(read_labels(path, options).values.ravel(), minlength=256)).tolist())
        for path in paths
    }


def name_labels(found: Mapping[Path, frozenset[int]]) -> tuple[dict[int, int], dict[str, int]]:
    """Infers labels for undeclared values.

    Values 0, 1, ..., n are taken as they are; 0 and 255 are a binary mask, also where other masks have 0 and 1.

    Args:
        found: label map -> its values.

    Returns:
        value in the files -> label, and name -> label.

    Raises:
        ContentError: other values, whose meaning is unknown.
    """
    values = sorted({0}.union(*found.values()))
    if values == [0, 255]:
        return {0: 0, 255: 1}, {"background": 0, "label_1": 1}
    if values == [0, 1, 255] and not any(file >= {1, 255} for file in found.values()):
        return {0: 0, 1: 1, 255: 1}, {"background": 0, "label_1": 1}
    if values != list(range(len(values))) or len(values) > _MOST_UNDECLARED:
        odd = next((value for index, value in enumerate(values) if value != index), values[-1])
        shown = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
        raise ContentError(
            next(path for path, file in found.items() if odd in file),
            f"label value {odd} among {shown}",
            f"undeclared values must be 0, 1, ..., n (n < {_MOST_UNDECLARED}), or 0 and 255",
            "is this the image? else run medsmith prepare with --label NAME=VALUE for each, or --class-map",
        )
    return {value: value for value in values}, {"background": 0} | {f"label_{v}": v for v in values[1:]}
