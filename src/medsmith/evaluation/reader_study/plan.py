"""The design of a reader study, fixed when it is created."""

from dataclasses import dataclass
from enum import StrEnum
from typing import final

from medsmith.errors import RequestError, counted

REAL, SYNTHETIC = "real", "synthetic"
LEAST_COUNT, DEFAULT_COUNT = 5, 100
"""Measured: three readers of 100 images of each kind show equivalence within .10 with 82 % power, of 36 with 22 %."""
DEFAULT_SLICES = 9


class Mode(StrEnum):
    """How images are presented."""

    SINGLE = "single"
    """One image at a time, rated on a five-point scale."""
    PAIRS = "pairs"
    """A real and a synthetic image side by side: two-alternative forced choice."""


LEAST_MARGIN, MOST_MARGIN = 0.001, 0.499
"""Margins around .5; one of .001 takes two million independent decisions."""


def check_margin(margin: float, cure: str) -> None:
    """Check an equivalence margin.

    Raises:
        RequestError: it is out of range.
    """
    if not LEAST_MARGIN <= margin <= MOST_MARGIN:
        raise RequestError("--margin", f"{margin:g}", f"from {LEAST_MARGIN:g} to {MOST_MARGIN:g}", cure)


@final
@dataclass(frozen=True)
class StudyPlan:
    """The design of a reader study.

    Attributes:
        count: real images; None for ``DEFAULT_COUNT``, or as many as both cohorts have.
        synthetic_count: synthetic images; None for as many as real ones.
        seed: decides the images, their order and the pairs, together with the content of the cohorts.
        mode: single images or pairs.
        repeats: share of the trials shown a second time, for the agreement of each reader with himself.
        learning: images of each kind shown first with feedback, and never again.
        margin: equivalence margin around .5, declared before anyone reads.
        windows: display windows of CT as ``windows.parse_windows`` reads them.
        group: regular expression that extracts the patient from a case id; None makes each case its own patient.
            Synthetic cases whose ids it does not match are their own patients.
        channel: name of the channel shown; None for the first.
        slices: consecutive slices of a volume that can be scrolled; None for up to ``DEFAULT_SLICES``.
        size: largest edge of the images shown, pixels; None for 512, or 256 with slices to scroll.

    Raises:
        RequestError: a number out of its range.
    """

    count: int | None = None
    synthetic_count: int | None = None
    seed: int = 0
    mode: Mode = Mode.SINGLE
    repeats: float = 0.1
    learning: int = 0
    margin: float = 0.1
    windows: str = "lung,bone,soft"
    group: str | None = None
    channel: str | None = None
    slices: int | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        for name, count in (("--count", self.count), ("--synthetic-count", self.synthetic_count)):
            if count is not None and count < LEAST_COUNT:
                raise RequestError(name, counted(count, "image"), f"at least {LEAST_COUNT}", "show more")
        if not 0 <= self.repeats <= 1:
            raise RequestError("--repeats", f"{self.repeats:g}", "between 0 and 1", "for example 0.1")
        check_margin(self.margin, "for example 0.1")
        if self.learning < 0 or (self.slices is not None and self.slices < 1):
            raise RequestError("--learning, --slices", "a number below the least", "0 and 1", "raise it")
        if self.mode is Mode.PAIRS and self.synthetic_count not in (None, self.count):
            found = f"{self.count} real and {self.synthetic_count} synthetic images"
            raise RequestError("--synthetic-count", found, "pairs take equal numbers", "leave it out")
