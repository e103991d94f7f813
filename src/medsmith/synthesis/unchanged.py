"""Cohorts and files that a request names stay as they were hashed while cases are made of them.

Hashing everything once more for every case would take longer than some cases do. A stamp, the times and sizes of the
files, tells whether anything may have changed; only then the content is hashed again.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from medsmith.cases.case_ref import CaseRef, open_cohort
from medsmith.cases.layouts import DATASET, PROVENANCE, REPORTS
from medsmith.errors import SynthesisError
from medsmith.synthesis.references import hash_references
from medsmith.synthesis.tasks import Reference, canonical_hash

_hashed: dict[tuple[str, str], str] = {}
"""(Key of a reference, hash) -> stamp at which this process found that content."""


def stamps_of(references: Iterable[Reference]) -> dict[str, str]:
    """Key -> stamp of every reference; to be taken before its content is hashed or read."""
    return {reference.key: _stamp(reference) for reference in references}


def stamps_of_hashed(
    references: Iterable[Reference], hashes: Mapping[str, str], known: Mapping[str, str]
) -> dict[str, str]:
    """Key -> stamp of every reference, whose content is as hashed.

    Args:
        references: cohorts and files.
        hashes: key -> hash of the content; references without one are passed over.
        known: key -> stamp before that hash was taken, on the machine that took it.

    Raises:
        SynthesisError: the content is another.
        FileError, CohortError: it is gone or cannot be read.
    """
    checked = [reference for reference in references if reference.key in hashes]
    found = stamps_of(checked)
    for reference in checked:
        key, stamp = reference.key, found[reference.key]
        if stamp in (known.get(key), _hashed.get((key, hashes[key]))):
            continue
        if hash_references([reference])[key] != hashes[key]:
            fact, limit = "was changed while cases were made of it", "the cases of one folder have the same inputs"
            raise SynthesisError(reference.path, fact, limit, "restore it, or choose a new folder")
        _hashed[key, hashes[key]] = stamp
    return found


def _stamp(reference: Reference) -> str:
    return canonical_hash({str(path): _state(path) for path in _files(reference)})


def _state(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _files(reference: Reference) -> Iterator[Path]:
    """The files that the hash of a reference is of, and the folders that list them."""
    path = Path(reference.path)
    if reference.kind == "cohort" or (path / DATASET).is_file():
        cohort = open_cohort(CaseRef(cohort=path))
        for case_id in cohort.ids if reference.case is None else (reference.case,):
            files = cohort.files(case_id).paths
            yield from (*files, *(path / folder / f"{case_id}.json" for folder in (REPORTS, PROVENANCE)))
            if reference.case is None:
                yield from (file.parent for file in files)
    elif path.is_dir():
        yield from (path, *sorted(path.iterdir()))
    else:
        yield path
