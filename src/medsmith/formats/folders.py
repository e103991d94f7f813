"""How folders lie to each other: no output in an input, no folder in another."""

import errno
import os
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from medsmith.errors import CohortError, FileError, RequestError


def as_folder(value: Path | str) -> Path:
    """The path of a folder of files.

    Raises:
        RequestError: the value is something else.
    """
    if not isinstance(value, Path | str):
        found = f"a {type(value).__name__} ({value!r:.40})"
        raise RequestError("source", found, "the path of a folder", "pass it, such as that of a cohort: cohort.root")
    return Path(value)


def real_path(folder: Path) -> Path:
    """The path without symbolic links; unlike ``Path.resolve`` it raises nothing where they form a loop."""
    return Path(os.path.realpath(folder))


def lies_in(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or lies inside it."""
    return real_path(path).is_relative_to(real_path(folder))


def check_outside(out: Path, inputs: Iterable[Path]) -> None:
    """Checks that an output file or folder is no input and lies inside none.

    Args:
        out: the output.
        inputs: cohorts and runs that are read.

    Raises:
        CohortError: it is one, or lies inside one.
    """
    for folder in inputs:
        if lies_in(out, folder):
            cure = "choose a place outside"
            raise CohortError(out, f"lies in or on {folder}", "nothing is written into what is read", cure)


def check_can_be_made(folder: Path) -> None:
    """Checks that a folder can be made, or written to, without doing so.

    Raises:
        FileError: a file is in its place or on its path, or the place belongs to others.
    """
    there = folder
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        number = errno.EEXIST if there == folder else errno.ENOTDIR
    elif not os.access(there, os.W_OK | os.X_OK):
        number = errno.EACCES
    else:
        return
    raise unusable(folder, OSError(number, os.strerror(number)))


def unusable(folder: Path, error: OSError) -> FileError:
    """The error for a folder that the system does not let be made or written to."""
    return FileError(folder, f"cannot be made or written to ({error.strerror})", cure="choose another folder")


def check_disjoint_folders(folders: Iterable[Path]) -> None:
    """Checks that no folder is inside another.

    Raises:
        CohortError: two are identical or nested.
    """
    places = sorted((real_path(folder).parts, number, folder) for number, folder in enumerate(folders))
    # What lies between a folder and one inside it, in this order, lies inside as well: neighbors suffice.
    for (parts, number, folder), (deeper, other_number, other) in pairwise(places):
        if deeper[: len(parts)] == parts:
            first, second = (folder, other) if number < other_number else (other, folder)
            raise CohortError(second, f"lies in, on or around {first}", cure="choose a folder of its own")


def paths_below(root: Path) -> list[Path]:
    """Everything below a folder, however deep, sorted; folders behind links too, each real folder once.

    Raises:
        FileError: a folder that is not hidden cannot be listed; its name, which may identify a patient, is not told.
    """
    found: list[Path] = []
    seen, waiting = set[tuple[int, int]](), [str(root)]
    while waiting:  # not os.walk, which in Python 3.11 calls itself for each level
        folder = waiting.pop()
        try:
            facts = os.stat(folder)  # noqa: PTH116
            if (facts.st_dev, facts.st_ino) in seen:
                continue  # a link to a folder that was visited, such as one of its own parents
            seen.add((facts.st_dev, facts.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    found.append(Path(entry.path))
                    if os.path.isdir(entry.path):  # noqa: PTH112  # unlike the entry's own, never raises
                        waiting.append(entry.path)
        except FileNotFoundError:
            continue  # removed meanwhile
        except OSError as error:
            if not any(part.startswith(".") for part in Path(folder).relative_to(root).parts):
                raise _not_listed(root, error) from None
    return sorted(found)


def _not_listed(root: Path, error: OSError) -> FileError:
    cure = f"change its mode or owner, or move it away (find {root} ! -readable names it)"
    return FileError(root, f"a folder in it cannot be listed ({error.strerror})", "cases may lie there", cure)
