"""Cohorts and files that a request names stay as they were hashed while cases are made of them.

Hashing everything once more for every case would take longer than some cases do, and so would looking at every file.
Each process looks at all of them once: a stamp, the times and sizes of the files, tells whether anything may have
changed since they were hashed. After each case it looks again at the files that were used for it, and at their folders.
Only where one was touched all content is hashed again.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Set
from pathlib import Path
from typing import TypeVar, final

from pydantic import BaseModel

from medsmith.cases.case_ref import CaseRef, open_cohort
from medsmith.cases.nnunet_folder import DATASET, PROVENANCE, REPORTS
from medsmith.errors import SynthesisError
from medsmith.formats.opening import noting_used
from medsmith.synthesis.references import find_references, hash_references
from medsmith.synthesis.tasks import CaseTask, Reference

Made = TypeVar("Made")


@final
class _HashedContent:
    """The files of a reference, whose content is as hashed.

    Args:
        reference: a cohort or files.
        hashed: hash of the content.
        stamp: taken before that hash, on the machine that took it; None if there is none.

    Raises:
        SynthesisError: the content is another.
        FileError, CohortError: it is gone or cannot be read.
    """

    def __init__(self, reference: Reference, hashed: str, stamp: str | None) -> None:
        self._reference, self._hashed = reference, hashed
        self._states, found = _seen(reference)
        if found != stamp:
            self._check_content()

    def was_touched(self, used: Set[Path]) -> bool:
        """Whether one of these files, if it belongs here, or its folder may be another than when all were looked at."""
        paths = used | {path.parent for path in used}
        return any(self._states.get(_short(path), state) != state for path, state in _states(paths))

    def look_again(self) -> None:
        """Look at all files again, and hash them; what was refused once is refused in the next case too.

        Raises:
            SynthesisError: the content is another.
            FileError, CohortError: it is gone or cannot be read.
        """
        states, _ = _seen(self._reference)
        self._check_content()
        self._states = states

    def _check_content(self) -> None:
        reference = self._reference
        if hash_references([reference])[reference.key] != self._hashed:
            fact, limit = "was changed while cases were made of it", "the cases of one folder have the same inputs"
            raise SynthesisError(reference.path, fact, limit, "restore it, or choose a new folder")


_known: dict[tuple[str, str, str | None, str], _HashedContent] = {}
"""Kind, path, case and hash of a reference -> its files, as this process found them."""


def stamps_of(references: Iterable[Reference]) -> dict[str, str]:
    """Key -> stamp of every reference; to be taken before its content is hashed or read."""
    return {reference.key: _seen(reference)[1] for reference in references}


def of_unchanged_inputs(task: CaseTask, request: BaseModel, make: Callable[[], Made]) -> Made:
    """What is made of the content that the recipe's hashes are of; made again if a file it used was touched meanwhile.

    Args:
        task: with hashes and stamps; inputs without a hash are passed over.
        request: names the inputs.
        make: makes it, and reads files through ``open_regular`` or names them to ``note_used``.

    Raises:
        SynthesisError: a cohort or file that the request names is not what was hashed.
        FileError, CohortError: it is gone or cannot be read.
    """
    hashes = task.recipe.inputs
    references = [reference for reference in find_references(request) if reference.key in hashes]
    contents = [_content(each, hashes[each.key], task.stamps.get(each.key)) for each in references]
    while True:
        with noting_used() as used:
            made = make()
        touched = [content for content in contents if content.was_touched(used)]
        if not touched:
            return made
        for content in touched:
            content.look_again()


def _content(reference: Reference, hashed: str, stamp: str | None) -> _HashedContent:
    identity = (reference.kind, reference.path, reference.case, hashed)
    if identity not in _known:
        _known[identity] = _HashedContent(reference, hashed, stamp)
    return _known[identity]


def _seen(reference: Reference) -> tuple[dict[int, int], str]:
    """What is found at each path of a reference, and the stamp of all of it."""
    states, digest = dict[int, int](), hashlib.sha256()
    for path, state in _states(_files(reference)):
        states[_short(path)] = state
        digest.update(json.dumps([str(path), state]).encode())
    return states, digest.hexdigest()


def _states(paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """Each path with a number that tells what its times and size are, or that there is no file."""
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            yield path, 0
        else:
            yield path, _number(f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}")


def _short(path: Path) -> int:
    return _number(str(path))


def _number(text: str) -> int:
    """Eight bytes of a hash: whole texts of all files would take several times the memory."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest())


def _files(reference: Reference) -> Iterator[Path]:
    """The files that the hash of a reference is of, and the folders that list them."""
    path = Path(reference.path)
    if reference.kind == "cohort" or (path / DATASET).is_file():
        cohort, folders = open_cohort(CaseRef(cohort=path)), set[Path]()
        for case_id in cohort.ids if reference.case is None else (reference.case,):
            files = cohort.files(case_id).paths
            yield from (*files, *(path / folder / f"{case_id}.json" for folder in (REPORTS, PROVENANCE)))
            if reference.case is None:
                folders.update(file.parent for file in files)
        yield from sorted(folders)
    elif path.is_dir():
        yield from (path, *sorted(path.iterdir()))
    else:
        yield path
