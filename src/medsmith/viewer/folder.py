"""Writes the folder of a viewer: the page, NiiVue, and one script per case."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from medsmith import __version__
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cases.nnunet_folder import PROVENANCE, REPORTS
from medsmith.errors import CohortError, FileError, RequestError, counted
from medsmith.evaluation.pages.viewer_link import PAGE, STATE, relative_address, view_folder
from medsmith.formats.atomic import is_free, remove, remove_temporary_files, sha256_of, write_json, write_parts
from medsmith.formats.folders import check_outside
from medsmith.formats.json_file import read_json
from medsmith.formats.lock import hold_output
from medsmith.progress import NullProgress, Progress
from medsmith.viewer.case_file import MARK, case_parts, template_parts
from medsmith.viewer.page import write_index, write_static
from medsmith.viewer.templates import TEMPLATE, match_templates, recorded_templates, templates_root

CASES, TEMPLATES = "cases", "templates"
_MAKER, _FORMAT = "medsmith view", 2
Records = Mapping[str, Mapping[str, Any] | None]


@final
@dataclass(frozen=True)
class View:
    """A viewer that was written.

    Attributes:
        page: the file to open.
        count: number of its cases.
        written: number of cases written by this call; the others were there.
        size: of the whole folder, bytes.
        notes: one line per thing that cannot be shown.
    """

    page: Path
    count: int
    written: int
    size: int
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """What was written, for the terminal."""
        size = f"{self.size / 1e6:.1f} MB"
        return [*self.notes, f"viewer: {self.page}, {counted(self.count, 'case')} ({self.written} written), {size}"]

    def as_json(self) -> dict[str, Any]:
        """What was written, as JSON values."""
        return {
            "page": str(self.page),
            "cases": self.count,
            "written": self.written,
            "bytes": self.size,
            "notes": list(self.notes),
        }


@final
@dataclass(frozen=True)
class _Source:
    """What a viewer shows.

    Attributes:
        cohort: the cases.
        ids: of those that are shown.
        templates: scans before the edit; None if there are none.
        before: case -> template.
    """

    cohort: Cohort
    ids: tuple[str, ...]
    templates: Cohort | None
    before: Mapping[str, str]


def write_view(
    cohort: Cohort,
    out: Path | None = None,
    *,
    cases: Sequence[str] = (),
    count: int | None = None,
    templates: Cohort | None = None,
    progress: Progress | None = None,
) -> View:
    """Writes OUT/index.html and what it loads; a call that was interrupted continues where it was.

    A case whose files have not changed is not written again; cases that are no longer chosen are removed.

    Args:
        cohort: the cases.
        out: new folder, or that of an earlier call; by default beside the cohort, with ``-view`` after its name.
        cases: ids to show; all by default.
        count: show only as many, the first by id.
        templates: scans that the cases were made from; by default those that the cohort's ``synthesis.json`` names.
        progress: display of the progress.

    Raises:
        CohortError: no such case, the cohort is empty, ``out`` lies in it or holds something else, or the templates
            fit no case.
        RequestError: both ``cases`` and ``count``.
        FileError: a case cannot be read, or a file cannot be written.
    """
    folder = out or view_folder(cohort.root)
    ids = _chosen(cohort, cases, count)
    scans, note = (templates, "") if templates else recorded_templates(cohort)
    check_outside(folder, (cohort.root, *templates_root(scans)))
    named = _templates_named(cohort, ids)
    before, missing = match_templates(cohort, named, scans, given=templates is not None)
    source = _Source(cohort, ids, scans, before)
    with _held(folder, cohort):
        write_static(folder)
        written = _write_cases(folder, source, progress or NullProgress())
        write_index(folder / PAGE, cohort, ids)
        _remove_others(folder, source)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    notes = tuple(filter(None, (note if named else "", missing)))
    return View(folder / PAGE, len(ids), written, size, notes)


def _chosen(cohort: Cohort, cases: Sequence[str], count: int | None) -> tuple[str, ...]:
    if cases and count is not None:
        raise RequestError("--count", "and --cases are both given", "one of them", "leave one out")
    for id in cases:
        cohort.files(id)  # refuses an unknown id
    if not len(cohort):
        raise CohortError(cohort.root, "has no cases", "at least one", "give the cohort that holds the scans")
    chosen = tuple(sorted(set(cases))) if cases else cohort.ids[:count]
    for id in chosen:
        if not _is_text(id):
            limit = "the page loads each case by its id"
            raise CohortError(cohort.root, f"the id {id!r} is no UTF-8", limit, "rename the files of that case")
    return chosen


def _is_text(id: str) -> bool:
    try:
        id.encode()
    except UnicodeEncodeError:
        return False
    return True


def _templates_named(cohort: Cohort, ids: Iterable[str]) -> dict[str, str]:
    paths = {id: cohort.root / PROVENANCE / f"{id}.json" for id in ids}
    records = {id: read_json(path) for id, path in paths.items() if path.exists()}
    return {id: str(record[TEMPLATE]) for id, record in records.items() if record.get(TEMPLATE)}


@contextmanager
def _held(folder: Path, cohort: Cohort) -> Iterator[None]:
    """Locks the folder, refuses one that this command has not made, and marks a new one."""
    if folder.exists() and not folder.is_dir():
        raise FileError(folder, "a file, not a folder", cure="choose another folder: --out")
    with hold_output(folder):
        shown = relative_address(cohort.root, folder)
        state = {"made_by": _MAKER, "cohort": shown}
        found = read_json(folder / STATE) if (folder / STATE).is_file() else None
        if found is None and not is_free(folder):
            raise CohortError(folder, "holds something else", "a viewer has a folder of its own", "choose a new folder")
        if found is not None and not state.items() <= found.items():
            raise CohortError(folder, f"is no viewer of {cohort.root}", f"see its {STATE}", "choose a new folder")
        for part in (folder, folder / CASES, folder / TEMPLATES):
            remove_temporary_files(part)
        write_json(folder / STATE, state)
        yield


def _write_cases(folder: Path, source: _Source, progress: Progress) -> int:
    """Writes the scripts of cases and templates that are missing or out of date; returns the number of cases."""
    written, scans = 0, _Scans(folder / TEMPLATES, source)
    with progress.task("view", len(source.ids)) as advance:
        for id in _by_scan(source):
            scan = source.before.get(id)
            before = "" if scan is None else scans.written(scan)
            path, digest = script(folder / CASES, id), _digest(source.cohort, id, before)
            if not _is_current(path, digest):
                write_parts(path, case_parts(source.cohort[id], digest, None if scan is None else scans.case(scan)))
                written += 1
            advance(1, id)
    return written


def _by_scan(source: _Source) -> list[str]:
    """The cases in an order that reads each scan once."""
    return sorted(source.ids, key=lambda id: (source.before.get(id, ""), id))


@final
class _Scans:
    """The scans before the edit; the last one that was read is kept."""

    def __init__(self, folder: Path, source: _Source) -> None:
        self._folder, self._cohort = folder, source.templates or source.cohort
        self._digests: dict[str, str] = {}
        self._last: Case | None = None

    def case(self, scan: str) -> Case:
        """A scan, in canonical orientation."""
        if self._last is None or self._last.id != scan:
            self._last = self._cohort[scan]
        return self._last

    def written(self, scan: str) -> str:
        """The digest of a scan, whose script is there from now on."""
        if scan not in self._digests:
            path, digest = script(self._folder, scan), _digest(self._cohort, scan, "")
            if not _is_current(path, digest):
                write_parts(path, template_parts(self.case(scan), digest))
            self._digests[scan] = digest
        return self._digests[scan]


def script(folder: Path, id: str) -> Path:
    """The script of a case or template."""
    return folder / f"{id}.js"


def _digest(cohort: Cohort, id: str, before: str) -> str:
    """SHA-256 of what a script is made of: files of the case, digest of the scan before, names, and this version."""
    records = [cohort.root / folder / f"{id}.json" for folder in (REPORTS, PROVENANCE)]
    sums = [sha256_of(path) if path.exists() else "" for path in (*cohort.files(id).paths, *records)]
    layout = cohort.layout
    names = [layout.channel_names, dict(layout.label_names), list(layout.label_of.items()), dict(layout.label_of_file)]
    return hashlib.sha256(json.dumps([__version__, _FORMAT, id, before, sums, names]).encode()).hexdigest()


def _is_current(path: Path, digest: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.readline(len(MARK) + len(digest) + 1) == f"{MARK}{digest}\n".encode()


def _remove_others(folder: Path, source: _Source) -> None:
    """Removes the scripts of cases and templates that the page no longer names, and no other file."""
    kept = {script(folder / CASES, id) for id in source.ids}
    kept |= {script(folder / TEMPLATES, scan) for scan in source.before.values()}
    for part in (folder / CASES, folder / TEMPLATES):
        for path in part.glob("*.js"):
            if path not in kept and _is_script(path):
                remove(path)


def _is_script(path: Path) -> bool:
    """Whether this command has made a file."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MARK)) == MARK.encode()
