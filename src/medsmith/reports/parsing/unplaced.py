"""A phrase that found no place in a report."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Unplaced:
    """A phrase that no attribute took.

    Attributes:
        phrase: as it was written.
        nearest: options that it may have meant, best first.
        reason: why it was not taken.
        impossible: whether it was understood, and no lesion can have it.
    """

    phrase: str
    nearest: tuple[str, ...] = ()
    reason: str = "not understood"
    impossible: bool = False

    @property
    def line(self) -> str:
        """For the user."""
        nearest = f"; nearest: {', '.join(self.nearest)}" if self.nearest else ""
        return f"not placed: '{self.phrase}' ({self.reason}){nearest}"
