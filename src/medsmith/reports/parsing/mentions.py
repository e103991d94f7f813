"""Groups the fragments of a text by the lesions that they describe."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, final

from medsmith.reports.organs import members_of
from medsmith.reports.parsing.fragments import Fragment

_BRACKETS: Final = (",", "(")


@final
@dataclass
class Mention:
    """The fragments about one lesion, or about several of one kind.

    Attributes:
        shared: fragments that describe all of them.
        members: fragments that describe one each.
    """

    shared: list[Fragment] = field(default_factory=list)
    members: list[list[Fragment]] = field(default_factory=list)

    @property
    def fragments(self) -> list[Fragment]:
        """All fragments."""
        return [*self.shared, *(fragment for member in self.members for fragment in member)]

    @property
    def has_noun(self) -> bool:
        """Whether a lesion is named."""
        return any(fragment.nouns for fragment in self.shared)

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of lesion that are named."""
        return frozenset(kind for fragment in self.fragments for kind in fragment.kinds)

    @property
    def count(self) -> int | None:
        """The number of lesions that is stated."""
        return next((fragment.count for fragment in self.shared if fragment.count), None)

    @property
    def is_plural(self) -> bool:
        """Whether it is about several lesions."""
        several = any(fragment.is_plural or fragment.values("sides") for fragment in self.shared)
        return (self.count or 1) > 1 or several

    @property
    def sentences(self) -> frozenset[int]:
        """Numbers of the sentences that it is in."""
        return frozenset(fragment.sentence for fragment in self.fragments)

    @property
    def goes_on(self) -> bool:
        """Whether it goes on about the organ before: it is not behind a semicolon or a line break."""
        first = self.shared[0]
        return first.is_further or first.joint != ";"

    def values(self, name: str) -> list[str]:
        """Values of all meanings of a name."""
        return [value for fragment in self.fragments for value in fragment.values(name)]


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
    for sentence in sorted({fragment.sentence for fragment in fragments}):
        grouping.add_sentence([fragment for fragment in fragments if fragment.sentence == sentence])
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
        if _is_title(fragments):
            self.section = _only(fragments[0], {"organ", "implied", "side"})
        for mention in self.found[found:]:
            if self.section and not mention.values("organ") and not mention.values("side"):
                mention.shared.insert(0, self.section)

    def _add_all(self, fragments: Sequence[Fragment]) -> None:
        if _says_nothing(fragments):
            self.denied += fragments
            return
        header = _header(fragments, self.found[-1] if self.found else None)
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
            return not (self._is_absent_feature(fragment))
        return after_denial and not fragment.nouns and not fragment.sizes and fragment.places

    def _is_absent_feature(self, fragment: Fragment) -> bool:
        """Whether "no stone" is said of the lesion before it."""
        nouns = [phrase for phrase in fragment.clause.phrases if phrase.is_noun]
        only_stones = all(meaning.value == "stone" for phrase in nouns for meaning in phrase.meanings)
        return bool(self.found) and self.found[-1].has_noun and only_stones and not fragment.places

    def _add(self, fragment: Fragment) -> None:
        last = self.found[-1] if self.found else None
        if last is None or (fragment.nouns and not last.has_noun and not _is_heading(last, fragment)):
            self.found.append(Mention([fragment]))
        elif fragment.nouns:
            self._add_noun(fragment, last)
        elif not last.has_noun:
            last.shared.append(fragment)
        elif last.is_plural:
            _add_to_several(fragment, last)
        elif _is_sibling(fragment, last):
            self.found.append(Mention([*_heading_of(last, fragment), fragment]))
        else:
            last.shared.append(fragment)

    def _add_noun(self, fragment: Fragment, last: Mention) -> None:
        if _is_elliptic(last) and fragment.sizes:
            self.found.append(Mention([fragment]))
            last.shared += _heading_of(self.found[-1], last.shared[0])
        elif _is_member(fragment, last):
            last.members.append([fragment])
        elif last.has_noun and _begins(fragment, last):
            self.found.append(Mention([fragment]))
        else:
            last.shared.append(fragment)


def _says_nothing(fragments: Sequence[Fragment]) -> bool:
    """Whether a sentence only says that something is normal ("Lungs: clear")."""
    return any(fragment.is_normal for fragment in fragments) and not any(fragment.nouns for fragment in fragments)


def _is_title(fragments: Sequence[Fragment]) -> bool:
    """Whether a sentence begins with an organ and a colon."""
    return len(fragments) > 1 and fragments[0].places and not fragments[0].nouns and fragments[1].joint == ":"


def _header(fragments: Sequence[Fragment], last: Mention | None) -> int:
    """The number of fragments at the start of a sentence that name an organ for its lesions ("Left kidney:")."""
    if len(fragments) < 2 or not any(fragment.nouns for fragment in fragments):
        return 0
    first, second = fragments[:2]
    if first.nouns or first.is_denial or first.is_normal:
        return 0
    implied = bool(first.values("implied"))
    conflicts = last is not None and last.has_noun and _places_conflict(first, last)
    return int((first.places or implied) and (second.joint == ":" or conflicts))


