"""References to cases or cohorts in a request, and their resolution."""

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, final

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from medsmith.cases.case import Case, Kind
from medsmith.cases.cohort import Cohort
from medsmith.cases.integrity import first_of
from medsmith.errors import RequestError


def _is_path(path: Path) -> Path:
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        raise ValueError("is no path: it holds half a character") from None
    try:
        encoded.decode()
    except UnicodeDecodeError:
        raise ValueError(f"is no path that can be recorded: {path.name!a} is no UTF-8; rename it") from None
    if b"\0" in encoded:
        raise ValueError("is no path: it holds a null character")
    return path


InputPath = Annotated[Path, AfterValidator(_is_path)]
"""A path in a request that the file system can have."""


@final
class CaseRef(BaseModel):
    """A reference to a case; a bare path refers to any case of that cohort.

    It may occur at any depth of a request. Synthesis finds it, hashes its target, and keeps the path out of the
    provenance.

    Attributes:
        cohort: folder of the cohort.
        case: id of the case; None leaves the choice to the seed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cohort: InputPath
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


def open_cohort(ref: CaseRef) -> Cohort:
    """Opens the cohort of a reference, once per process.

    Raises:
        FileError, CohortError, ContentError: it cannot be opened.
    """
    return _open_folder(ref.cohort)


@lru_cache(maxsize=16)
def _open_folder(folder: Path) -> Cohort:
    return Cohort.open(folder)


def candidate_ids(ref: CaseRef, *needs: Kind) -> tuple[str, ...]:
    """The ids a reference may resolve to: the case it names, or all cases that have what is needed.

    Args:
        ref: the reference.
        needs: what a case must have; others are passed over.

    Raises:
        RequestError: there is no such case, or none that has what is needed.
        FileError, CohortError, ContentError: the cohort cannot be opened.
    """
    cohort = open_cohort(ref)
    if not len(cohort):
        raise RequestError(ref.cohort, "has no cases", "at least one", "name a cohort that has some")
    if ref.case is not None and ref.case not in cohort:
        raise RequestError(ref.cohort, f"no case '{ref.case}'", f"has {first_of(cohort.ids)}", "name one of these")
    complete = ids_with(ref, *needs)
    if not complete or (ref.case is not None and not _has(cohort, ref.case, needs)):
        what = " and ".join(needs)
        fact = f"no case has {what}" if ref.case is None else f"case '{ref.case}' does not have {what}"
        raise RequestError(ref.cohort, fact, "needed here", "name another case or cohort")
    return complete if ref.case is None else (ref.case,)


def ids_with(ref: CaseRef, *needs: Kind) -> tuple[str, ...]:
    """The ids of all cases of a reference's cohort that have what is needed, found once per process.

    Raises:
        FileError, CohortError, ContentError: the cohort cannot be opened.
    """
    return _ids_with(ref.cohort, needs)


def _has(cohort: Cohort, case_id: str, needs: tuple[Kind, ...]) -> bool:
    files = cohort.files(case_id)
    return all(files.channels if need == "image" else files.label_paths for need in needs)


@lru_cache(maxsize=64)
def _ids_with(folder: Path, needs: tuple[Kind, ...]) -> tuple[str, ...]:
    cohort = _open_folder(folder)
    sets = [set(cohort.ids_with_image if need == "image" else cohort.ids_with_labels) for need in needs]
    return tuple(id for id in cohort.ids if all(id in each for each in sets))


def load_cases(ref: CaseRef, index: int, *needs: Kind) -> Iterator[Case]:
    """Loads the cases that a reference may resolve to, beginning with that of ``load_case``.

    Args:
        ref: the reference.
        index: see ``load_case``.
        needs: what a case must have; others are passed over.

    Raises:
        RequestError: there is no such case, or none that has what is needed.
        MedsmithError: the cohort or a case cannot be read.
    """
    for offset in range(len(candidate_ids(ref, *needs))):
        yield load_case(ref, index + offset, *needs)


def load_case(ref: CaseRef, index: int, *needs: Kind) -> Case:
    """Loads the case that a reference names, or else the case at an index, modulo the number of cases.

    Args:
        ref: the reference.
        index: counts the cases that have what is needed.
        needs: what a case must have; others are passed over.

    Raises:
        RequestError: there is no such case, or none that has what is needed.
        MedsmithError: the cohort or the case cannot be read.
    """
    ids = candidate_ids(ref, *needs)
    return open_cohort(ref)[ids[index % len(ids)]]
