"""A distance with all that it depends on, so that only like can be put beside like."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from medsmith.errors import RequestError
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.comparison import Comparison


@final
@dataclass(frozen=True)
class MeasuredDistance:
    """A statistic of one extractor's features of two cohorts.

    Comparisons (<, >) and differences of distances that were not measured alike raise a RequestError.

    Attributes:
        statistic: such as "KID".
        extractor: its name.
        identity: SHA-256 of its weights, or version of its definition.
        preprocessing: grid and gray range.
        compared: value, floor, excess and their intervals.
    """

    statistic: str
    extractor: str
    identity: str
    preprocessing: str
    compared: Comparison

    @property
    def n(self) -> int:
        """Number of cases per sample."""
        return self.compared.synthetic.n

    @property
    def value(self) -> Estimate:
        """Real against synthetic."""
        return self.compared.synthetic

    def __lt__(self, other: "MeasuredDistance") -> bool:
        check_alike(self, other)
        return self.value.value < other.value.value

    def __gt__(self, other: "MeasuredDistance") -> bool:
        return other < self

    def __sub__(self, other: "MeasuredDistance") -> float:
        check_alike(self, other)
        return self.value.value - other.value.value

    def as_json(self) -> Mapping[str, object]:
        """The distance as JSON values."""
        return {
            "statistic": self.statistic,
            "extractor": self.extractor,
            "identity": self.identity,
            "preprocessing": self.preprocessing,
            "n": self.n,
            **self.compared.as_json(),
        }


def check_alike(first: MeasuredDistance, *others: MeasuredDistance) -> None:
    """Whether distances may be put side by side.

    Args:
        first: a distance.
        others: to be put beside it.

    Raises:
        RequestError: another statistic, extractor, preprocessing or number of cases.
    """
    for other in others:
        for what in ("statistic", "extractor", "identity", "preprocessing", "n"):
            mine, theirs = getattr(first, what), getattr(other, what)
            if mine != theirs:
                limit = "only distances of equal statistic, extractor, preprocessing and n can be compared"
                raise RequestError("distances", f"{what} {mine!r} and {theirs!r}", limit, "measure both alike")
