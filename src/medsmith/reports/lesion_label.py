"""The label that synthetic lesions are written as."""

from collections.abc import Mapping

from medsmith.errors import RequestError
from medsmith.reports.organs import is_lesion

LESION = "lesion"
LARGEST_LABEL = 255


def with_lesion_label(label_names: Mapping[str, int]) -> dict[str, int]:
    """The labels with one for lesions: the first that is there, or a new one.

    Raises:
        RequestError: no value is left.
    """
    if any(is_lesion(name) for name in label_names):
        return dict(label_names)
    value = max(label_names.values()) + 1
    if value > LARGEST_LABEL:
        raise RequestError("templates", f"{len(label_names)} labels leave no value for lesions", "255 at most")
    return {**label_names, LESION: value}


def lesion_value(label_names: Mapping[str, int]) -> int:
    """The value of the label that lesions are written as."""
    return label_names.get(LESION) or next(value for name, value in label_names.items() if is_lesion(name))
