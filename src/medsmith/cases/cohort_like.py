"""Arguments that are a cohort or the folder of one."""

from pathlib import Path

from medsmith.cases.cohort import Cohort
from medsmith.errors import RequestError

CohortLike = Cohort | Path | str
"""A cohort, or the folder of one, which is opened."""


def as_cohort(value: CohortLike) -> Cohort:
    """The cohort, opened if its folder is given.

    Raises:
        RequestError: the value is neither.
        FileError, CohortError, ContentError: the folder cannot be opened.
    """
    if isinstance(value, Cohort):
        return value
    if isinstance(value, Path | str):
        return Cohort.open(value)
    found = f"a {type(value).__name__} ({value!r:.40})"
    raise RequestError("cohort", found, "a Cohort or the path of its folder", "pass one of these")


def folder_of(value: CohortLike) -> Path:
    """The folder of a cohort.

    Raises:
        RequestError: the value is neither a cohort nor a path.
    """
    return Path(value) if isinstance(value, Path | str) else as_cohort(value).root
