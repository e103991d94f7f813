"""The result of a check, and the tolerances of the checks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

from pydantic import BaseModel, ConfigDict, Field

Outcome = Literal["passed", "failed", "not made"]
AS_REQUESTED = "lesions_as_requested"
"""Name of the check of what was requested of lesions."""
ROUNDING = 1e-3
"""Of float32 between model space and stored units, as a fraction of the range."""
_DIGITS = 6


@final
class Limits(BaseModel):
    """How far a synthetic case may deviate from the training cohort.

    Attributes:
        foreground: factors on the smallest and the largest fraction of labeled voxels in training; the fraction of a
            case must lie between the two products.
        components: factor on the largest number of connected components in training; not recorded where it is 1.
        label_problems: largest number of ways in which a drawn label map may be unlike those of training; not recorded
            where it is 0.
        beyond_range: how far gray values may leave the training range, as a fraction of its width; not recorded where
            it is what float32 rounding between model space and stored units needs.
        spread: minimum gray-value spread of a channel, relative to the median spread in training.
        noise: largest noise of a channel, relative to the largest in training.
        region_dice: smallest Dice of a region, found by thresholds in a guided image, with the map that it follows.
        lesion_contrast: smallest contrast of a guided lesion, as a share of that in its guidance image; 0 checks none.
        attempts: maximum number of attempts per case.
        missed_attempts: maximum number of attempts per case in which a lesion misses what was requested; each of them
            has drawn the lesion several times.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    foreground: tuple[float, float] = (0.5, 1.5)
    components: float = Field(default=1, ge=1, exclude_if=lambda factor: factor == 1)
    label_problems: int = Field(default=0, ge=0, exclude_if=lambda number: number == 0)
    beyond_range: float = Field(default=ROUNDING, ge=ROUNDING, exclude_if=lambda share: share == ROUNDING)
    spread: float = Field(default=0.25, ge=0)
    noise: float = Field(default=1.5, gt=0)
    region_dice: float = Field(default=0.5, ge=0, le=1)
    lesion_contrast: float = Field(default=0.25, ge=0)
    attempts: int = Field(default=50, ge=1, le=10**6)
    missed_attempts: int = Field(default=4, ge=1, le=10**6)


@final
@dataclass(frozen=True)
class CheckResult:
    """The result of one check of one case.

    Attributes:
        check: name of the check.
        outcome: "not made" if the run stores no statistics to compare with, or the case lacks the checked part.
        value: the measured value.
        low: smallest allowed value; None without a lower limit.
        high: largest allowed value; None without an upper limit.
        reason: why the check was not made.
        about: names of what failed, such as attributes of lesions.
    """

    check: str
    outcome: Outcome
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    about: tuple[str, ...] = ()

    @classmethod
    def of(cls, check: str, value: float, low: float | None = None, high: float | None = None) -> "CheckResult":
        """Compares a measured value with its limits; NaN fails."""
        inside = (low is None or value >= low) and (high is None or value <= high)
        return cls(check, "passed" if inside and value == value else "failed", value, low, high)

    @classmethod
    def skipped(cls, check: str, reason: str) -> "CheckResult":
        """The result of a check that could not be made."""
        return cls(check, "not made", reason=reason)

    def as_json(self) -> dict[str, Any]:
        """The provenance entry; six significant digits, so that rounding differences of processors do not show."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        rounded = {name: float(f"{number:.{_DIGITS}g}") for name, number in numbers.items() if number is not None}
        reason = {"reason": self.reason} if self.reason else {}
        return {"check": self.check, "outcome": self.outcome} | rounded | reason


def only_missed(refused: Mapping[str, int]) -> bool:
    """Whether an attempt was refused for nothing but a lesion that misses what was requested.

    Args:
        refused: check -> 1.
    """
    return set(refused) == {AS_REQUESTED}


def gave_up_on_misses(refused: Mapping[str, int], limits: Limits) -> bool:
    """Whether a case has no attempt left because its lesions miss what was requested.

    Args:
        refused: check -> number of attempts that it refused.
        limits: tolerances of the checks.
    """
    return refused.get(AS_REQUESTED, 0) >= min(limits.attempts, limits.missed_attempts)
