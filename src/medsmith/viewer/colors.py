"""Colors of labels: lesions red among other labels, the rest as on other pages, then in shades of these colors."""

from collections.abc import Mapping

from PIL import ImageColor

from medsmith.cases.label_names import foreground_names
from medsmith.evaluation.pages.sheets import OUTLINES
from medsmith.reports.organs import is_lesion

_LESIONS = ("#ff2f2f", "#ff2fd0", "#ff9d5c")
_TOWARDS = ((0, 0.0), (255, 0.55), (0, 0.45), (255, 0.3), (0, 0.25))
"""Per round through the colors: gray value that they are mixed with, and its share."""


def label_colors(label_names: Mapping[str, int]) -> dict[str, str]:
    """Name of each label above background -> color as #rrggbb.

    Args:
        label_names: name -> value.
    """
    names = foreground_names(label_names)
    lesions = [name for name in names if is_lesion(name)]
    if len(lesions) == len(names):
        lesions = []  # nothing to stand out from
    red = {name: _LESIONS[place % len(_LESIONS)] for place, name in enumerate(lesions)}
    return {name: red.get(name) or _shade(label_names[name] - 1) for name in names}


def _shade(place: int) -> str:
    turn, color = divmod(place, len(OUTLINES))
    gray, share = _TOWARDS[turn % len(_TOWARDS)]
    red, green, blue = (round((1 - share) * part + share * gray) for part in ImageColor.getrgb(OUTLINES[color])[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"
