"""Numerical results of the measure of adherence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from medsmith.evaluation.adherence.pairs import Pairs
from medsmith.evaluation.adherence.statistics import AttributeResult
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.pages.page import WARNING
from medsmith.methods.attributes import Attribute


@final
@dataclass(frozen=True, eq=False)
class MeasuredAttribute:
    """One attribute with its pairs and their statistics.

    Attributes:
        attribute: what was asked for.
        pairs: what was made.
        result: the statistics.
    """

    attribute: Attribute
    pairs: Pairs
    result: AttributeResult

    def as_json(self) -> Mapping[str, object]:
        """The attribute as JSON values."""
        draws = zip(self.pairs.of, self.pairs.values.tolist(), strict=True)
        return {
            "levels": list(self.attribute.levels),
            "measured": self.attribute.measured,
            "enforced": self.attribute.enforced,
            **self.result.as_json(),
            "draws_without_place": self.pairs.refused,
            "draws_not_measured": self.pairs.unmeasured,
            "values": [{"of": of, "values": values} for of, values in draws],
        }


@final
@dataclass(frozen=True, eq=False)
class LabelFidelity:
    """Agreement of an independent segmenter with the label maps of the cases.

    Attributes:
        structures: name -> Dice with the case's own map against that with another case's map.
        real: name -> Dice on the real test cases.
        cases: that were made.
        pictures: PNG of the first cases, with their own map and with what the segmenter found.
        notes: one sentence each, on what was left out.
    """

    structures: Mapping[str, AttributeResult]
    real: Mapping[str, Estimate]
    cases: int
    pictures: tuple[bytes, ...]
    notes: tuple[str, ...]

    def as_json(self) -> Mapping[str, object]:
        """The results as JSON values."""
        return {
            "cases": self.cases,
            "levels": ["another case's map", "its own map"],
            "structures": {
                name: {**result.as_json(), "dice_on_real_test_cases": self.real[name].as_json()}
                for name, result in self.structures.items()
            },
            "notes": list(self.notes),
        }


@final
@dataclass(frozen=True, eq=False)
class Adherence:
    """Whether the cases of a method, or of a cohort, are what was asked for.

    Attributes:
        method: its name; None for a cohort that was there already.
        attributes: measured ones.
        labels: None where it was not measured.
        facts: hashes, counts, versions.
        left_out: one sentence on each part that was not measured.
    """

    method: str | None
    attributes: tuple[MeasuredAttribute, ...]
    labels: LabelFidelity | None
    facts: Mapping[str, str]
    left_out: tuple[str, ...] = ()

    def as_json(self) -> Mapping[str, object]:
        """All results as JSON values."""
        return {
            "warning": WARNING,
            "method": self.method,
            "facts": dict(self.facts),
            "attributes": {each.attribute.name: each.as_json() for each in self.attributes},
            "label_fidelity": None if self.labels is None else self.labels.as_json(),
            "left_out": list(self.left_out),
        }
