"""How a request names a case, or a whole cohort; and the cases behind such a name."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, final

from pydantic import BaseModel, ConfigDict, model_validator

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cases.integrity import first_of
from medsmith.errors import RequestError


@final
class CaseRef(BaseModel):
    """A case of a cohort; a bare path stands for any case of the cohort there.

    It may stand at any depth of a request. Synthesis finds it, hashes what it names, and keeps the path out of the
    provenance.

    Attributes:
        cohort: folder of the cohort.
        case: id of the case; None leaves the choice to the seed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cohort: Path
    case: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: Any) -> Any:
        if isinstance(value, str | Path):
            return {"cohort": value}
        if isinstance(value, Mapping):
            if "case" in value and value.get("cohort") is None:
                raise ValueError(f"case '{value['case']}' of no cohort; name the cohort as well")
        elif not isinstance(value, CaseRef):
            raise ValueError(f"{value!r} is neither a cohort's folder nor an object of cohort and case")
        return value


def opened(ref: CaseRef) -> Cohort:
    """The cohort of a reference, opened once per process.

    Raises:
        FileError, CohortError, ContentError: it cannot be opened.
    """
    return _opened(ref.cohort)


@lru_cache(maxsize=16)
def _opened(folder: Path) -> Cohort:
    return Cohort.open(folder)


def ids_of(ref: CaseRef) -> tuple[str, ...]:
    """Ids of the cases that a reference may stand for: the one that it names, or all.

    Raises:
        RequestError: there is no such case, or no case at all.
        FileError, CohortError, ContentError: the cohort cannot be opened.
    """
    cohort = opened(ref)
    if not len(cohort):
        raise RequestError(ref.cohort, "has no cases", "at least one", "name a cohort that has some")
    if ref.case is None:
        return cohort.ids
    if ref.case not in cohort:
        raise RequestError(ref.cohort, f"no case '{ref.case}'", f"has {first_of(cohort.ids)}", "name one of these")
    return (ref.case,)


def case_of(ref: CaseRef, lot: int) -> Case:
    """The case that a reference names, or the one that falls to a lot.

    Raises:
        RequestError: there is no such case, or no case at all.
        MedsmithError: the cohort or the case cannot be read.
    """
    ids = ids_of(ref)
    return opened(ref)[ids[lot % len(ids)]]
