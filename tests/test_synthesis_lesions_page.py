"""The page of asked and got, from records that are written by hand."""

import json

import numpy as np
import pytest

from medsmith.case import Case, Geometry
from medsmith.cohort import Cohort
from medsmith.synthesis import write_lesions_page

pytestmark = pytest.mark.usefixtures("no_fsync")
NAMES = {"background": 0, "liver": 1, "lesion": 2}


def cohort(root, ids, *, lesion, affine, provenance=None):
    out = Cohort.create(root, channel_names=("CT",), label_names=NAMES, file_ending=".nii.gz")
    for id in ids:
        labels = np.ones((24, 22, 20), np.uint8)
        if lesion:
            labels[10:14, 9:13, 8:12] = 2
        image = np.where(labels == 2, 20.0, 60.0).astype(np.float32)
        case = Case(id, image[None], labels, Geometry(labels.shape, affine), ("CT",), NAMES, np.dtype(np.int16),
                    provenance=provenance)  # fmt: skip
        out.write(case)
    out.finish()
    return out


def record(**lesion):
    verdicts = [
        {"attribute": "size_mm", "asked": [8.0, 8.0, 8.0], "got": [8.0, 8.0, 8.0], "passed": True},
        {"attribute": "density", "asked": "hypodense", "got": "<isodense>", "passed": False},
    ]
    one = {
        "asked": {"organ": "liver", "density": "hypodense"},
        "box": [[10, 9, 8], [14, 13, 12]],
        "draws": 3,
        "visible": True,
        "passed": False,
        "verdicts": verdicts,
    }
    return {"synthetic": True, "weights_hash": "a" * 64, "template": "scan", "lesions": [one | lesion]}


@pytest.mark.parametrize("flip", [1, -1])
def test_every_verdict_is_told_with_pictures_and_names_are_escaped(tmp_path, flip):
    affine = np.diag([flip * 2.0, 2.0, 2.0, 1.0])
    scans = cohort(tmp_path / "scans", ["scan"], lesion=False, affine=affine)
    box = record()["lesions"][0]["box"] if flip == 1 else [[10, 9, 8], [14, 13, 12]]
    made = cohort(tmp_path / "out", ["a", "b"], lesion=True, affine=affine, provenance=record(box=box))
    page = write_lesions_page(made.root, scans.root)
    html = page.read_text()
    assert page == tmp_path / "out" / "lesions.html"
    assert "2 lesions from 6 draws: 0 are measured as they were asked for in every attribute, 2 can be seen" in html
    assert html.count("data:image/png;base64,") == 2
    assert "&lt;isodense&gt;" in html
    assert "<isodense>" not in html
    assert "2 (100%)" in html
    assert "0 (0%)" in html
    assert "not for diagnosis" in html


def test_cases_without_lesions_have_no_page(tmp_path):
    scans = cohort(tmp_path / "scans", ["scan"], lesion=False, affine=np.eye(4))
    plain = cohort(tmp_path / "out", ["a"], lesion=True, affine=np.eye(4), provenance={"synthetic": True})
    assert write_lesions_page(plain.root, scans.root) is None
    assert not (tmp_path / "out" / "lesions.html").exists()
    assert json.loads((tmp_path / "out" / "provenance" / "a.json").read_text())["synthetic"]
