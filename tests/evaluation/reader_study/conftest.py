"""A study that several test files score."""

import pytest

from medsmith.evaluation.reader_study.plan import REAL, SYNTHETIC
from readings import make_key, write_result


@pytest.fixture
def paper(tmp_path):
    """Table 1 (a): 15 real, 15 synthetic; the readers call 1, 1, 5 real and 0, 2, 1 synthetic images synthetic."""
    key = make_key(tmp_path / "key.json", [REAL] * 15 + [SYNTHETIC] * 15)
    files = []
    for number, (alarms, hits) in enumerate(((1, 0), (1, 2), (5, 1)), 1):
        ratings = [4] * alarms + [2] * (15 - alarms) + [5] * hits + [1] * (15 - hits)
        files.append(write_result(tmp_path / f"r{number}.json", key, ratings, reader=f"Radiologist {number}"))
    return tmp_path, key, files
