"""Splits a cohort into training and test cohorts that share no case, or no patient."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort, folder_of
from medsmith.cases.integrity import first_of
from medsmith.errors import RequestError, counted
from medsmith.formats.folders import check_disjoint_folders
from medsmith.preparation.provenance_fields import lost_lines
from medsmith.preparation.recorded import check_ids, write_subset
from medsmith.progress import NullProgress, Progress, silent

RECORD = "split.json"
EVALUATED, CALIBRATED = 8, 19
"""Fewest real cases that ``evaluate`` takes, and held-out ones for thresholds of ``privacy``."""


def split(
    source: CohortLike,
    train: Path | str,
    test: Path | str,
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
    group: str | None = None,
    scenes: Mapping[str, int] | None = None,
    patients: Collection[str] | None = None,
    report: Callable[[str], None] = silent,
    progress: Progress | None = None,
) -> tuple[Cohort, Cohort]:
    """Writes two cohorts; the seed decides which group goes where.

    Groups are visited in the order of a hash of seed and name. A group joins the test set if that brings the set closer
    to its fraction, so the listing order does not matter and a large group does not overfill it.

    Args:
        source: a cohort.
        train: a new folder, or the one started by an identical call.
        test: the same.
        test_fraction: fraction of the cases that go to ``test``, between 0 and 1.
        seed: seed of the group order.
        group: regular expression searched in each id; its first group (or the whole match) names the patient.
            None makes each case its own group.
        scenes: id -> scene, such as that of ``scenes_of``: patients that share a scene are one group.
        patients: the patients of the test set, which ``group`` names; replaces fraction and seed.
        report: receives one line per cohort, and one that says what the test cases are too few for.
        progress: of writing each cohort.

    Returns:
        The cohorts ``train`` and ``test``.

    Raises:
        RequestError: fraction or expression is invalid, there is no such patient, patients of both sets share a scene,
            or one of the sets would be empty.
        CohortError: a folder holds something else.
    """
    check_disjoint_folders((folder_of(source), Path(train), Path(test)))
    cohort = as_cohort(source)
    check_ids(cohort.ids)
    groups = linked_groups(patient_groups(cohort.ids, group), scenes or {})
    if patients is None:
        ids = _drawn(groups, test_fraction, seed)
    else:
        ids = _listed(patient_groups(cohort.ids, group), groups, patients)
    sides = {"train": [i for i in cohort.ids if i not in ids], "test": sorted(ids)}
    drawn = {"test_fraction": test_fraction, "seed": seed} if patients is None else {"patients": sorted(patients)}
    rule = drawn | {"group": group, "source": cohort.content_hash()} | ({"scenes": dict(scenes)} if scenes else {})
    written = []
    for (side, members), out in zip(sides.items(), (Path(train), Path(test)), strict=True):
        record, lost = rule | {"side": side, "ids": members}, list[str]()
        written.append(write_subset(cohort, members, out, RECORD, record, lost, progress or NullProgress()))
        for line in (f"{side}: {_held(members, groups)} -> {out}", *lost_lines(lost)):
            report(line)
    more = "a larger --test-fraction gives more" if patients is None else "more --patients give more"
    for line in _few(len(sides["test"]), more):
        report(line)
    return written[0], written[1]


def _few(count: int, more: str) -> tuple[str, ...]:
    """What the test cases are too few for."""
    thresholds = f"for the thresholds of privacy ({CALIBRATED} held-out cases, for 5 % of false alarms)"
    if count < EVALUATED:
        return (f"{counted(count, 'test case')}: too few for evaluate (at least {EVALUATED}) and {thresholds}; {more}",)
    if count < CALIBRATED:
        return (f"{count} test cases: enough for evaluate (at least {EVALUATED}), too few {thresholds}; {more}",)
    return ()


def _held(ids: Sequence[str], groups: Mapping[str, list[str]]) -> str:
    """How many cases and groups there are of some."""
    count = sum(not set(ids).isdisjoint(group_ids) for group_ids in groups.values())
    groups_of = f" in {counted(count, 'group')}" if count < len(ids) else ", each a group of its own"
    return f"{counted(len(ids), 'case')}{groups_of}"


def held_out_ids(ids: tuple[str, ...], test_fraction: float, seed: int, group: str | None) -> frozenset[str]:
    """The ids of the test set (see ``split``)."""
    return _drawn(patient_groups(ids, group), test_fraction, seed)


def _drawn(groups: Mapping[str, list[str]], test_fraction: float, seed: int) -> frozenset[str]:
    total = sum(map(len, groups.values()))
    if not 0 < test_fraction < 1:
        raise RequestError("--test-fraction", f"{test_fraction:g}", "between 0 and 1", "for example 0.2")
    chosen: list[str] = []
    wanted = max(1.0, test_fraction * total)
    for name in sorted(groups, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest()):
        count = len(chosen) + len(groups[name])
        if count < total and abs(count - wanted) < abs(len(chosen) - wanted):
            chosen += groups[name]
    if not chosen:
        found = f"{counted(total, 'case')} in {counted(len(groups), 'group')} cannot be split at {test_fraction:g}"
        raise RequestError("--test-fraction", found, "each side needs a case", "choose another fraction or group")
    return frozenset(chosen)


def linked_groups(groups: dict[str, list[str]], scenes: Mapping[str, int]) -> dict[str, list[str]]:
    """The groups, those that share a scene joined under the first name.

    Args:
        groups: name -> ids, as of ``patient_groups``.
        scenes: id -> scene.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = sorted(groups)
    rows = [(row, scenes[case_id]) for row, name in enumerate(names) for case_id in groups[name] if case_id in scenes]
    if not rows:
        return groups
    first: dict[int, int] = {}
    links = [(row, first.setdefault(scene, row)) for row, scene in rows]
    graph = coo_array((np.ones(len(links)), tuple(zip(*links, strict=True))), shape=(len(names), len(names)))
    _, parts = connected_components(graph, directed=False)
    joined: dict[int, str] = {}
    found: dict[str, list[str]] = defaultdict(list)
    for name, part in zip(names, parts.tolist(), strict=True):
        found[joined.setdefault(part, name)] += groups[name]
    return found


