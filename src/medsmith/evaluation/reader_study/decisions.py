"""Right and wrong calls of a reader: the paper's Table 1, with exact intervals, skill and bias."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from scipy import stats

from medsmith.evaluation.fidelity.bootstrap import LEVEL, Estimate
from medsmith.evaluation.reader_study.plan import Mode


@final
@dataclass(frozen=True)
class Decisions:
    """Counts of a reader's calls. The signal is the synthetic image; of a pair, the synthetic image on the right.

    Attributes:
        hits: signals called so.
        signals: signals shown.
        false_alarms: others called a signal.
        others: others shown.
        mode: whether one image at a time was shown or a pair.
    """

    hits: int
    signals: int
    false_alarms: int
    others: int
    mode: Mode

    @property
    def correct(self) -> int:
        """Right calls."""
        return self.hits + self.others - self.false_alarms

    @property
    def accuracy(self) -> Estimate:
        """Share of right calls."""
        return exact_share(self.correct, self.signals + self.others)

    @property
    def real_called_synthetic(self) -> Estimate:
        """False alarms over real images: "real -> fake" of the paper."""
        return exact_share(self.false_alarms, self.others)

    @property
    def synthetic_called_real(self) -> Estimate:
        """Misses over synthetic images: "fake -> real" of the paper."""
        return exact_share(self.signals - self.hits, self.signals)

    @property
    def sensitivity(self) -> float:
        """d', the skill: z(hit rate) - z(false-alarm rate), 0 for guessing (see ``_z_scores``).

        Of pairs, a forced choice of two, it is smaller by the root of two (Macmillan and Creelman 2005, chapter 7).
        """
        hit, alarm = self._z_scores()
        return (hit - alarm) / (2**0.5 if self.mode is Mode.PAIRS else 1.0)

    @property
    def criterion(self) -> float:
        """c, the bias: -(z(hit rate) + z(false-alarm rate)) / 2, positive for a reader who seldom says synthetic."""
        hit, alarm = self._z_scores()
        return -(hit + alarm) / 2

    def _z_scores(self) -> tuple[float, float]:
        """With the log-linear correction (Hautus 1995): half a case added to every count, so that no rate is 0 or 1."""
        hit = (self.hits + 0.5) / (self.signals + 1)
        alarm = (self.false_alarms + 0.5) / (self.others + 1)
        return float(stats.norm.ppf(hit)), float(stats.norm.ppf(alarm))

    def as_json(self) -> Mapping[str, Any]:
        """The counts and what follows from them as JSON values."""
        return {
            "accuracy": self.accuracy.as_json(),
            "criterion": self.criterion,
            "sensitivity": self.sensitivity,
            "counts": {
                "hits": self.hits,
                "signals": self.signals,
                "false_alarms": self.false_alarms,
                "others": self.others,
            },
        }


def exact_share(count: int, of: int) -> Estimate:
    """A share with its exact 95 % interval (Clopper and Pearson 1934)."""
    interval = stats.binomtest(count, of).proportion_ci(LEVEL, method="exact")
    return Estimate(count / of, float(interval.low), float(interval.high), of, "Clopper-Pearson")
