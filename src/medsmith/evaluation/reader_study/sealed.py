"""What a key must hold: a key can be whole and yet not be one that a study was created with."""

from typing import Annotated, Any, Literal, final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from medsmith.evaluation.reader_study.plan import LEAST_MARGIN, MOST_MARGIN, REAL, SYNTHETIC, Mode

_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


@final
class SealedCase(BaseModel):
    """An image of a trial.

    Attributes:
        id: of the case.
        kind: real or synthetic.
        patient: whose it is.
    """

    model_config = _STRICT

    id: str
    kind: Literal["real", "synthetic"]
    patient: str


@final
class SealedTrial(BaseModel):
    """A trial.

    Attributes:
        answer: the right call.
        cases: what is shown.
        repeat_of: index of the trial that this one repeats.
    """

    model_config = _STRICT

    answer: Literal["real", "synthetic", "left", "right"]
    cases: tuple[SealedCase, ...]
    repeat_of: Count | None


@final
class SealedAuc(BaseModel):
    """An area under the ROC curve with its interval.

    Attributes:
        value: the area.
        low: lower end.
        high: upper end.
        n: images.
        interval: its method.
    """

    model_config = _STRICT

    value: Share
    low: Share
    high: Share
    n: Count
    interval: str


@final
class SealedObserver(BaseModel):
    """The naive observer.

    Attributes:
        auc: its area under the ROC curve.
        description: what it is.
        roc: false and true positive rates.
        tested: real and synthetic cases that it was tested on.
        trained: those that it was trained on.
        warning: what its result means.
    """

    model_config = _STRICT

    auc: SealedAuc
    description: str
    roc: Annotated[tuple[tuple[Share, Share], ...], Field(min_length=1)]
    tested: tuple[Count, Count]
    trained: tuple[Count, Count]
    warning: str


@final
class SealedCohort(BaseModel):
    """A cohort of the study.

    Attributes:
        cases: their number.
        content: hash.
    """

    model_config = _STRICT

    cases: Count
    content: str


@final
class Sealed(BaseModel):
    """The sealed content of a key.

    Attributes:
        cohorts: the real and the synthetic one.
        margin: equivalence margin.
        medsmith: version that created the study.
        mode: single or pairs.
        naive_observer: its result.
        presentation: how images were processed.
        seed: of the study.
        trials: in the order shown.
    """

    model_config = _STRICT

    cohorts: dict[Literal["real", "synthetic"], SealedCohort]
    margin: Annotated[float, Field(ge=LEAST_MARGIN, le=MOST_MARGIN)]
    medsmith: str
    mode: Mode
    naive_observer: SealedObserver
    presentation: dict[str, str]
    seed: int
    trials: Annotated[tuple[SealedTrial, ...], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _has_both_cohorts(cls, values: Any) -> Any:
        cohorts = values.get("cohorts") if isinstance(values, dict) else None
        if isinstance(cohorts, dict) and cohorts.keys() != {REAL, SYNTHETIC}:
            raise ValueError(f"cohorts are {', '.join(map(repr, cohorts)) or 'none'}, not {REAL} and {SYNTHETIC}")
        return values

    @model_validator(mode="after")
    def _trials_fit(self) -> "Sealed":
        calls = {"real", "synthetic"} if self.mode is Mode.SINGLE else {"left", "right"}
        kinds = 1 if self.mode is Mode.SINGLE else 2
        for index, trial in enumerate(self.trials):
            if trial.answer not in calls:
                raise ValueError(f"trial {index} of mode {self.mode} has the answer {trial.answer!r}")
            if len(trial.cases) != kinds or len({case.kind for case in trial.cases}) != kinds:
                raise ValueError(f"trial {index} of mode {self.mode} has {len(trial.cases)} cases, not {kinds}")
            first = trial.repeat_of
            if first is not None and (first >= index or self.trials[first].repeat_of is not None):
                raise ValueError(f"trial {index} repeats trial {first}, which is no earlier first showing")
        return self