def _listed(
    of_patient: Mapping[str, list[str]], groups: Mapping[str, list[str]], patients: Collection[str]
) -> frozenset[str]:
    """The cases of the listed patients."""
    unknown = sorted(set(patients) - of_patient.keys())
    if unknown:
        limit = f"the patients are {first_of(sorted(of_patient))}"
        raise RequestError("--patients", f"no patient {first_of(unknown)}", limit, "correct the list, or give --group")
    ids = frozenset(case_id for name in patients for case_id in of_patient[name])
    if not 0 < len(ids) < sum(map(len, of_patient.values())):
        found = f"{len(set(patients))} of {len(of_patient)} patients"
        raise RequestError("--patients", found, "each side needs a case", "list others")
    for members in groups.values():
        if not ids.isdisjoint(members) and not ids.issuperset(members):
            inside, outside = sorted(ids & set(members))[0], sorted(set(members) - ids)[0]
            found = f"{inside} and {outside} are of one scene, and one of them alone is of a listed patient"
            raise RequestError("--patients", found, "no scene is on both sides", "list both patients or none")
    return ids


def patient_groups(ids: tuple[str, ...] | list[str], group: str | None) -> dict[str, list[str]]:
    """Ids by patient.

    Args:
        ids: of the cases.
        group: regular expression searched in each id; its first group (or the whole match) names the patient.
            None makes each case its own patient.

    Raises:
        RequestError: the expression is invalid, does not match every id, or finds an empty name.
    """
    if group is None:
        return {case_id: [case_id] for case_id in ids}
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise RequestError("--group", f"{group!r} is no regular expression ({error})", "", "correct it") from error
    matches = {case_id: pattern.search(case_id) for case_id in ids}
    strange = [case_id for case_id, match in matches.items() if match is None]
    if strange:
        found = f"{group!r} does not match {counted(len(strange), 'id')}: {first_of(strange)}"
        raise RequestError("--group", found, "it names the patient of every case", "widen it")
    named = {case_id: (match.groups() or (match[0],))[0] for case_id, match in matches.items() if match is not None}
    nameless = [case_id for case_id, patient in named.items() if not patient]
    if nameless:
        found = f"{group!r} finds an empty name in {counted(len(nameless), 'id')}: {first_of(nameless)}"
        raise RequestError("--group", found, "it names the patient of every case", "correct it")
    groups: dict[str, list[str]] = defaultdict(list)
    for case_id, patient in named.items():
        groups[patient].append(case_id)
    return groups
