"""Cases that are not made since their lesions miss what was requested, or have no place: a file beside the cohort."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, final

from pydantic import BaseModel, ConfigDict, model_validator

from medsmith.cases.case import Case
from medsmith.errors import FileError, SynthesisError, counted
from medsmith.formats.atomic import write_json
from medsmith.synthesis.lesion_values import attribute_in_words, lesion_values
from medsmith.synthesis.plan import parsed

MISSED = "missed.json"


@final
class MissedValue(BaseModel):
    """A requested attribute of a lesion that was measured otherwise, in words.

    Attributes:
        attribute: its name for people.
        requested: the requested value.
        measured: the measured value, of a word with the number that decides it.
        met_by: every measured value that would have satisfied the request.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attribute: str
    requested: str
    measured: str
    met_by: str


@final
class Misses(BaseModel):
    """What the attempts at one case missed.

    Attributes:
        attempts: requested attribute of its lesions -> number of attempts that missed it.
        closest: what was missed by the first of the attempts that missed least; empty in files of earlier versions,
            which hold ``attempts`` alone.
        unplaced: why no template can take the case's own report; empty if one can.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempts: Mapping[str, int] = {}
    closest: tuple[MissedValue, ...] = ()
    unplaced: str = ""

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_version(cls, value: Any) -> Any:
        counts = isinstance(value, dict) and all(isinstance(count, int) for count in value.values())
        return {"attempts": value} if counts and value else value

    def after(self, attributes: Mapping[str, int], values: tuple[MissedValue, ...]) -> "Misses":
        """These and those of one more attempt.

        Args:
            attributes: requested attribute -> 1, of those that it missed.
            values: what was measured of them; empty if it missed none.
        """
        attempts = Counter(self.attempts) + Counter(attributes)
        closer = bool(values) and (not self.closest or len(values) < len(self.closest))
        return Misses(attempts=dict(sorted(attempts.items())), closest=values if closer else self.closest)


Missed = Mapping[str, Misses]
"""Case id -> what its attempts missed."""


def missed_values(case: Case) -> tuple[MissedValue, ...]:
    """What was requested of the lesions of a case and measured otherwise."""
    return tuple(_values(case))


def _values(case: Case) -> Iterator[MissedValue]:
    for lesion in (case.provenance or {}).get("lesions", ()):
        for value in lesion_values(lesion):
            if value.passed is False:
                yield MissedValue(
                    attribute=value.attribute,
                    requested=value.requested,
                    measured=value.measured,
                    met_by=value.met_by,
                )


@final
class _MissedCases(BaseModel):
    """The content of missed.json.

    Attributes:
        format: version of the file format.
        cases: see ``Missed``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1, 2, 3] = 3
    cases: Missed = {}


def read_missed(out: Path) -> Missed:
    """The cases of a folder that are not made since their lesions missed what was requested, or had no place.

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
    write_json(out / MISSED, _MissedCases(cases=dict(sorted(missed.items()))).model_dump(mode="json"))


def missed_line(made: int, missed: Missed) -> str:
    """How many cases are made and not made, by which attributes, and what came closest, in one line.

    Args:
        made: number of cases that are made.
        missed: those that are not; at least one.
    """
    attempts = sum((Counter(misses.attempts) for misses in missed.values()), Counter[str]())
    said = [f"{attribute_in_words(name)} in {counted(times, 'attempt')}" for name, times in attempts.most_common()]
    why = [f"lesions missed {', '.join(said)}{_closest(missed)}"] if said else []
    unplaced = {id: misses.unplaced for id, misses in missed.items() if misses.unplaced}
    if unplaced:
        first = min(unplaced)
        why.append(f"no template can take the reports of {len(unplaced)} (the first, {first}: {unplaced[first]})")
    reasons = f": {'; '.join(why)}" if why else ", since their lesions missed what was requested"
    return f"{counted(made, 'case')} made, {len(missed)} not made{reasons}"


def _closest(missed: Missed) -> str:
    """Of the attempts that came closest to the request, the first by id, with what was measured."""
    known = {id: misses.closest for id, misses in missed.items() if misses.closest}
    if not known:
        return ""
    id = min(known, key=lambda name: (len(known[name]), name))
    values = ", ".join(f"{value.attribute}: {value.requested} asked, {value.measured} measured" for value in known[id])
    return f" (the closest, {id}: {values})"


def not_made(subject: object, made: int, missed: Missed) -> SynthesisError:
    """The error of a call whose other cases are all made.

    Args:
        subject: what the cases are made for.
        made: number of cases that are made.
        missed: those that are not; at least one.
    """
    cure = "ask for less or for something else, or keep such lesions: --keep-missed"
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

    def add(self, id: str, misses: Misses) -> None:
        """Add a case."""
        self._cases[id] = misses
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
