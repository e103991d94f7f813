"""Cases that are not made since their lesions miss what was requested: a file beside the cohort, and a line."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, final

from pydantic import BaseModel, ConfigDict

from medsmith.errors import FileError, SynthesisError, counted
from medsmith.formats.atomic import write_json
from medsmith.synthesis.lesion_values import attribute_in_words
from medsmith.synthesis.plan import parsed

MISSED = "missed.json"
Missed = Mapping[str, Mapping[str, int]]
"""Case id -> requested attribute of its lesions -> number of attempts that missed it."""


@final
class _MissedCases(BaseModel):
    """The content of missed.json.

    Attributes:
        format: version of the file format.
        cases: see ``Missed``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    cases: Missed = {}


def read_missed(out: Path) -> Missed:
    """The cases of a folder that are not made since their lesions missed what was requested.

    Raises:
        FileError: the file is damaged.
    """
    path = out / MISSED
    if not path.exists():
        return {}
    try:
        return parsed(_MissedCases, path).cases
    except FileError as error:
        raise FileError(path, error.found, error.limit, "remove it; the same command tries its cases again") from None


def write_missed(out: Path, missed: Missed) -> None:
    """Write the cases, in the order of their ids, so that the file does not depend on the workers."""
    cases = {id: dict(sorted(missed[id].items())) for id in sorted(missed)}
    write_json(out / MISSED, _MissedCases(cases=cases).model_dump(mode="json"))


def missed_line(made: int, missed: Missed) -> str:
    """How many cases are made and not made, and by which attributes, in one line.

    Args:
        made: number of cases that are made.
        missed: those that are not; at least one.
    """
    attempts = sum((Counter(attributes) for attributes in missed.values()), Counter[str]())
    said = (f"{attribute_in_words(name)} in {counted(times, 'attempt')}" for name, times in attempts.most_common())
    return f"{counted(made, 'case')} made, {len(missed)} not made: lesions missed {', '.join(said)}"


def not_made(subject: object, made: int, missed: Missed) -> SynthesisError:
    """The error of a call whose other cases are all made.

    Args:
        subject: what the cases are made for.
        made: number of cases that are made.
        missed: those that are not; at least one.
    """
    cure = (
        "ask for less or for something else (what a lesion type leaves open is drawn by its rules and counts as well: "
        "'lesion' has none), or keep such lesions: --keep-missed"
    )
    return SynthesisError(subject, missed_line(made, missed), cure=cure)


@final
class MissedCases:
    """The cases of a folder that are not made, which the same command does not try again: their seeds are the same.

    The file is written whenever their number has doubled, so that time is proportional to it, and by ``save``.

    Args:
        out: the folder.

    Raises:
        FileError: what it holds of them is damaged.
    """

    def __init__(self, out: Path) -> None:
        self._out, self._cases = out, dict(read_missed(out))
        self._saved = len(self._cases)

    @property
    def cases(self) -> Missed:
        """All of them."""
        return self._cases

    def add(self, id: str, attributes: Mapping[str, int]) -> None:
        """Add a case."""
        self._cases[id] = dict(attributes)
        if len(self._cases) >= 2 * self._saved:
            self.save()

    def save(self) -> None:
        """Write those that are not written yet.

        Raises:
            FileError: the file cannot be written.
        """
        if len(self._cases) > self._saved:
            write_missed(self._out, self._cases)
            self._saved = len(self._cases)
