"""The display windows of a reader study, as given by its option."""

import re
from collections.abc import Sequence

from medsmith.cases.windows import CT_WINDOWS, Window
from medsmith.errors import RequestError, similar

_CUSTOM = re.compile(r"(?P<name>[\w -]{1,20})=(?P<level>-?\d{1,4})/(?P<width>\d{1,4})")
NAMED = {name: CT_WINDOWS[name] for name in ("lung", "bone", "soft")}


def parse_windows(text: str) -> tuple[Window, ...]:
    """Windows in the order in which the key switches them.

    Args:
        text: names or ``name=level/width`` in HU, separated by commas: ``"lung,bone,brain=40/80"``.

    Raises:
        RequestError: an unknown name, a width of 0, or a name given twice.
    """
    windows = tuple(_parse(part.strip()) for part in text.split(","))
    if len({window.name for window in windows}) < len(windows):
        raise RequestError("--windows", f"{text!r} names a window twice", cure="give each once")
    return windows


def _parse(part: str) -> Window:
    if part in NAMED:
        return NAMED[part]
    match = _CUSTOM.fullmatch(part)
    if match is None or int(match["width"]) == 0:
        limit = f"{', '.join(NAMED)}, or name=level/width in HU"
        cure = similar(part, NAMED, "for example lung,bone,brain=40/80")
        raise RequestError("--windows", f"{part!r} is no window", limit, cure)
    return Window(match["name"], int(match["level"]), int(match["width"]))


def levels_of(windows: Sequence[Window]) -> tuple[float, float]:
    """The lowest and highest gray value that any of the windows can show."""
    return min(window.low for window in windows), max(window.high for window in windows)
