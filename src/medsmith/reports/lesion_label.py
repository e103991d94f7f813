"""The label of synthetic lesions in a label map."""

from collections.abc import Mapping

from medsmith.errors import RequestError
from medsmith.reports.organs import is_lesion

LESION = "lesion"
MAX_LABEL = 255


def with_lesion_label(label_names: Mapping[str, int]) -> dict[str, int]:
    """The label names, with a new label for lesions where none exists.

    Raises:
        RequestError: all 255 values are taken.
    """
    if any(is_lesion(name) for name in label_names):
        return dict(label_names)
    value = max(label_names.values()) + 1
    if value > MAX_LABEL:
        raise RequestError("templates", f"{len(label_names)} labels leave no value for lesions", "255 at most")
    return {**label_names, LESION: value}


def lesion_value(label_names: Mapping[str, int]) -> int:
    """The label value of synthetic lesions: that of "lesion", else of the first lesion label."""
    return label_names.get(LESION) or next(value for name, value in label_names.items() if is_lesion(name))
