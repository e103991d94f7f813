"""What stands for an organ that an organ map lacks, and what a refusal proposes to ask for.

A lobe of the lung lies in the lung of its side, as a segment of the liver lies in the liver: where the map has no
lobes, the lesion is put anywhere in that lung, which is told. Nothing else is replaced: the side, bone or organ would
be another than the one asked for.
"""

from collections.abc import Mapping
from typing import Final

from medsmith.reports.organs import COARSE, GROUPS, ORGANS, find_organ, is_bone, labels_of, members_of
from medsmith.reports.wording import organ_words

_LOBE: Final = "_lobe"
_SIDES: Final = ("_left", "_right")


def stand_in(organ: str, label_names: Mapping[str, int]) -> str | None:
    """The lung for a lobe that the map does not know, or None.

    Args:
        organ: that is asked for.
        label_names: label name -> value of the organ map.
    """
    if not organ.startswith("lung_") or _LOBE not in organ or labels_of(organ, label_names):
        return None
    lung = next((f"lung{side}" for side in _SIDES if organ.endswith(side)), "lung")
    return lung if labels_of(lung, label_names) else None


def placed_in(organ: str, instead: str) -> str:
    """What is told of a lesion that is put into the stand-in of its organ."""
    return f"{organ_words(organ)}: placed anywhere in the {organ_words(instead)}; the organ map has no lobes"


def to_ask_for(organ: str, label_names: Mapping[str, int]) -> str:
    """The cure for an organ that a map lacks: what to ask for instead, of what the map has.

    Args:
        organ: that is asked for.
        label_names: label name -> value of the organ map.
    """
    known = {find_organ(name) or name for name, value in label_names.items() if value}
    groups = sorted((name for name in GROUPS if organ in GROUPS[name]), key=lambda name: len(GROUPS[name]))
    group = next((name for name in groups if name in known), None)
    other = next(
        (name for name in map(organ.replace, _SIDES, reversed(_SIDES)) if name != organ and name in known), None
    )
    if group or other:
        return f"ask for '{organ_words(str(group or other))}'"
    kind = _kind_by_density(organ)
    return f"there it counts as '{organ_words(kind)}': ask for that" if kind in known else "name one of these"


def _kind_by_density(organ: str) -> str:
    """What a map by density calls an organ; empty for lungs, which it knows, and for what is no organ."""
    if organ in members_of("lung") or organ not in ORGANS or organ in COARSE:
        return ""
    return "bone" if is_bone(organ) else "soft_tissue"
