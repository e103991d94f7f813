"""Folder operations of a synthetic cohort: checks before writing, cleaning up, finishing, and its summary."""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from medsmith.cases.cohort import Cohort
from medsmith.cases.nnunet_folder import (
    DATASET,
    IMAGES,
    LABELS,
    PROVENANCE,
    REPORTS,
    UNFINISHED,
    names_in,
    nnunet_files,
    recorded_files,
)
from medsmith.errors import CohortError, FileError, SynthesisError, counted
from medsmith.formats.atomic import remove_temporary_files, visible_names, write_bytes
from medsmith.formats.json_file import read_json
from medsmith.runs.log_file import LOG
from medsmith.synthesis.missed import MISSED, Missed, Misses, missed_line, not_made, read_missed
from medsmith.synthesis.plan import PLAN, read_plan
from medsmith.synthesis.rejected import REJECTED, SHEET, remove_pictures
from medsmith.synthesis.tasks import CaseIds, CohortSpec

FAILURES = "failures"
_PARTS = (".", IMAGES, LABELS, REPORTS, PROVENANCE)
_OWN_NAMES = {DATASET, LOG, *_PARTS}


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
        pictures = (
            f"; pictures of them: {self.out / REJECTED / SHEET}" if (self.out / REJECTED / SHEET).exists() else ""
        )
        refused = refused_images(self.attempts - self.count, self.refused)
        return f"{self.out}: {' '.join(filter(None, (counted(self.count, 'case'), refused)))}{pictures}"

    def as_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
        counts = {"made": self.made, "attempts": self.attempts, "refused": dict(self.refused)}
        return {"cohort": str(self.out), "cases": self.count, **counts}


def refused_images(images: int, refused: Mapping[str, int]) -> str:
    """How many images the checks refused, and which did how often; one may be refused by several. Empty for none.

    Args:
        images: that were refused.
        refused: check -> number of images.
    """
    if not images:
        return ""
    by = sorted(refused.items(), key=lambda item: (-item[1], item[0]))
    return f"({counted(images, 'image')} refused: {', '.join(f'{check} {times}' for check, times in by)})"


def refuse_foreign(out: Path) -> None:
    """Refuse a folder that holds anything but synthetic cases.

    Raises:
        CohortError: the folder holds something else.
    """
    if not out.is_dir() or (out / PLAN).exists():
        return
    names = visible_names(out) - {REJECTED}
    if names and (DATASET not in names or not names <= _OWN_NAMES or Cohort.open(out).ids):
        limit = "synthetic cases have a folder of their own"
        raise CohortError(out, f"holds something else (no {PLAN})", limit, "choose a new folder")


def clean(out: Path) -> None:
    """Remove leftovers of a killed call, and the logs of cases that will be tried again."""
    remove_temporaries(out)
    shutil.rmtree(out / FAILURES, ignore_errors=True)


def remove_old_pictures(out: Path) -> None:
    """Remove the pictures of a call that made no case; the next may ask for something else."""
    if not any_finished(out) and not (out / MISSED).exists():
        remove_pictures(out)


def remove_temporaries(out: Path) -> None:
    """Remove half-written files; if the disk refuses even that, the next call removes them."""
    with suppress(OSError):
        for part in (*_PARTS, REJECTED):
            remove_temporary_files(out / part)


def any_finished(out: Path) -> bool:
    """Whether a case has provenance, which is written last."""
    return next(names_in(out / PROVENANCE, ".json"), None) is not None


def count_finished(out: Path) -> int:
    """Number of the cases with provenance."""
    return sum(1 for _ in names_in(out / PROVENANCE, ".json"))


def is_whole(out: Path, spec: CohortSpec, id: str) -> bool:
    """Whether a case has its provenance and every file that it names."""
    record = out / PROVENANCE / f"{id}.json"
    if not record.exists():
        return False
    usual = nnunet_files(out, id, len(spec.channel_names), spec.file_ending).paths
    return all(path.exists() for path in usual) or all((out / name).exists() for name in recorded_files(record))


def write_failure(out: Path, id: str, log: str) -> None:
    """Save the log of a case that could not be made."""
    write_bytes(out / FAILURES / f"{id}.log", log.encode())


