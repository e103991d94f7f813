"""Phrases that are not part of a report."""

from dataclasses import dataclass
from typing import final

NOT_UNDERSTOOD = "not understood"
NO_ORGAN = "its organ is not named"
ONLY_NEAR = "what it is near is not its organ"
UNQUANTIFIED = "only sizes in mm, cm or inches are read"
KIND_WITHOUT_ORGAN = "the organ is not named"
_SHOWN = 100


@final
@dataclass(frozen=True)
class Unplaced:
    """A phrase that is not part of a report.

    Attributes:
        phrase: original text.
        nearest: terms it may mean, best first.
        reason: why it was not used.
        impossible: whether it was understood but is outside the possible range.
    """

    phrase: str
    nearest: tuple[str, ...] = ()
    reason: str = NOT_UNDERSTOOD
    impossible: bool = False

    @property
    def line(self) -> str:
        """The message for the user."""
        return f"not placed: {self.described}"

    @property
    def described(self) -> str:
        """The phrase with the reason and the nearest terms."""
        nearest = f"; nearest: {', '.join(self.nearest)}" if self.nearest else ""
        return f"'{shortened(self.phrase)}' ({self.reason}){nearest}"


def shortened(text: str) -> str:
    """The beginning of a text, for a message."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
