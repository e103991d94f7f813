"""Scores a reader study: result files and key in, ``score.json`` and ``score.html`` out."""

from collections.abc import Sequence
from pathlib import Path

from medsmith.errors import RequestError
from medsmith.evaluation.pages.page import write_page
from medsmith.evaluation.reader_study.key import read_key
from medsmith.evaluation.reader_study.results import read_results
from medsmith.evaluation.reader_study.score_page import score_page
from medsmith.evaluation.reader_study.study_score import StudyScore, score_readings
from medsmith.formats.atomic import write_json

SCORE, SCORE_PAGE = "score.json", "score.html"


def score_study(results: Sequence[Path], key_path: Path, out: Path | str, *, margin: float | None = None) -> StudyScore:
    """Scores result files and writes ``score.json`` and ``score.html``.

    Args:
        results: one file per reader, as the study page saved them.
        key_path: the study's key.json.
        out: folder for the report; created if missing.
        margin: another equivalence margin than the declared one, which is flagged; None for the declared one.

    Raises:
        FileError: a file is damaged, was changed, or belongs to another study.
        RequestError: a reader has two files, a margin outside (0, .5), or no file.
    """
    if margin is not None and not 0 < margin < 0.5:
        raise RequestError("--margin", f"{margin:g}", "above 0 and below 0.5", "leave it out for the declared one")
    if not results:
        raise RequestError("result files", "none given", "one per reader", "give the files that the readers saved")
    key = read_key(key_path)
    readings = read_results(results, key, key_path)
    score = score_readings(readings, key, margin)
    write_json(Path(out) / SCORE, score.as_json())
    write_page(score_page(score), Path(out) / SCORE_PAGE)
    return score