def _is_heading(last: Mention, fragment: Fragment) -> bool:
    """Whether what was said before the first noun can describe its lesion ("Left kidney. 12 mm cyst")."""
    unknown = any(part.clause.unmatched for part in last.shared)
    beside = fragment.sentence in last.sentences
    return not _places_conflict(fragment, last) and (beside or not (unknown or _sized(last.shared)))


def _is_elliptic(last: Mention) -> bool:
    """Whether the noun of a lesion comes with the next one ("a 12 mm and a 5 mm stone")."""
    return not last.has_noun and _sized(last.shared) and last.shared[0].begins_anew


def _add_to_several(fragment: Fragment, last: Mention) -> None:
    lists = last.members and any(number.sizes for part in last.members[-1] for number in part.sizes)
    conflicts = fragment.places and (bool(last.members) or _places_conflict(fragment, last))
    if fragment.is_about_all or lists:
        last.shared.append(fragment)
    elif last.members and not fragment.places and not fragment.selects and not _sized(last.members[-1]):
        last.members[-1].append(fragment)
    elif fragment.sizes or conflicts or (fragment.selects and fragment.places):
        last.members.append([fragment])
    elif last.members:
        last.members[-1].append(fragment)
    else:
        last.shared.append(fragment)


def _is_sibling(fragment: Fragment, last: Mention) -> bool:
    """Whether a fragment without a noun is about another lesion of the same kind ("8 mm nodule RUL, 6 mm RLL")."""
    if fragment.begins_anew and (fragment.is_further or fragment.selects):
        return True
    elsewhere = bool(fragment.values("part")) or (fragment.places and _places_conflict(fragment, last))
    return bool(fragment.sizes) and _sized(last.fragments) and elsewhere


def _heading_of(mention: Mention, other: Fragment) -> list[Fragment]:
    """The nouns of a mention, and its organ unless another fragment contradicts it, and nothing else."""
    names = {"kind", "noun"} if _places_conflict(other, mention) else {"kind", "noun", "organ", "implied", "side"}
    return [_only(fragment, names) for fragment in mention.shared]


def _only(fragment: Fragment, names: set[str]) -> Fragment:
    """A fragment that says nothing but meanings of some names."""
    phrases = (
        replace(phrase, meanings=tuple(meaning for meaning in phrase.meanings if meaning.name in names))
        for phrase in fragment.held
    )
    kept = tuple(phrase for phrase in phrases if phrase.meanings)
    return replace(fragment, clause=replace(fragment.clause, phrases=kept, unmatched=(), aside=()))


def _is_member(fragment: Fragment, last: Mention) -> bool:
    """Whether a noun repeats one of several lesions that were announced ("Two lesions: a 12 mm cyst and ...")."""
    announced = last.has_noun and last.count is not None and len(last.members) < last.count
    kinds = {kind for part in last.shared for kind in part.kinds}
    compatible = not kinds or fragment.kinds <= kinds
    if last.is_plural and fragment.selects and fragment.sizes and not fragment.begins_anew:
        return compatible and not _places_conflict(fragment, last)
    own = bool(fragment.sizes) or fragment.begins_anew
    return (
        announced
        and not _sized(last.shared)
        and compatible
        and own
        and fragment.sentence in last.sentences
        and not fragment.count
    )


def _begins(fragment: Fragment, last: Mention) -> bool:
    if _is_feature(fragment):
        return False
    conflict = _places_conflict(fragment, last) or _kinds_conflict(fragment, last)
    if fragment.takes_up or (fragment.selects and not fragment.begins_anew):
        return conflict
    sized = bool(fragment.sizes) and _sized(last.fragments)
    if fragment.begins_anew:
        apposed = fragment.joint in _BRACKETS and not fragment.kinds and not fragment.places and not fragment.is_further
        return conflict or sized or not apposed
    if fragment.joint == ";":
        return True
    if not fragment.joint:
        return conflict or fragment.places or bool(fragment.sizes)
    return conflict or sized


def _sized(fragments: Sequence[Fragment]) -> bool:
    return any(fragment.sizes for fragment in fragments)


def _is_feature(fragment: Fragment) -> bool:
    """Whether a stone is named as a feature of the lesion before it: bare, without article, size or place."""
    nouns = [meaning for phrase in fragment.nouns for meaning in phrase.meanings]
    bare = not fragment.sizes and not fragment.places and not fragment.begins_anew and not fragment.is_plural
    return bare and not fragment.starts_sentence and all(meaning.value == "stone" for meaning in nouns)


def _kinds_conflict(fragment: Fragment, last: Mention) -> bool:
    return bool(fragment.kinds and last.kinds) and not fragment.kinds & last.kinds


def _places_conflict(fragment: Fragment, last: Mention) -> bool:
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
