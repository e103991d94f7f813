"""What a user says of lesions, in any of its forms."""

import json

import pytest

from medsmith.conditioning.authors import to_authors
from medsmith.conditioning.reading import read_report
from medsmith.conditioning.schema import LesionReport, ScanReport
from medsmith.errors import FileError, RequestError

CYST = LesionReport(organ="kidney_right", shape=("round-like",), size_mm=(20.0, 20.0, 20.0), density="hypodense")


def test_words_and_both_files_mean_the_same_lesion(tmp_path):
    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    ours.write_text(ScanReport(lesions=(CYST,)).model_dump_json())
    theirs.write_text(json.dumps(to_authors(ScanReport(lesions=(CYST,)))))
    for said in ("a 20 mm round-like hypodense lesion in the right kidney", str(ours), str(theirs)):
        (lesion,) = read_report(said).report.lesions
        assert (lesion.organ, lesion.shape, lesion.density) == (CYST.organ, CYST.shape, CYST.density)
        assert lesion.size_mm == CYST.size_mm


def test_what_describes_no_lesion_is_refused_with_what_was_not_understood():
    with pytest.raises(RequestError, match=r"describes no lesion; .*not placed: 'xyzzy'"):
        read_report("xyzzy")


def test_a_file_that_is_neither_form_is_refused_by_its_key(tmp_path):
    (tmp_path / "bad.json").write_text('{"lesions": [{"shape": ["square"]}]}')
    with pytest.raises(FileError, match=r"bad.json: lesions.0.shape.0: .*see medsmith report schema"):
        read_report(str(tmp_path / "bad.json"))
    with pytest.raises(FileError):
        read_report(str(tmp_path / "missing.json"))
