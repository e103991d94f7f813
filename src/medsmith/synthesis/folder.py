"""A folder of synthetic cases as a whole: who may use it, what it holds, how it is closed."""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import final

from medsmith.cases.cohort import Cohort
from medsmith.cases.layouts import DATASET, IMAGES, LABELS, PROVENANCE, REPORTS, UNFINISHED
from medsmith.errors import CohortError, SynthesisError
from medsmith.formats.atomic import remove_temporary_files, write_bytes
from medsmith.formats.json_file import read_json
from medsmith.synthesis.lock import LOCK
from medsmith.synthesis.plan import PLAN

FAILURES = "failures"
_PARTS = (".", IMAGES, LABELS, REPORTS, PROVENANCE)
_OURS = {LOCK, DATASET, *_PARTS}


@final
@dataclass(frozen=True)
class Summary:
    """What a folder of synthetic cases holds.

    Attributes:
        out: the folder.
        count: its cases.
        made: how many of them this call made.
        draws: draws behind all its cases.
        refused: check -> draws that it refused.
    """

    out: Path
    count: int
    made: int
    draws: int
    refused: Mapping[str, int]

    @property
    def line(self) -> str:
        """The summary in one line."""
        refused = ", ".join(f"{check} {times}" for check, times in sorted(self.refused.items()))
        return f"{self.out}: {self.count} cases from {self.draws} draws; refused by {refused or 'no check'}"


def refuse_foreign(out: Path) -> None:
    """Synthetic cases get a folder of their own.

    Raises:
        CohortError: the folder holds anything else.
    """
    if not out.is_dir() or (out / PLAN).exists():
        return
    names = {path.name for path in out.iterdir()}
    if not names <= _OURS or (DATASET in names and Cohort.open(out).ids):
        limit = "synthetic cases have a folder of their own"
        raise CohortError(out, f"holds something else (no {PLAN})", limit, "choose a new folder")


def sweep(out: Path) -> None:
    """Remove what an earlier call left that was killed, and the logs of cases that will be tried again."""
    remove_temporaries(out)
    shutil.rmtree(out / FAILURES, ignore_errors=True)


def remove_temporaries(out: Path) -> None:
    """Remove half-written files; where the disk refuses even that, the next start will."""
    with suppress(OSError):
        for part in _PARTS:
            remove_temporary_files(out / part)


def finished_ids(out: Path) -> set[str]:
    """Cases that have their provenance, which is written last."""
    return {path.stem for path in (out / PROVENANCE).glob("*.json")}


def write_failure(out: Path, id: str, log: str) -> None:
    """Keep the log of a case that could not be made."""
    write_bytes(out / FAILURES / f"{id}.log", log.encode())


def close(cohort: Cohort, ids: Sequence[str], failures: Mapping[str, str]) -> None:
    """Leave a valid cohort of all cases that are whole.

    Raises:
        SynthesisError: it does not hold all of ``ids``.
        CohortError: it holds others.
    """
    out = cohort.root
    absent = [id for id in ids if id not in finished_ids(out)]
    _discard(cohort, absent)
    if len(absent) < len(ids):
        cohort.finish()
    if failures:
        first = min(failures)
        found = f"{len(absent)} of {len(ids)} cases could not be made; {first}: {failures[first]}"
        raise SynthesisError(out, found, cure=f"see {FAILURES}/ and docs/provenance.md, or train longer")
    if absent:
        raise SynthesisError(out, f"{len(absent)} of {len(ids)} cases have vanished", cure="run the same command again")


def forget_if_empty(cohort: Cohort, ids: Sequence[str]) -> None:
    """Take back the beginnings of a folder that no case came of: a plan must not stand in the way of a better one.

    The logs of cases that ended their workers stay, and the plan with them.
    """
    out = cohort.root
    if finished_ids(out) or (out / FAILURES).exists():
        return
    with suppress(OSError):
        _discard(cohort, ids)
        for name in (PLAN, DATASET):
            (out / name).unlink(missing_ok=True)
    for part in _PARTS[1:]:
        with suppress(OSError):  # missing, or something else lies there
            (out / part).rmdir()


def _discard(cohort: Cohort, ids: Iterable[str]) -> None:
    """Remove what was written of cases that are not whole."""
    out, ending = cohort.root, cohort.file_ending
    for id in ids:
        files = [*(out / IMAGES).glob(f"{id}_????{ending}"), out / LABELS / f"{id}{ending}"]
        for path in (*files, out / REPORTS / f"{id}.json", out / PROVENANCE / f"{id}{UNFINISHED}"):
            path.unlink(missing_ok=True)


def summarise(out: Path, ids: Iterable[str], made: int) -> Summary:
    """Add up the provenance of all cases."""
    records = [read_json(out / PROVENANCE / f"{id}.json") for id in ids]
    refused: Counter[str] = Counter()
    for record in records:
        refused.update(record["refused"])
    return Summary(out, len(records), made, sum(record["attempt"] + 1 for record in records), dict(refused))
