"""What stands in the place of a measurement that cannot be made of some cohorts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from medsmith.cases.cohort import Cohort


@final
@dataclass(frozen=True)
class NotMeasured:
    """A measurement that was not made.

    Attributes:
        reason: why not.
    """

    reason: str

    def as_json(self) -> Mapping[str, str]:
        """The reason as JSON values."""
        return {"not_measured": self.reason}


def no_networks(cohorts: Mapping[str, Cohort]) -> NotMeasured | None:
    """The first cohort that has cases without image or labels; None where segmentation networks can learn from all.

    Args:
        cohorts: by the words of the sentence.
    """
    for name, cohort in cohorts.items():
        for what, having in (("image", cohort.ids_with_image), ("labels", cohort.ids_with_labels)):
            if len(having) < len(cohort):
                lacking = f"{len(cohort) - len(having)} of {len(cohort)} {name} cases have no {what}"
                return NotMeasured(f"segmentation networks need image and labels of every case, and {lacking}")
    return None
