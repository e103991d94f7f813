"""Keeps the cases of a cohort that pass stated thresholds, and says what is lost by it.

Thresholds keep the easy cases: small lesions and rare types fail more often. So what all rules together leave of every
size and type is part of the result.
"""

import operator
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

import numpy as np
from scipy.stats import fisher_exact

from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort, folder_of
from medsmith.errors import CohortError, RequestError, similar
from medsmith.formats.folders import check_disjoint_folders
from medsmith.preparation.case_measures import FOREGROUND, measures_of, types_of
from medsmith.preparation.provenance_fields import lost_lines
from medsmith.preparation.recorded import check_ids, write_subset
from medsmith.progress import NullProgress, Progress, silent

RECORD = "select.json"
_COMPARE: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
)
_RULE = re.compile(r"\s*([\w.\-]+)\s*(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
_LEVEL = 0.05
_SIZES = ("small", "medium", "large")


@final
@dataclass(frozen=True)
class Rule:
    """A threshold; a case that lacks the measure does not pass.

    Attributes:
        measure: its name.
        sign: ``<=``, ``>=``, ``<`` or ``>``.
        limit: the number compared with.
    """

    measure: str
    sign: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """The rule of a text such as ``not_a_copy<0.8``.

        Raises:
            RequestError: it is none.
        """
        found = _RULE.fullmatch(text)
        if found is None:
            raise RequestError(
                "--rule", f"'{text}'", "MEASURE, one of <= >= < >, NUMBER", "write 'foreground_share>0', say"
            )
        return cls(found[1], found[2], float(found[3]))

    def __str__(self) -> str:
        return f"{self.measure}{self.sign}{self.limit:g}"

    def passes(self, measures: Mapping[str, float]) -> bool:
        """Whether a case with these measures passes."""
        return self.measure in measures and _COMPARE[self.sign](measures[self.measure], self.limit)


@final
@dataclass(frozen=True)
class Kept:
    """How many of a group of cases are kept.

    Attributes:
        group: such as a rule, a size or a type.
        kept: cases that pass.
        cases: all.
    """

    group: str
    kept: int
    cases: int

    @property
    def line(self) -> str:
        """The counts on one line."""
        return f"{self.group}: {self.kept} of {self.cases} ({self.kept / self.cases:.0%})"

    def as_json(self) -> Mapping[str, Any]:
        """The counts as JSON values."""
        return {"group": self.group, "kept": self.kept, "cases": self.cases}


@final
@dataclass(frozen=True, eq=False)
class Selection:
    """What was kept.

    Attributes:
        out: the cohort of the kept cases.
        kept: ids of the cases that pass every rule.
        total: all cases against every rule.
        by_rule: each rule alone.
        by_size: thirds of the cases by their share of labeled voxels; () where too few
            have labels, or all the same share.
        by_type: types of lesions, else labels.
    """

    out: Cohort
    kept: tuple[str, ...]
    total: Kept
    by_rule: tuple[Kept, ...]
    by_size: tuple[Kept, ...]
    by_type: tuple[Kept, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """What is kept, one group a line; at last whether the rules prefer large masks."""
        rules = tuple(f"pass {kept.line}" for kept in self.by_rule)
        groups = tuple(f"kept of {kept.line}" for kept in (*self.by_size, *self.by_type))
        return (self.total.line, *rules, *groups, *self._preference())

    def _preference(self) -> Iterator[str]:
        """Whether one end of the sizes is kept more often than the other, by more than chance explains."""
        if not self.by_size:
            return
        small, large = self.by_size[0], self.by_size[-1]
        p = fisher_exact(np.array([[each.kept, each.cases - each.kept] for each in (small, large)])).pvalue
        if p <= _LEVEL:
            more, less = (
                ("large", "small") if large.kept / large.cases > small.kept / small.cases else ("small", "large")
            )
            yield (
                f"{more} masks are kept more often than {less} ones (Fisher's exact test, p = {p:.2g}): what is kept "
                "stands no longer for the cohort"
            )

    def as_json(self) -> Mapping[str, Any]:
        """The counts and the ids that are kept, as JSON values."""
        groups = {"by_rule": self.by_rule, "by_size": self.by_size, "by_type": self.by_type}
        counts = {name: [kept.as_json() for kept in found] for name, found in groups.items()}
        return {"cohort": str(self.out.root), "ids": list(self.kept), "total": self.total.as_json(), **counts}


def select(
    source: CohortLike,
    out: Path | str,
    rules: Sequence[str],
    *,
    report: Callable[[str], None] = silent,
    progress: Progress | None = None,
) -> Selection:
    """Writes the cases that pass every rule; an identical call continues an interrupted one.

    Args:
        source: a cohort, such as one that ``synthesize`` made.
        out: a new folder, or that of the same call.
        rules: such as ``not_a_copy<0.8`` or ``lesions_as_asked>=1``; the measures are those of ``measures_of``.
        report: receives what provenance of real cases is left out.
        progress: of reading and writing.

    Raises:
        RequestError: no rule, a rule that is none, a measure that no case has, or no case passes.
        CohortError: the cohort has no cases, or the folder holds something else.
        FileError: a case, its provenance or its report is damaged.
    """
    check_disjoint_folders((folder_of(source), Path(out)))
    cohort, chosen, progress = as_cohort(source), [Rule.parse(text) for text in rules], progress or NullProgress()
    if not chosen:
        raise RequestError("--rule", "none is given", "at least one", "write --rule 'foreground_share>0', say")
    if not len(cohort):
        raise CohortError(cohort.root, "has no cases", "at least one", "name a cohort that has some")
    check_ids(cohort.ids)
    measures: dict[str, Mapping[str, float]] = {}
    types: dict[str, tuple[str, ...]] = {}
    with progress.task("measure", len(cohort)) as advance:
        for id in cohort.ids:
            case = cohort.stored(id)
            measures[id], types[id] = measures_of(case, cohort.root), types_of(case)
            advance(1, "")
    _check_known(chosen, measures)
    kept = tuple(id for id in cohort.ids if all(rule.passes(measures[id]) for rule in chosen))
    total = Kept("kept", len(kept), len(cohort))
    by_rule = tuple(Kept(str(rule), sum(map(rule.passes, measures.values())), len(cohort)) for rule in chosen)
    if not kept:
        found = "; ".join(each.line for each in by_rule)
        raise RequestError("--rule", f"no case passes all rules ({found})", "at least one", "loosen a rule")
    record = {"source": cohort.content_hash(), "rules": [str(rule) for rule in chosen], "ids": list(kept)}
    lost: list[str] = []
    written = write_subset(cohort, kept, Path(out), RECORD, record, lost, progress)
    for line in lost_lines(lost):
        report(line)
    return Selection(written, kept, total, by_rule, _by_size(measures, kept), _by_type(types, kept))


def _check_known(rules: Sequence[Rule], measures: Mapping[str, Mapping[str, float]]) -> None:
    known = sorted({name for of_case in measures.values() for name in of_case})
    for rule in rules:
        if rule.measure not in known:
            limit = f"the cases have {', '.join(known)}" if known else "the cases have no measure"
            raise RequestError(
                "--rule", f"no case has '{rule.measure}'", limit, similar(rule.measure, known, "name one of them")
            )


def _by_size(measures: Mapping[str, Mapping[str, float]], kept: Sequence[str]) -> tuple[Kept, ...]:
    """Thirds by the share of labeled voxels; cases of one share lie in one group, the lowest that holds any of them."""
    sizes = {id: of_case[FOREGROUND] for id, of_case in measures.items() if FOREGROUND in of_case}
    if len(sizes) < len(_SIZES):
        return ()
    last = [third[-1] for third in np.array_split(np.sort(list(sizes.values())), len(_SIZES))]
    thirds: list[list[str]] = [[] for _ in last]
    for id, size in sizes.items():
        thirds[int(np.searchsorted(last, size))].append(id)
    groups, chosen = list(filter(None, thirds)), set(kept)
    if len(groups) == 1:
        return ()
    names = (_SIZES[0], *_SIZES[1 : len(groups) - 1], _SIZES[-1])
    found = []
    for name, ids in zip(names, groups, strict=True):
        shares = [sizes[id] for id in ids]
        of_group = f"{name} masks ({min(shares):.2g} to {max(shares):.2g} of the voxels)"
        found.append(Kept(of_group, sum(id in chosen for id in ids), len(ids)))
    return tuple(found)


def _by_type(types: Mapping[str, Sequence[str]], kept: Sequence[str]) -> tuple[Kept, ...]:
    every = Counter(name for of_case in types.values() for name in of_case)
    left = Counter(name for id in kept for name in types[id])
    return tuple(Kept(name, left[name], count) for name, count in sorted(every.items()))
