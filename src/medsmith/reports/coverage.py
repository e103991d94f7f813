"""Which combinations of attributes the lesions of a cohort have, and reports of those that are missing."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from pydantic import ValidationError

from medsmith.cases.case_io import read_records
from medsmith.cases.cohort import Cohort
from medsmith.cases.nnunet_folder import REPORTS
from medsmith.errors import FileError, RequestError, similar
from medsmith.formats.atomic import write_bytes
from medsmith.formats.validation import first_problem
from medsmith.reports.rules import LESION_TYPES, Combination, combinations, find_type
from medsmith.reports.sampling import sample_report
from medsmith.reports.schema import LesionReport, ScanReport

COUNTED: Final = (
    "enhancement", "shape", "density", "density_variation", "surface", "relationship", "features", "cavity",
)  # fmt: skip
"""Attributes that combinations can be made of, besides the type."""
MOST_WANTED: Final = 10_000
"""Lesions of each combination: their reports are sampled one by one and held in memory."""
Values = tuple[str, ...]


@final
@dataclass(frozen=True)
class Cell:
    """A combination of a type's attributes that the rules allow.

    Attributes:
        lesion_type: of the rules.
        values: attribute -> option, in words; several options are joined by " + ", none is "none".
        count: lesions of the cohort that have it.
        wanted: how many it should have at least.
    """

    lesion_type: str
    values: Mapping[str, str]
    count: int
    wanted: int

    @property
    def missing(self) -> int:
        """How many lesions are missing."""
        return max(0, self.wanted - self.count)

    @property
    def line(self) -> str:
        """The combination and its count on one line."""
        return f"{', '.join((self.lesion_type, *self.values.values()))}: {self.count}"

    def as_json(self) -> Mapping[str, Any]:
        """The combination and its count as JSON values."""
        return {"lesion_type": self.lesion_type, **self.values, "count": self.count, "wanted": self.wanted}


def lesions_of(cohort: Cohort) -> tuple[LesionReport, ...]:
    """The lesions of all reports of a cohort: as measured, with the type that was asked for where the report says it.

    Measures alone fit several types: a lesion that was made as a dense cyst may measure as a cancer does.

    Raises:
        FileError: a report cannot be read, or is none; names the file.
    """
    found: list[LesionReport] = []
    for id in cohort.ids:
        report, _ = read_records(cohort.root, id)
        if report is not None:
            try:
                found += _typed_as_asked(ScanReport.model_validate(report).lesions, report.get("requested", ()))
            except ValidationError as error:
                problem = first_problem(error)
                path = cohort.root / REPORTS / f"{id}.json"
                if "phantom" in report:
                    found_of, limit = "reports its phantom in words of its own", "coverage counts structured reports"
                    cure = f"measure the lesions: run medsmith describe {cohort.root} --replace"
                    raise FileError(path, found_of, limit, cure) from None
                raise FileError(path, problem.found, problem.limit, "see medsmith report schema") from None
    return tuple(found)


def _typed_as_asked(lesions: Sequence[LesionReport], asked: Sequence[Mapping[str, Any]]) -> Iterator[LesionReport]:
    """Lesions with the types of the requests; as they are where a lesion has no request of its own."""
    if len(asked) != len(lesions):
        yield from lesions
        return
    for lesion, request in zip(lesions, asked, strict=True):
        yield lesion.model_copy(update={"lesion_type": request.get("lesion_type") or lesion.lesion_type})


def coverage(
    lesions: Iterable[LesionReport], attributes: Sequence[str], wanted: int, types: Sequence[str] = ()
) -> tuple[Cell, ...]:
    """Every combination that the rules of the types allow, with the number of lesions that have it.

    Args:
        lesions: of a cohort.
        attributes: names out of ``COUNTED``.
        wanted: lesions that each combination should have, 1 to ``MOST_WANTED``.
        types: lesion types; by default those of the lesions that the rules know.

    Raises:
        RequestError: an unknown attribute or type, or no lesion has a known type.
    """
    check_asked(attributes, wanted)
    known = [lesion for lesion in lesions if lesion.lesion_type in LESION_TYPES]
    named = [find_type(name).name for name in types] or sorted({str(lesion.lesion_type) for lesion in known})
    if not named:
        limit, cure = "combinations are those of a type", "name a type by --type; medsmith report types lists them"
        raise RequestError("coverage", "no lesion has a type that the rules know", limit, cure)
    found = Counter((str(lesion.lesion_type), options_of(lesion, attributes)) for lesion in known)
    return tuple(
        Cell(name, dict(zip(attributes, cell, strict=True)), found[name, cell], wanted)
        for name in named
        for cell in dict.fromkeys(options_of(choice, attributes) for choice in combinations(name))
    )


def check_asked(attributes: Sequence[str], wanted: int) -> None:
    """Refuses what ``coverage`` cannot count.

    Raises:
        RequestError: an unknown attribute, or a number below 1 or above ``MOST_WANTED``.
    """
    for name in attributes:
        if name not in COUNTED:
            cure = similar(name, COUNTED, "name some of them")
            raise RequestError("--by", f"no attribute '{name}'", f"there are {', '.join(COUNTED)}", cure)
    if not 1 <= wanted <= MOST_WANTED:
        limit = "at least 1" if wanted < 1 else f"at most {MOST_WANTED:,}"
        raise RequestError("--wanted", f"{wanted}", limit, "correct it")


def count_unplaced(lesions: Iterable[LesionReport], cells: Sequence[Cell]) -> int:
    """Lesions of the types of some combinations that have none of them: they state too little, or break the rules.

    Args:
        lesions: as ``coverage`` counted them.
        cells: all that it found.
    """
    types = {cell.lesion_type for cell in cells}
    return sum(str(lesion.lesion_type) in types for lesion in lesions) - sum(cell.count for cell in cells)


def missing_reports(cells: Iterable[Cell], rng: np.random.Generator) -> Iterator[LesionReport]:
    """As many reports of each combination as lesions of it are missing; the other attributes are sampled.

    Args:
        cells: as ``coverage`` found them.
        rng: source of randomness.
    """
    for cell in cells:
        fixed = {name: _option(name, value) for name, value in cell.values.items()}
        plain = {name: value for name, value in fixed.items() if value != ()}
        for _ in range(cell.missing):
            yield _sampled(cell, plain, fixed, rng)


def _sampled(cell: Cell, plain: Mapping[str, Any], fixed: Mapping[str, Any], rng: np.random.Generator) -> LesionReport:
    """A report of the combination; where it has no features, those that others have are excluded."""
    without: set[str] = set()
    if fixed.get("features") == ():
        without = set(chain.from_iterable(choice.features for choice in combinations(cell.lesion_type)))
    return sample_report(cell.lesion_type, rng, plain, without)


def options_of(source: LesionReport | Combination, attributes: Sequence[str]) -> Values:
    """The options of some attributes in words; several of one are joined by " + "."""
    return tuple(_words(getattr(source, name)) for name in attributes)


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return " + ".join(sorted(map(str, value))) or "none"
    return "not stated" if value is None else str(value)


def _option(name: str, words: str) -> Any:
    """Inverse of ``_words`` for an allowed combination."""
    if name in ("shape", "features"):
        return () if words == "none" else tuple(words.split(" + "))
    return words


def write_reports(path: Path, reports: Iterable[LesionReport]) -> None:
    """Writes one report per line, as ``synthesize --report`` takes them.

    Raises:
        FileError: the file cannot be written.
    """
    lines = [json.dumps({"lesions": [each.model_dump(mode="json", exclude_defaults=True)]}) for each in reports]
    write_bytes(path, "".join(f"{line}\n" for line in lines).encode())
