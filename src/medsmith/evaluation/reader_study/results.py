"""Result files as the study page saves them."""

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medsmith.errors import FileError, RequestError
from medsmith.evaluation.reader_study.key import StudyKey
from medsmith.evaluation.reader_study.plan import Mode
from medsmith.evaluation.reader_study.study_page import RESULT_FORMAT
from medsmith.formats.json_file import read_json
from medsmith.formats.validation import first_problem

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)
_PAGE = "give the file that the study page saved"
Time = Annotated[int, Field(ge=0, le=10**10)]
"""Milliseconds."""
ShortText = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=2000)]


@final
class Answer(BaseModel):
    """One answer.

    Attributes:
        trial: index of the trial.
        rating: 1 to 5, or 1 to 4 for pairs.
        call: ``real`` or ``synthetic``; of a pair the side called synthetic.
        milliseconds: time that the image was visible.
        windows: display window -> milliseconds.
    """

    model_config = _STRICT

    trial: int = Field(ge=0)
    rating: int = Field(ge=1, le=5)
    call: Literal["real", "synthetic", "left", "right"]
    milliseconds: Time
    windows: Mapping[ShortText, Time]


@final
class Reader(BaseModel):
    """Who read.

    Attributes:
        name: name or code, at most 200 characters.
        experience: specialty and years, as entered.
    """

    model_config = _STRICT

    name: ShortText
    experience: Text


@final
class Screen(BaseModel):
    """The reader's screen.

    Attributes:
        width: CSS pixels.
        height: CSS pixels.
        pixel_ratio_percent: device pixels per CSS pixel, in per cent.
    """

    model_config = _STRICT

    width: int
    height: int
    pixel_ratio_percent: int


@final
class Reading(BaseModel):
    """The result file of one reader.

    Attributes:
        format: names the kind of file.
        version: of the format.
        study: short name of the study.
        key_hash: hash of the study's key.
        mode: single or pairs.
        reader: who read.
        started: time, ISO 8601.
        saved: time, ISO 8601.
        sessions: how often the page was opened.
        complete: whether every trial was answered.
        screen: where it was read.
        browser: its user agent.
        answers: in the order of the trials.
        learning: answers of the learning block.
        checksum: CRC-32 of the rest.
    """

    model_config = _STRICT

    format: Literal["medsmith turing result"]
    version: Literal[1]
    study: ShortText
    key_hash: ShortText
    mode: Literal["single", "pairs"]
    reader: Reader
    started: ShortText
    saved: ShortText
    sessions: int
    complete: bool
    screen: Screen
    browser: Text
    answers: list[Answer]
    learning: list[Answer]
    checksum: ShortText


def checksum(record: Mapping[str, Any]) -> str:
    """CRC-32 of a result without its checksum, as the page computes it: of JSON.stringify in the order of the file."""
    rest = {name: value for name, value in record.items() if name != "checksum"}
    text = json.dumps(rest, separators=(",", ":"), ensure_ascii=False)
    return f"{zlib.crc32(text.encode()):08x}"


def read_results(paths: Sequence[Path], key: StudyKey, key_path: Path) -> list[Reading]:
    """Reads the result files of one study, one per reader, sorted by the reader's name.

    Raises:
        FileError: a file is no result, was changed, or belongs to another study.
        RequestError: two files of one reader, or no answer to any trial.
    """
    found: dict[str, Path] = {}
    readings = []
    for path in paths:
        reading = _read(path)
        _check_study(reading, path, key, key_path)
        name = _known_as(reading)
        if name in found:
            cure = "give the latest file of each reader; two readers of one name take the study again under other names"
            raise RequestError(path, f"reader {reading.reader.name!r} has also {found[name]}", "one file each", cure)
        found[name] = path
        readings.append(reading)
    return sorted(readings, key=_known_as)


def _known_as(reading: Reading) -> str:
    """A reader's name as it is compared: without regard to case and spaces."""
    return " ".join(reading.reader.name.casefold().split())


def _read(path: Path) -> Reading:
    record = read_json(path)
    if record.get("format") != RESULT_FORMAT:
        raise FileError(path, "no result of a reader study", cure=_PAGE)
    if record.get("checksum") != checksum(record):
        found = "changed after it was saved: its checksum does not fit"
        raise FileError(path, found, cure="open the study page in the same browser under the same name and save again")
    try:
        return Reading.model_validate_json(json.dumps(record))
    except ValidationError as error:
        problem = first_problem(error)
        raise FileError(path, problem.found, problem.limit, _PAGE) from error


def _check_study(reading: Reading, path: Path, key: StudyKey, key_path: Path) -> None:
    if reading.key_hash != key.hash:
        found = f"from study {reading.study}, while {key_path} is the key of study {key.study}"
        raise FileError(path, found, cure="give the key.json of that study: --key")
    last = len(key.answers)
    calls = {"real", "synthetic"} if key.mode is Mode.SINGLE else {"left", "right"}
    if [answer.trial for answer in reading.answers] != list(range(len(reading.answers))) or len(reading.answers) > last:
        raise FileError(path, "answers are not those of trials 0, 1, ...", cure=_PAGE)
    if any(answer.call not in calls for answer in reading.answers):
        raise FileError(path, f"calls other than {' and '.join(sorted(calls))}", cure=_PAGE)
    if not reading.answers:
        raise RequestError(path, "holds no answer", "at least one", "let the reader finish, or leave the file out")
