"""Decides whether a fragment goes on about a lesion or begins another one."""

from collections.abc import Iterator, Sequence
from typing import Final

from medsmith.reports.organs import members_of
from medsmith.reports.parsing.fragments import Fragment
from medsmith.reports.parsing.mention import Mention

_BRACKETS: Final = (",", "(")


def says_nothing(fragments: Sequence[Fragment]) -> bool:
    """Whether a sentence only says that something is normal ("Lungs: clear")."""
    return any(fragment.is_normal for fragment in fragments) and not any(fragment.nouns for fragment in fragments)


def is_title(fragments: Sequence[Fragment]) -> bool:
    """Whether a sentence begins with an organ and a colon."""
    return len(fragments) > 1 and fragments[0].places and not fragments[0].nouns and fragments[1].joint == ":"


def header_length(fragments: Sequence[Fragment], last: Mention | None) -> int:
    """The number of fragments at the start of a sentence that name an organ for its lesions ("Left kidney:")."""
    if len(fragments) < 2 or not any(fragment.nouns for fragment in fragments):
        return 0
    first, second = fragments[:2]
    if first.nouns or first.is_denial or first.is_normal:
        return 0
    implied = bool(first.values("implied"))
    conflicts = last is not None and last.has_noun and places_conflict(first, last)
    return int((first.places or implied) and (second.joint == ":" or conflicts))


def is_heading(last: Mention, fragment: Fragment) -> bool:
    """Whether what was said before the first noun can describe its lesion ("Left kidney. 12 mm cyst")."""
    unknown = any(part.clause.unmatched for part in last.shared)
    beside = fragment.sentence in last.sentences
    return not places_conflict(fragment, last) and (beside or not (unknown or sized(last.shared)))


def is_elliptic(last: Mention) -> bool:
    """Whether the noun of a lesion comes with the next one ("a 12 mm and a 5 mm stone")."""
    return not last.has_noun and sized(last.shared) and last.shared[0].begins_anew


def is_sibling(fragment: Fragment, last: Mention) -> bool:
    """Whether a fragment without a noun is about another lesion of the same kind ("8 mm nodule RUL, 6 mm RLL")."""
    if fragment.begins_anew and (fragment.is_further or fragment.selects):
        return True
    elsewhere = bool(fragment.values("part")) or (fragment.places and places_conflict(fragment, last))
    return bool(fragment.sizes) and sized(last.fragments) and elsewhere


def is_member(fragment: Fragment, last: Mention) -> bool:
    """Whether a noun repeats one of several lesions that were announced ("Two lesions: a 12 mm cyst and ...")."""
    announced = last.has_noun and last.count is not None and len(last.members) < last.count
    kinds = {kind for part in last.shared for kind in part.kinds}
    compatible = not kinds or fragment.kinds <= kinds
    if last.is_plural and fragment.selects and fragment.sizes and not fragment.begins_anew:
        return compatible and not places_conflict(fragment, last)
    own = bool(fragment.sizes) or fragment.begins_anew
    return (
        announced
        and not sized(last.shared)
        and compatible
        and own
        and fragment.sentence in last.sentences
        and not fragment.count
    )


def begins_lesion(fragment: Fragment, last: Mention) -> bool:
    """Whether a noun begins another lesion than the last one.

    It does where it contradicts the last lesion, or has an article or number of its own and is no apposition ("the
    lesion, a round mass"). "The cyst" and "the largest" go on about the last lesion, and so does a bare noun.
    """
    if _is_feature(fragment):
        return False
    conflict = places_conflict(fragment, last) or _kinds_conflict(fragment, last)
    if fragment.takes_up or (fragment.selects and not fragment.begins_anew):
        return conflict
    resized = bool(fragment.sizes) and sized(last.fragments)
    if fragment.begins_anew:
        apposed = fragment.joint in _BRACKETS and not fragment.kinds and not fragment.places and not fragment.is_further
        return conflict or resized or not apposed
    if fragment.joint == ";":
        return True
    if not fragment.joint:
        return conflict or fragment.places or bool(fragment.sizes)
    return conflict or resized


def sized(fragments: Sequence[Fragment]) -> bool:
    """Whether a size is stated."""
    return any(fragment.sizes for fragment in fragments)


def _is_feature(fragment: Fragment) -> bool:
    """Whether a stone is named as a feature of the lesion before it: bare, without article, size or place."""
    nouns = [meaning for phrase in fragment.nouns for meaning in phrase.meanings]
    bare = not fragment.sizes and not fragment.places and not fragment.begins_anew and not fragment.is_plural
    return bare and not fragment.starts_sentence and all(meaning.value == "stone" for meaning in nouns)


def _kinds_conflict(fragment: Fragment, last: Mention) -> bool:
    return bool(fragment.kinds and last.kinds) and not fragment.kinds & last.kinds


def places_conflict(fragment: Fragment, last: Mention) -> bool:
    """Whether a fragment names an organ or a side that is not that of a lesion."""
    organs = last.values("organ") or last.values("implied")
    own = fragment.values("organ")
    if any(not _related(organ, other) for organ in own for other in organs):
        return True
    sides = {*_sides(own), *fragment.values("side")}
    before = {*_sides(organs), *last.values("side")}
    return bool(sides and before) and not sides & before


def _related(organ: str, other: str) -> bool:
    return bool(set(members_of(organ)) & set(members_of(other)))


def _sides(organs: Sequence[str]) -> Iterator[str]:
    yield from (side for organ in organs for side in ("left", "right") if organ.endswith(f"_{side}"))
