"""Groups the fragments of a text by the lesions that they describe."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import final

from medsmith.reports.parsing.boundaries import (
    begins_lesion,
    header_length,
    is_elliptic,
    is_heading,
    is_member,
    is_sibling,
    is_title,
    places_conflict,
    says_nothing,
    sized,
)
from medsmith.reports.parsing.fragments import Fragment
from medsmith.reports.parsing.mention import Mention


@final
@dataclass(frozen=True)
class Mentions:
    """The lesions of a text.

    Attributes:
        found: in the order of the text.
        denied: fragments that deny a lesion or say that something is normal.
    """

    found: tuple[Mention, ...]
    denied: tuple[Fragment, ...]


def find_mentions(fragments: Sequence[Fragment]) -> Mentions:
    """Assigns each fragment to the lesion it is about.

    A noun for a lesion begins a new one where it has an article or a number of its own, or where it contradicts what
    was said: another organ, side, kind or size. "The cyst" and "it" refer to the last lesion. What denies a lesion
    ("no stone on the left") says nothing of the next.
    """
    grouping = _Grouping()
    for _, sentence in groupby(fragments, lambda fragment: fragment.sentence):
        grouping.add_sentence(list(sentence))
    return Mentions(tuple(mention for mention in grouping.found if mention.shared), tuple(grouping.denied))


@final
class _Grouping:
    """Mentions under construction."""

    def __init__(self) -> None:
        self.found: list[Mention] = []
        self.denied: list[Fragment] = []
        self.section: Fragment | None = None

    def add_sentence(self, fragments: Sequence[Fragment]) -> None:
        """Assigns the fragments of a sentence; "Right kidney:" holds for the sentences after it."""
        found = len(self.found)
        self._add_all(fragments)
        if is_title(fragments):
            self.section = _only(fragments[0], {"organ", "implied", "side"})
        for mention in self.found[found:]:
            if self.section and not mention.values("organ") and not mention.values("side"):
                mention.shared.insert(0, self.section)

    def _add_all(self, fragments: Sequence[Fragment]) -> None:
        if says_nothing(fragments):
            self.denied += fragments
            return
        header = header_length(fragments, self.found[-1] if self.found else None)
        waiting = list(fragments[:header])
        after_denial = False
        for fragment in fragments[header:]:
            if self._is_denied(fragment, after_denial):
                after_denial = True
                self.denied.append(fragment)
            elif waiting and fragment.nouns:
                after_denial = False
                self.found.append(Mention([*waiting, fragment]))
                waiting = []
            else:
                after_denial &= not fragment.nouns
                self._add(fragment)
        self.denied += waiting

    def _is_denied(self, fragment: Fragment, after_denial: bool) -> bool:
        if fragment.is_normal:
            return True
        if fragment.denies_lesion:
            return not self._is_absent_feature(fragment)
        return after_denial and not fragment.nouns and not fragment.sizes and fragment.places

    def _is_absent_feature(self, fragment: Fragment) -> bool:
        """Whether "no stone" is said of the lesion before it."""
        nouns = [phrase for phrase in fragment.clause.phrases if phrase.is_noun]
        only_stones = all(meaning.value == "stone" for phrase in nouns for meaning in phrase.meanings)
        return bool(self.found) and self.found[-1].has_noun and only_stones and not fragment.places

    def _add(self, fragment: Fragment) -> None:
        last = self.found[-1] if self.found else None
        if last is None or (fragment.nouns and not last.has_noun and not is_heading(last, fragment)):
            self.found.append(Mention([fragment]))
        elif fragment.nouns:
            self._add_noun(fragment, last)
        elif not last.has_noun:
            last.shared.append(fragment)
        elif last.is_plural:
            _add_to_several(fragment, last)
        elif is_sibling(fragment, last):
            self.found.append(Mention([*_heading_of(last, fragment), fragment]))
        else:
            last.shared.append(fragment)

    def _add_noun(self, fragment: Fragment, last: Mention) -> None:
        if is_elliptic(last) and fragment.sizes:
            self.found.append(Mention([fragment]))
            last.shared += _heading_of(self.found[-1], last.shared[0])
        elif is_member(fragment, last):
            last.members.append([fragment])
        elif last.has_noun and begins_lesion(fragment, last):
            self.found.append(Mention([fragment]))
        else:
            last.shared.append(fragment)


def _add_to_several(fragment: Fragment, last: Mention) -> None:
    lists = last.members and any(number.sizes for part in last.members[-1] for number in part.sizes)
    conflicts = fragment.places and (bool(last.members) or places_conflict(fragment, last))
    if fragment.is_about_all or lists:
        last.shared.append(fragment)
    elif last.members and not fragment.places and not fragment.selects and not sized(last.members[-1]):
        last.members[-1].append(fragment)
    elif fragment.sizes or conflicts or (fragment.selects and fragment.places):
        last.members.append([fragment])
    elif last.members:
        last.members[-1].append(fragment)
    else:
        last.shared.append(fragment)


def _heading_of(mention: Mention, other: Fragment) -> list[Fragment]:
    """The nouns of a mention, and its organ unless another fragment contradicts it, and nothing else."""
    names = {"kind", "noun"} if places_conflict(other, mention) else {"kind", "noun", "organ", "implied", "side"}
    return [_only(fragment, names) for fragment in mention.shared]


def _only(fragment: Fragment, names: set[str]) -> Fragment:
    """A fragment that says nothing but meanings of some names."""
    phrases = (
        replace(phrase, meanings=tuple(meaning for meaning in phrase.meanings if meaning.name in names))
        for phrase in fragment.held
    )
    kept = tuple(phrase for phrase in phrases if phrase.meanings)
    return replace(fragment, clause=replace(fragment.clause, phrases=kept, unmatched=(), aside=()))
