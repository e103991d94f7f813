"""The labels of a cohort as numbered segments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

_COLORS = ((230, 60, 60), (60, 180, 75), (0, 130, 200), (245, 130, 48), (145, 30, 180), (70, 240, 240))


@final
@dataclass(frozen=True)
class Segment:
    """A label as it is written.

    Attributes:
        number: of the segment, from 1.
        name: of the label.
        value: of the label.
    """

    number: int
    name: str
    value: int

    @property
    def color(self) -> tuple[int, int, int]:
        """Red, green and blue, 0 to 255."""
        return _COLORS[(self.number - 1) % len(_COLORS)]


def segments_of(label_names: Mapping[str, int]) -> tuple[Segment, ...]:
    """The labels of a cohort by rising value, numbered from 1; a case may lack some."""
    named = sorted((value, name) for name, value in label_names.items() if value > 0)
    return tuple(Segment(number, name, value) for number, (value, name) in enumerate(named, start=1))
