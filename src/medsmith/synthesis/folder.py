"""Folder operations of a synthetic cohort: checks before writing, cleaning up, finishing, and its summary."""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from medsmith.cases.cohort import Cohort
from medsmith.cases.layouts import DATASET, IMAGES, LABELS, PROVENANCE, REPORTS, UNFINISHED
from medsmith.errors import CohortError, FileError, SynthesisError
from medsmith.formats.atomic import remove_temporary_files, visible_names, write_bytes
from medsmith.formats.json_file import read_json
from medsmith.synthesis.missed import MISSED, counted, missed_line, read_missed
from medsmith.synthesis.plan import PLAN, read_plan
from medsmith.synthesis.rejected import REJECTED, SHEET, remove_pictures

FAILURES = "failures"
_PARTS = (".", IMAGES, LABELS, REPORTS, PROVENANCE)
_OWN_NAMES = {DATASET, REJECTED, *_PARTS}


@final
@dataclass(frozen=True)
class Summary:
    """Counts of a folder of synthetic cases.

    Attributes:
        out: the folder.
        count: number of its cases.
        made: number of cases made by this call.
        attempts: total attempts over all its cases.
        refused: check -> number of attempts it refused.
    """

    out: Path
    count: int
    made: int
    attempts: int
    refused: Mapping[str, int]

    @property
    def line(self) -> str:
        """The summary in one line."""
        refused = ", ".join(f"{check} {times}" for check, times in sorted(self.refused.items()))
        pictures = (
            f"; pictures of them: {self.out / REJECTED / SHEET}" if (self.out / REJECTED / SHEET).exists() else ""
        )
        made = f"{self.out}: {counted(self.count, 'case')} from {counted(self.attempts, 'attempt')}"
        return f"{made}; refused by {refused or 'no check'}{pictures}"

    def as_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
        counts = {"made": self.made, "attempts": self.attempts, "refused": dict(self.refused)}
        return {"cohort": str(self.out), "cases": self.count, **counts}


def refuse_foreign(out: Path) -> None:
    """Refuse a folder that holds anything but synthetic cases.

    Raises:
        CohortError: the folder holds something else.
    """
    if not out.is_dir() or (out / PLAN).exists():
        return
    names = visible_names(out)
    if not names <= _OWN_NAMES or (DATASET in names and Cohort.open(out).ids):
        limit = "synthetic cases have a folder of their own"
        raise CohortError(out, f"holds something else (no {PLAN})", limit, "choose a new folder")


def clean(out: Path) -> None:
    """Remove leftovers of a killed call, and the logs of cases that will be tried again."""
    remove_temporaries(out)
    shutil.rmtree(out / FAILURES, ignore_errors=True)


def remove_old_pictures(out: Path) -> None:
    """Remove the pictures of a call that made no case; the next may ask for something else."""
    if not finished_ids(out) and not (out / MISSED).exists():
        remove_pictures(out)


def remove_temporaries(out: Path) -> None:
    """Remove half-written files; if the disk refuses even that, the next call removes them."""
    with suppress(OSError):
        for part in _PARTS:
            remove_temporary_files(out / part)


def finished_ids(out: Path) -> set[str]:
    """Ids of the cases with provenance, which is written last."""
    return {path.stem for path in (out / PROVENANCE).glob("*.json")}


def write_failure(out: Path, id: str, log: str) -> None:
    """Save the log of a case that could not be made."""
    write_bytes(out / FAILURES / f"{id}.log", log.encode())


def finish(cohort: Cohort, ids: Sequence[str], failures: Mapping[str, str]) -> None:
    """Discard incomplete cases and leave a valid cohort of the complete ones.

    Raises:
        SynthesisError: a case of ``ids`` is missing, or not made since its lesions missed what was requested.
        CohortError: the folder holds other cases.
    """
    out = cohort.root
    finished, wanted = finished_ids(out), set(ids)
    missed = {id: attributes for id, attributes in read_missed(out).items() if id in wanted}
    unmade = [id for id in ids if id not in finished]
    missing = [id for id in unmade if id not in missed]
    _discard(cohort, unmade)
    if len(unmade) < len(ids):
        cohort.finish()
    counts = missed_line(len(ids) - len(unmade), missed) if missed else ""
    if failures:
        first, untried = min(failures), len(missing) - len(failures)
        and_missed = f"; {counts}" if counts else ""
        rest = f"; {untried} were not tried" if untried else ""
        found = f"{len(failures)} of {len(ids)} cases failed{rest}; {first}: {failures[first]}{and_missed}"
        kept = [f"{name}/" for name in (FAILURES, REJECTED) if (out / name).exists()]
        raise SynthesisError(out, found, cure=f"see {' and '.join([*kept, 'docs/provenance.md'])}, or train longer")
    if missing:
        raise SynthesisError(
            out, f"{len(missing)} of {len(ids)} cases have disappeared", cure="run the same command again"
        )
    if missed:
        raise SynthesisError(out, counts, cure="ask for something else, or keep such lesions: --keep-missed")


def remove_if_empty(cohort: Cohort, ids: Sequence[str]) -> None:
    """Remove plan and empty folders if no case was made, so that they do not block a corrected request.

    The logs of cases that killed their workers stay, and the plan with them; so do the pictures of what was refused.
    A shard stays that says which cases are not made, to be joined with the others.
    """
    out = cohort.root
    if finished_ids(out) or (out / FAILURES).exists() or _is_shard_without_cases(out):
        return
    with suppress(OSError):
        _discard(cohort, ids)
        for name in (MISSED, PLAN, DATASET):
            (out / name).unlink(missing_ok=True)
    for part in _PARTS[1:]:
        with suppress(OSError):  # missing, or not empty
            (out / part).rmdir()


def _is_shard_without_cases(out: Path) -> bool:
    return (out / MISSED).exists() and read_plan(out).shard is not None


def _discard(cohort: Cohort, ids: Iterable[str]) -> None:
    """Remove the files of incomplete cases."""
    out, ending = cohort.root, cohort.file_ending
    for id in ids:
        files = [*(out / IMAGES).glob(f"{id}_????{ending}"), out / LABELS / f"{id}{ending}"]
        for path in (*files, out / REPORTS / f"{id}.json", out / PROVENANCE / f"{id}{UNFINISHED}"):
            path.unlink(missing_ok=True)


def summarize(out: Path, ids: Iterable[str], made: int) -> Summary:
    """Sum the provenance records of all cases."""
    refused: Counter[str] = Counter()
    attempts, cases = 0, tuple(ids)
    for id in cases:
        path = out / PROVENANCE / f"{id}.json"
        record = read_json(path)
        try:
            refused.update(record["refused"])
            attempts += record["attempt"] + 1
        except (KeyError, TypeError, ValueError):
            raise FileError(path, "is damaged", cure="remove it; the same command makes the case again") from None
    return Summary(out, len(cases), made, attempts, dict(refused))
