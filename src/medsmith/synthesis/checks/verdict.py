"""What a check says of a case, and how strict the checks are."""

from dataclasses import dataclass
from typing import Any, Literal, final

from pydantic import BaseModel, ConfigDict, Field

Outcome = Literal["passed", "failed", "not made"]
_DIGITS = 6


@final
class Limits(BaseModel):
    """How far a synthetic case may stray from the training cohort.

    Attributes:
        foreground: the share of labelled voxels lies between the first number times the smallest share in training
            and the second times the largest.
        spread: least spread of grey values of a channel, as a share of the median spread in training.
        attempts: draws of one case before it is given up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    foreground: tuple[float, float] = (0.5, 1.5)
    spread: float = Field(default=0.25, ge=0)
    attempts: int = Field(default=50, ge=1)


@final
@dataclass(frozen=True)
class Verdict:
    """One check of one case.

    Attributes:
        check: its name.
        outcome: "not made" where the run knows too little of its training cohort, or the case lacks what is checked.
        value: what was measured.
        low: least value allowed; None where there is no such limit.
        high: largest value allowed; None where there is no such limit.
        reason: why it was not made.
    """

    check: str
    outcome: Outcome
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""

    @classmethod
    def of(cls, check: str, value: float, low: float | None = None, high: float | None = None) -> "Verdict":
        """The verdict on a measured value; a value that is no number fails."""
        inside = (low is None or value >= low) and (high is None or value <= high)
        return cls(check, "passed" if inside and value == value else "failed", value, low, high)

    @classmethod
    def not_made(cls, check: str, reason: str) -> "Verdict":
        """The verdict where there is nothing to compare with."""
        return cls(check, "not made", reason=reason)

    def as_json(self) -> dict[str, Any]:
        """For provenance: six significant digits, so that no processor's last bit shows."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        rounded = {name: float(f"{number:.{_DIGITS}g}") for name, number in numbers.items() if number is not None}
        reason = {"reason": self.reason} if self.reason else {}
        return {"check": self.check, "outcome": self.outcome} | rounded | reason
