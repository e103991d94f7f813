"""A phrase that a report cannot represent."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Unplaced:
    """A phrase that matches no attribute.

    Attributes:
        phrase: original text.
        nearest: options it may mean, best first.
        reason: why it was not used.
        impossible: whether it was understood but is outside the possible range.
    """

    phrase: str
    nearest: tuple[str, ...] = ()
    reason: str = "not understood"
    impossible: bool = False

    @property
    def line(self) -> str:
        """The message for the user."""
        nearest = f"; nearest: {', '.join(self.nearest)}" if self.nearest else ""
        return f"not placed: '{self.phrase}' ({self.reason}){nearest}"
