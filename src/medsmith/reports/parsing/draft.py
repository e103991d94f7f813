"""A report under construction."""

from dataclasses import dataclass, field
from typing import Any, final

from medsmith.reports.parsing.unplaced import Unplaced


@final
@dataclass
class Draft:
    """A report under construction.

    Attributes:
        values: attribute -> value.
        named: name of a meaning without an attribute of its own ("kind", "organ", "side"), or "calcified" -> (value, as
            said).
        landmarks: what the lesion is near, as said.
        inside: whether the lesion is inside its organ.
        stones_are_features: whether a stone is a feature of another lesion.
        excluded: negated options.
        ruled_out: the same as said.
        unplaced: phrases that were not understood, or contradict the rest.
        set_aside: phrases that were understood, but that no report can hold.
        notes: assumptions made.
    """

    values: dict[str, Any] = field(default_factory=dict)
    named: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    landmarks: list[str] = field(default_factory=list)
    inside: bool = False
    stones_are_features: bool = False
    excluded: list[str] = field(default_factory=list)
    ruled_out: list[str] = field(default_factory=list)
    unplaced: list[Unplaced] = field(default_factory=list)
    set_aside: list[Unplaced] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, name: str) -> list[tuple[str, str]]:
        """Values of a meaning, and how they are said."""
        return self.named.get(name, [])
