"""What the answers of one reader say."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float64

from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.reader_study.agreement import cohen_kappa
from medsmith.evaluation.reader_study.auc import Placements, auc_estimate
from medsmith.evaluation.reader_study.decisions import Decisions, exact_share
from medsmith.evaluation.reader_study.key import StudyKey
from medsmith.evaluation.reader_study.observer import roc_points
from medsmith.evaluation.reader_study.plan import SYNTHETIC
from medsmith.evaluation.reader_study.results import Answer, Reading

SIGNALS = (SYNTHETIC, "right")
_RIGHT = "right"


@final
@dataclass(frozen=True)
class Consistency:
    """Agreement of a reader with himself over the repeated trials.

    Attributes:
        same: share of repeats with the same call.
        kappa: Cohen's kappa of the calls; None where it is not defined.
        weighted_kappa: of the ratings, with quadratic weights; None likewise.
    """

    same: Estimate
    kappa: float | None
    weighted_kappa: float | None

    def as_json(self) -> Mapping[str, Any]:
        """The agreement as JSON values."""
        return {"same_call": self.same.as_json(), "kappa": self.kappa, "weighted_kappa": self.weighted_kappa}


@final
@dataclass(frozen=True, eq=False)
class ReaderScore:
    """The score of one reader over first showings.

    Attributes:
        name: the reader's.
        experience: as entered.
        decisions: right and wrong calls.
        auc: from the ratings; None where only one kind was read.
        roc: false and true positive rates.
        consistency: over repeats; None without any.
        seconds: median time per image.
        windows: share of the time in each display window.
        answered: trials answered, repeats included.
        trials: trials of the study.
    """

    name: str
    experience: str
    decisions: Decisions
    auc: Estimate | None
    roc: tuple[tuple[float, float], ...]
    consistency: Consistency | None
    seconds: float
    windows: Mapping[str, float]
    answered: int
    trials: int

    def as_json(self) -> Mapping[str, Any]:
        """The score as JSON values."""
        return {
            **self.decisions.as_json(),
            "reader": self.name,
            "experience": self.experience,
            "auc": self.auc.as_json() if self.auc else None,
            "roc": self.roc,
            "repeats": self.consistency.as_json() if self.consistency else None,
            "median_seconds": self.seconds,
            "share_of_time_by_window": self.windows,
            "trials_answered": self.answered,
            "trials": self.trials,
        }


@final
@dataclass(frozen=True, eq=False)
class FirstShowings:
    """Answers to first showings, in the order of the trials.

    Attributes:
        trials: index of each trial.
        signal: whether the image is synthetic; of a pair, whether the synthetic one is on the right.
        called: whether it was called so.
        ratings: higher for more certainly a signal.
        patients: see ``StudyKey.patients``; n x 1, of pairs n x 2.
    """

    trials: np.ndarray
    signal: np.ndarray
    called: np.ndarray
    ratings: Float64[np.ndarray, " n"]
    patients: np.ndarray

    @property
    def placements(self) -> Placements | None:
        """Components of the AUC; None where only one kind was read."""
        return self.placed(self.ratings) if 0 < self.signal.sum() < len(self.signal) else None

    def placed(self, ratings: Float64[np.ndarray, " n"]) -> Placements:
        """Components of the AUC of other ratings of the same trials; of pairs, which are no clusters, independent."""
        real, synthetic = ratings[~self.signal], ratings[self.signal]
        if self.patients.shape[1] > 1:
            return Placements.of(real, synthetic)
        owners = self.patients[:, 0]
        return Placements.of(real, synthetic, owners[~self.signal], owners[self.signal])

    def within(self, trials: Iterable[int]) -> "FirstShowings":
        """Those of some trials."""
        inside = np.isin(self.trials, sorted(trials))
        parts = (self.trials, self.signal, self.called, self.ratings, self.patients)
        return FirstShowings(*(part[inside] for part in parts))


def first_showings(reading: Reading, key: StudyKey) -> FirstShowings:
    """The answers that count; repeats serve only the agreement."""
    repeat_of, patients = key.repeat_of, key.patients
    answers = [answer for answer in reading.answers if repeat_of[answer.trial] is None]
    return FirstShowings(
        np.array([answer.trial for answer in answers]),
        np.array([key.answers[answer.trial] in SIGNALS for answer in answers]),
        np.array([answer.call in SIGNALS for answer in answers]),
        np.array([float(answer.rating) for answer in answers]),
        np.array([patients[answer.trial] for answer in answers], str),
    )


def score_reader(reading: Reading, key: StudyKey) -> ReaderScore:
    """Scores one reader."""
    first = first_showings(reading, key)
    decisions = Decisions(
        hits=int((first.called & first.signal).sum()),
        signals=int(first.signal.sum()),
        false_alarms=int((first.called & ~first.signal).sum()),
        others=int((~first.signal).sum()),
        mode=key.mode,
    )
    placements = first.placements
    return ReaderScore(
        name=_printable(reading.reader.name),
        experience=_printable(reading.reader.experience),
        decisions=decisions,
        auc=auc_estimate(placements) if placements else None,
        roc=roc_points(first.ratings[~first.signal], first.ratings[first.signal]) if placements else (),
        consistency=_consistency(reading.answers, key),
        seconds=float(np.median([answer.milliseconds for answer in reading.answers])) / 1000,
        windows=_shares(reading.answers),
        answered=len(reading.answers),
        trials=len(key.answers),
    )


def _printable(text: str) -> str:
    """Text that can be printed on a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _consistency(answers: Sequence[Answer], key: StudyKey) -> Consistency | None:
    pairs = [(answers[first], answer) for answer in answers if (first := key.repeat_of[answer.trial]) is not None]
    if not pairs:
        return None
    calls, ratings = (np.array([[read(a) for a in pair] for pair in pairs]).T for read in (_call, _rating))
    # A repeated pair of images has changed sides.
    if pairs[0][0].call in ("left", _RIGHT):
        calls[1], ratings[1] = 1 - calls[1], 5 - ratings[1]
    return Consistency(
        exact_share(int((calls[0] == calls[1]).sum()), len(pairs)),
        cohen_kappa(calls[0], calls[1]),
        cohen_kappa(ratings[0], ratings[1], weights="quadratic"),
    )


def _call(answer: Answer) -> int:
    return int(answer.call in SIGNALS)


def _rating(answer: Answer) -> int:
    return answer.rating


def _shares(answers: Sequence[Answer]) -> Mapping[str, float]:
    total: dict[str, int] = {}
    for answer in answers:
        for name, milliseconds in answer.windows.items():
            total[name] = total.get(name, 0) + milliseconds
    whole = max(sum(total.values()), 1)
    return {name: time / whole for name, time in sorted(total.items())}
