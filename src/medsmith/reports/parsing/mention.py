"""The fragments about one lesion, or about several of one kind."""

from dataclasses import dataclass, field
from typing import final

from medsmith.reports.parsing.fragments import Fragment


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
