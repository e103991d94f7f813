"""Names of folders that keep finished parts of a report."""

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
    names = [[dict(each.label_names), list(each.channel_names)] for each in cohorts]
    return hashlib.sha256(json.dumps([dict(facts), names], sort_keys=True).encode()).hexdigest()[:_DIGITS]
