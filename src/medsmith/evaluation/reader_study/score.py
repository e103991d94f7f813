"""Scores a reader study: result files and key in, ``score.json`` and ``score.html`` out."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from medsmith.errors import FileError, RequestError
from medsmith.evaluation.pages.page import write_page
from medsmith.evaluation.reader_study.key import StudyKey, read_key
from medsmith.evaluation.reader_study.plan import check_margin
from medsmith.evaluation.reader_study.results import read_results
from medsmith.evaluation.reader_study.score_page import TITLE, score_page
from medsmith.evaluation.reader_study.study_score import StudyScore, score_readings
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.formats.lock import hold_output
from medsmith.formats.opening import read_bytes

SCORE, SCORE_PAGE = "score.json", "score.html"
_ELSEWHERE = "choose another folder: --out"


def score_study(results: Sequence[Path], key_path: Path, out: Path | str, *, margin: float | None = None) -> StudyScore:
    """Scores result files and writes ``score.json`` and ``score.html``.

    Args:
        results: one file per reader, as the study page saved them.
        key_path: the study's key.json.
        out: folder for the report; created if missing.
        margin: another equivalence margin than the declared one, which is flagged; None for the declared one.

    Raises:
        FileError: a file is damaged, was changed, or belongs to another study; or ``out`` holds other files of these
            names.
        RequestError: a reader has two files, a margin out of range, no file, or one that would be written over.
        CohortError: another process writes to ``out``.
    """
    if margin is not None:
        check_margin(margin, "leave it out for the declared one")
    if not results:
        raise RequestError("result files", "none given", "one per reader", "give the files that the readers saved")
    key = read_key(key_path)
    readings = read_results(results, key, key_path)
    score = score_readings(readings, key, margin)
    page = score_page(score)
    with hold_output(Path(out)):
        _check_own(Path(out), key, (key_path, *results))
        write_json(Path(out) / SCORE, score.as_json())
        write_page(page, Path(out) / SCORE_PAGE)
    return score


def _check_own(out: Path, key: StudyKey, inputs: Iterable[Path]) -> None:
    """Refuses to write over what is read, and over anything but an earlier score of this study."""
    for path, belongs in ((out / SCORE, _is_score), (out / SCORE_PAGE, _is_page)):
        if not (path.exists() or path.is_symlink()):
            continue
        if any(path.samefile(given) for given in inputs if path.exists()):
            raise RequestError(path, "is one of the files to score", "nothing that is read is overwritten", _ELSEWHERE)
        if not belongs(path, key):
            raise FileError(path, f"exists and is no score of study {key.study}", "nothing is overwritten", _ELSEWHERE)


def _is_score(path: Path, key: StudyKey) -> bool:
    try:
        found = read_json(path)
    except FileError:
        return False
    return found.get("key_hash") == key.hash and "readers" in found and "equivalence" in found


def _is_page(path: Path, key: StudyKey) -> bool:
    try:
        text = read_bytes(path).decode(errors="replace")
    except FileError:
        return False
    return f"<title>{TITLE}</title>" in text and key.hash in text