def finish(cohort: Cohort, ids: CaseIds, failures: Mapping[str, str]) -> None:
    """Discard incomplete cases and leave a valid cohort of the complete ones.

    Raises:
        SynthesisError: a case of ``ids`` is missing, or not made since its lesions missed what was requested.
        CohortError: the folder holds other cases.
    """
    out = cohort.root
    unmade, missed = _closed(cohort, ids)
    made, missing = len(ids) - unmade, unmade - len(missed)
    if failures:
        raise failed(out, out, len(ids), missing, failures, missed_line(made, missed) if missed else "")
    _check_none_lacks(out, ids, missing)
    if missed:
        raise not_made(out, made, missed)


def finish_copy(cohort: Cohort, ids: CaseIds) -> None:
    """As ``finish``, of copies of finished cases: that some are not made is no news.

    Raises:
        SynthesisError: a case that is made is missing.
        CohortError: the folder holds other cases.
    """
    unmade, missed = _closed(cohort, ids)
    _check_none_lacks(cohort.root, ids, unmade - len(missed))


def _closed(cohort: Cohort, ids: CaseIds) -> tuple[int, Missed]:
    """Number of the cases that are not there, and those of them whose lesions missed what was requested."""
    out, recorded = cohort.root, read_missed(cohort.root)
    unmade, missed = 0, dict[str, Misses]()
    for id in ids:
        if not (out / PROVENANCE / f"{id}.json").exists():
            unmade += 1
            discard(cohort, (id,))
            if id in recorded:
                missed[id] = recorded[id]
    if unmade < len(ids):
        cohort.finish_known(ids)
    return unmade, missed


def _check_none_lacks(out: Path, ids: CaseIds, missing: int) -> None:
    if missing:
        found = f"{missing} of {counted(len(ids), 'case')} disappeared"
        raise SynthesisError(out, found, cure="run the same command again")


def failed(
    subject: object, out: Path, count: int, missing: int, failures: Mapping[str, str], made_and_missed: str = ""
) -> SynthesisError:
    """The error of a call that could not make all cases.

    Args:
        subject: what the cases are made for.
        out: folder with the logs and pictures.
        count: number of cases asked for.
        missing: number of those that are not there, without those whose lesions missed the request.
        failures: case id -> reason.
        made_and_missed: how many cases are made, and how many are not since their lesions missed the request.
    """
    first, untried = min(failures), missing - len(failures)
    rest = f"; {untried} were not tried" if untried else ""
    found = f"{len(failures)} of {counted(count, 'case')} failed{rest}; {first}: {failures[first]}"
    found += f"; {made_and_missed}" if made_and_missed else ""
    place = "" if subject == out else f"{out}/"
    kept = [f"{place}{name}/" for name in (FAILURES, REJECTED) if (out / name).exists()]
    return SynthesisError(subject, found, cure=f"see {' and '.join([*kept, 'docs/provenance.md'])}, or train longer")


def remove_if_empty(cohort: Cohort, ids: Iterable[str]) -> None:
    """Remove plan and empty folders if no case was made, so that they do not block a corrected request.

    The logs of cases that killed their workers stay, and the plan with them; so do the pictures of what was refused.
    A shard stays that says which cases are not made, to be joined with the others.
    """
    out = cohort.root
    if any_finished(out) or (out / FAILURES).exists() or _is_shard_without_cases(out):
        return
    with suppress(OSError):
        discard(cohort, ids)
        for name in (MISSED, PLAN, DATASET, LOG):
            (out / name).unlink(missing_ok=True)
    for part in _PARTS[1:]:
        with suppress(OSError):  # missing, or not empty
            (out / part).rmdir()


def _is_shard_without_cases(out: Path) -> bool:
    return (out / MISSED).exists() and read_plan(out).shard is not None


def discard(cohort: Cohort, ids: Iterable[str]) -> None:
    """Remove the files of incomplete cases."""
    out = cohort.root
    for id in ids:  # by name: a search of the folder for every case takes the square of their number
        files = nnunet_files(out, id, len(cohort.channel_names), cohort.file_ending)
        for path in (*files.paths, out / REPORTS / f"{id}.json", out / PROVENANCE / f"{id}{UNFINISHED}"):
            path.unlink(missing_ok=True)


def summarize(out: Path, ids: Iterable[str], made: int) -> Summary:
    """Sum the provenance records of all cases."""
    refused: Counter[str] = Counter()
    attempts, count = 0, 0
    for id in ids:
        path = out / PROVENANCE / f"{id}.json"
        record = read_json(path)
        try:
            refused.update(record["refused"])
            attempts, count = attempts + record["attempt"] + 1, count + 1
        except (KeyError, TypeError, ValueError):
            raise FileError(path, "is damaged", cure="remove it; the same command makes the case again") from None
    return Summary(out, count, made, attempts, dict(refused))
