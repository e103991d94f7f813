"""What a user says of lesions, in whatever form: words, our JSON, or the released one."""

from pathlib import Path

from pydantic import ValidationError

from medsmith.conditioning.authors import from_authors
from medsmith.conditioning.parsing import Parsed, parse_report
from medsmith.conditioning.schema import ScanReport
from medsmith.errors import FileError, RequestError
from medsmith.formats.json_file import read_json


def read_report(said: str) -> Parsed:
    """Reads words, or a JSON file by its name.

    Args:
        said: a description of lesions, or the path of a file that ends in .json: a `ScanReport`, or an object of the
            released form (keys are TotalSegmentator's organ numbers).

    Raises:
        RequestError: the words describe no lesion.
        FileError: the file is of neither form.
    """
    parsed = _from_file(Path(said)) if said.strip().endswith(".json") else parse_report(said)
    if not parsed.report.lesions:
        cure = "say what and where: 'a 20 mm cyst in the right kidney'"
        raise RequestError("report", f"'{said}' describes no lesion", "; ".join(parsed.remarks), cure)
    return parsed


def _from_file(path: Path) -> Parsed:
    value = read_json(path)
    if value and all(str(key).isdecimal() for key in value):
        return from_authors(value, subject=path)
    try:
        return Parsed(ScanReport.model_validate(value))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise FileError(path, f"{key}: {first['msg']}", cure="see medsmith report schema") from None
