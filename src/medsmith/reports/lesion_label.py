"""Labels of lesions: what their names say, and the label of synthetic lesions."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from medsmith.errors import RequestError
from medsmith.reports.organs import find_organ, is_lesion, labels_of
from medsmith.reports.rules import LESION_TYPES, types_of

LESION, SYNTHETIC = "lesion", "synthetic_lesion"
MAX_LABEL = 255
_KINDS: Final = MappingProxyType(
    {
        "cyst": "cyst",
        "stone": "stone",
        "gallstone": "stone",
        "calculus": "stone",
        "tumour": "cancer",
        "tumor": "cancer",
        "cancer": "cancer",
        "carcinoma": "cancer",
        "hemorrhage": "hemorrhage",
        "haemorrhage": "hemorrhage",
        "bleed": "hemorrhage",
    }
)


def kind_named(label_name: str) -> str | None:
    """The kind of lesion type that a label names: "cancer" for "liver_tumor"; None if it names none."""
    words = label_name.replace("_", " ").casefold().split()
    return next((_KINDS[word] for word in words if word in _KINDS), None)


def organ_named(label_name: str) -> str | None:
    """The organ that the label of a lesion names: "liver" for "liver_tumor"; None if it names none."""
    return find_organ(" ".join(word for word in label_name.replace("_", " ").split() if not is_lesion(word)))


def types_labeled(label_names: Mapping[str, int]) -> tuple[str, ...]:
    """The lesion types that the labels of a cohort can mean, in the order of ``LESION_TYPES``.

    A label such as "liver_tumor" names its organ; other lesions can be in any labeled organ. "lesion" beside no organ
    tells nothing.

    Args:
        label_names: of organs and lesions.
    """
    found: set[str] = set()
    for name in filter(is_lesion, label_names):
        kind, organ = kind_named(name), organ_named(name)
        if organ is not None:
            found.update(types_of(organ, kind) or types_of(organ))
        else:
            rows = (row for row in LESION_TYPES.values() if kind in (None, row.kind))
            found.update(row.name for row in rows if labels_of(row.organ, label_names))
    return tuple(name for name in LESION_TYPES if name in found)


def organs_of_lesions(label_names: Mapping[str, int]) -> tuple[str, ...]:
    """The organs that the labels of lesions name."""
    organs = (organ_named(name) for name in label_names if is_lesion(name))
    return tuple(dict.fromkeys(organ for organ in organs if organ is not None))


def lesion_label(label_names: Mapping[str, int], *, real: bool) -> str:
    """The name of the label of synthetic lesions, unless another is asked for.

    Where labels of lesions exist, real lesions and synthetic ones have different labels.

    Args:
        label_names: of the scans that lesions are inserted into.
        real: whether some of these scans are real.
    """
    lesions = [name for name in label_names if is_lesion(name)]
    if SYNTHETIC in lesions:
        return SYNTHETIC
    if real:
        return SYNTHETIC if lesions else LESION
    return LESION if LESION in lesions or not lesions else lesions[0]


def with_label(label_names: Mapping[str, int], name: str) -> dict[str, int]:
    """The label names, with a new one if it is not among them.

    Raises:
        RequestError: all 255 values are taken, or the name is that of something else than a lesion.
    """
    if name in label_names:
        if not is_lesion(name):
            cure = "choose another name: --label-as"
            raise RequestError("label_as", f"'{name}' is no lesion", "lesions have a label of their own", cure)
        return dict(label_names)
    value = max(label_names.values()) + 1
    if value > MAX_LABEL:
        raise RequestError("templates", f"{len(label_names)} labels leave no value for lesions", "255 at most")
    return {**label_names, name: value}
