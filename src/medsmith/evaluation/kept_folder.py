"""What tells finished parts of a report from those of other cohorts."""

import hashlib
import json
from collections.abc import Iterable, Mapping

from medsmith.cases.cohort import Cohort

_DIGITS = 16


def folder_key(facts: Mapping[str, str], cohorts: Iterable[Cohort]) -> str:
    """Name of the folder of parts that these facts decide: parts of others lie elsewhere.

    Args:
        facts: they name the content of the cohorts' files.
        cohorts: whose names of labels and channels, which that content lacks, decide the parts too.
    """
    names = list(map(_names, cohorts))
    return hashlib.sha256(json.dumps([dict(facts), names], sort_keys=True).encode()).hexdigest()[:_DIGITS]


def names_line(cohort: Cohort) -> str:
    """Names and values of its labels and names of its channels, which the content of its files lacks."""
    return json.dumps(_names(cohort), sort_keys=True)


def _names(cohort: Cohort) -> list[object]:
    return [dict(cohort.label_names), list(cohort.channel_names)]
