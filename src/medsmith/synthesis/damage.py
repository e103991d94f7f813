"""What a finished step recorded, compared with what is on disk."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.errors import FileError, RunError
from medsmith.formats.atomic import sha256_of
from medsmith.formats.json_file import read_json
from medsmith.synthesis.plan import parsed

Model = TypeVar("Model", bound=BaseModel)


def read_record(model: type[Model], path: Path) -> Model:
    """The record of a finished step.

    Raises:
        RunError: it is damaged.
    """
    try:
        return parsed(model, path)
    except FileError as error:
        raise RunError(error.subject, error.found, error.limit, _cure(path)) from None


def check_file(path: Path, expected: str, remove: Iterable[Path]) -> None:
    """Checks the hash of a file.

    Args:
        path: of the file.
        expected: SHA-256 of its bytes.
        remove: what the user removes, so that the same command makes it again.

    Raises:
        RunError: it is missing or has another.
    """
    if not path.is_file():
        raise RunError(path, "is missing", "a finished step made it", _cure(*remove))
    if sha256_of(path) != expected:
        raise RunError(path, "is damaged: its hash is not the one recorded", "", _cure(*remove))


def check_cases(cohort: Path, ids: Iterable[str], remove: Iterable[Path]) -> None:
    """Checks the hashes that the provenance of every case records.

    Args:
        cohort: folder of the cases.
        ids: of the cases that must be there.
        remove: see ``check_file``.

    Raises:
        RunError: a file is missing or damaged.
    """
    remove = tuple(remove)
    for case_id in ids:
        path = cohort / PROVENANCE / f"{case_id}.json"
        try:
            files = read_json(path)["files"]
            sums = {cohort / name: str(value) for name, value in files.items()}
        except (FileError, KeyError, AttributeError):
            raise RunError(path, "is missing or damaged", "a finished step made it", _cure(*remove)) from None
        for file, expected in sums.items():
            check_file(file, expected, remove)


def _cure(*paths: Path) -> str:
    return f"remove {' and '.join(map(str, paths))}; the same command makes it again"
