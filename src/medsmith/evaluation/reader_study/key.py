"""The key of a study: which image is synthetic. It is kept apart from the page until all readers are done."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from pydantic import ValidationError

from medsmith.errors import FileError
from medsmith.evaluation.reader_study.plan import REAL, SYNTHETIC, Mode
from medsmith.evaluation.reader_study.sealed import Sealed
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.formats.validation import first_problem

KEY, KEY_FORMAT, VERSION = "key.json", "medsmith turing key", 1


@final
@dataclass(frozen=True, eq=False)
class StudyKey:
    """The sealed content of a key file.

    Attributes:
        salt: makes the hash useless for guessing the content.
        sealed: trials with their answers, mode, margin, naive observer and how the images were processed.
    """

    salt: str
    sealed: Mapping[str, Any]

    @property
    def hash(self) -> str:
        """SHA-256 of salt and content. It stands in the page and in every result, and tells nothing of the answers."""
        text = json.dumps(self.sealed, sort_keys=True, separators=(",", ":"), default=dict)
        return hashlib.sha256((self.salt + text).encode()).hexdigest()

    @property
    def study(self) -> str:
        """Short name of the study."""
        return self.hash[:12]

    @property
    def mode(self) -> Mode:
        """Single images or pairs."""
        return Mode(self.sealed["mode"])

    @property
    def margin(self) -> float:
        """Equivalence margin declared at creation."""
        return float(self.sealed["margin"])

    @property
    def answers(self) -> Sequence[str]:
        """The right call of every trial."""
        return [trial["answer"] for trial in self.sealed["trials"]]

    @property
    def repeat_of(self) -> Sequence[int | None]:
        """Per trial, the earlier trial that it repeats."""
        return [trial["repeat_of"] for trial in self.sealed["trials"]]

    @property
    def patients(self) -> Sequence[tuple[str, ...]]:
        """Per trial, the patient of the image; of a pair, those of the real and of the synthetic one."""
        trials = [sorted(trial["cases"], key=lambda case: str(case["kind"])) for trial in self.sealed["trials"]]
        return [tuple(case["patient"] for case in cases) for cases in trials]

    @property
    def shown(self) -> Mapping[str, Mapping[str, int]]:
        """Kind -> number of images and of patients, without repeats."""
        cases = [case for trial in self.sealed["trials"] if trial["repeat_of"] is None for case in trial["cases"]]
        owners = {kind: [case["patient"] for case in cases if case["kind"] == kind] for kind in (REAL, SYNTHETIC)}
        return {kind: {"images": len(of), "patients": len(set(of))} for kind, of in owners.items()}

    def write(self, path: Path) -> None:
        """Writes the key file.

        Raises:
            FileError: it cannot be written.
        """
        write_json(
            path,
            {"format": KEY_FORMAT, "version": VERSION, "hash": self.hash, "salt": self.salt, "sealed": self.sealed},
        )


def read_key(path: Path) -> StudyKey:
    """Reads a key file.

    Raises:
        FileError: it cannot be read, is no key, was changed, or holds what no study has.
    """
    record = read_json(path)
    if (
        record.get("format") != KEY_FORMAT
        or record.get("version") != VERSION
        or not isinstance(record.get("sealed"), dict)
    ):
        raise FileError(
            path, "no key of a reader study", cure="give the key.json that this version of medsmith turing wrote"
        )
    key = StudyKey(str(record.get("salt")), record["sealed"])
    if key.hash != record.get("hash"):
        found = "changed after it was written: its hash does not fit its content"
        raise FileError(
            path, found, cure="restore the original, or create the study again with the same cohorts and seed"
        )
    _check(key, path)
    return key


def _check(key: StudyKey, path: Path) -> None:
    try:
        Sealed.model_validate(key.sealed)
    except ValidationError as error:
        problem = first_problem(error)
        found, limit = (problem.rule, "") if problem.kind == "value_error" else (problem.found, problem.limit)
        raise FileError(path, f"sealed: {found}", limit, "give the key.json that medsmith turing wrote") from None
