"""The page of requested and measured lesions, from hand-written records."""

import json
import re
import tracemalloc
from html import escape, unescape

import nibabel as nib
import numpy as np
import pytest

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cli.synthesizing import _page_of_what_is_made
from medsmith.errors import SynthesisError
from medsmith.evaluation.pages.sheets import size_within
from medsmith.geometry import Geometry
from medsmith.measurement.adherence import MEASURED_BY
from medsmith.synthesis import lesions_line, lesions_page, write_lesions_page
from medsmith.synthesis.lesions_page import BONE_WINDOW, LUNG_WINDOW, SOFT_WINDOW, _half_mm, _window
from medsmith.synthesis.missed import MissedValue, Misses, write_missed
from narrowing import present

VALUE = MissedValue(attribute="size", requested="9 mm", measured="5 mm", met_by="8 to 10 mm")
SAID = ["'cavitating' is read as dark areas", "set aside: 'thick wall'"]
CLOSEST = "(the closest, c: size: 9 mm asked, 5 mm measured)"
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
        {"attribute": "size_mm", "requested": [8.0, 8.0, 8.0], "measured": [8.0, 8.0, 8.0], "passed": True},
        {"attribute": "density", "requested": "hypodense", "measured": "<isodense>", "passed": False},
    ]
    one = {
        "requested": {"organ": "liver", "density": "hypodense"},
        "box": [[10, 9, 8], [14, 13, 12]],
        "attempts": 3,
        "visible": True,
        "passed": False,
        "verdicts": verdicts,
    }
    made = {"weights_hash": "a" * 64, "template": "scan", "attempt": 2, "refused": {"lesions_as_requested": 2}}
    return {"synthetic": True, "limits": {"attempts": 50, "missed_attempts": 4}} | made | {"lesions": [one | lesion]}


@pytest.mark.parametrize("flip", [1, -1])
def test_every_attribute_is_listed_with_pictures_and_names_are_escaped(tmp_path, flip):
    affine = np.diag([flip * 2.0, 2.0, 2.0, 1.0])
    scans = cohort(tmp_path / "scans", ["scan"], lesion=False, affine=affine)
    box = record()["lesions"][0]["box"] if flip == 1 else [[10, 9, 8], [14, 13, 12]]
    made = cohort(tmp_path / "out", ["a", "b"], lesion=True, affine=affine, provenance=record(box=box))
    page = present(write_lesions_page(made.root, scans.root))
    html = page.read_text()
    assert page == tmp_path / "out" / "lesions.html"
    line = "0 of 2 lesions as asked in every measured attribute; visible: 2."
    attempts = "Attempts at the 2 cases made: 6, of which the checks refused 4 (lesions_as_requested 4); in the 2 that"
    assert f"{attempts} passed lesions were drawn 6 times." in html
    assert "not made" not in html
    assert line in html
    assert lesions_line(made.root) == line
    assert "off by at most 15% of each edge, or 2 voxels" in html
    met_by = "hypodense or hypodense fluid-like</td><td>no</td>"
    assert f"<td>density</td><td>hypodense</td><td>&lt;isodense&gt;</td><td>{met_by}" in html
    assert all(MEASURED_BY[name] in html for name in ("size_mm", "density"))
    assert "size_mm" not in html
    assert html.count("data:image/png;base64,") == 2
    assert "&lt;isodense&gt;" in html
    assert "<isodense>" not in html
    assert "2 (100%)" in html
    assert "0 (0%)" in html
    assert "not for diagnosis" in html
    assert '<a href="../out-view/index.html">Look at the cases in their viewer (written by: medsmith view out)' in html


def test_a_call_that_ends_with_fewer_cases_leaves_the_page_of_those_it_made(tmp_path):
    scans = cohort(tmp_path / "scans", ["scan"], lesion=False, affine=np.eye(4))
    made = cohort(tmp_path / "out", ["a"], lesion=True, affine=np.eye(4), provenance=record())
    write_missed(
        made.root,
        {"b": Misses(attempts={"density": 4}), "c": Misses(attempts={"density": 1, "size_mm": 4}, closest=(VALUE,)),
         "d": Misses(unplaced="report: no room for <it>")},
    )  # fmt: skip
    with pytest.raises(SynthesisError), _page_of_what_is_made(made.root, scans.root):
        raise SynthesisError(made.root / "synthesis.json", "another plan")
    assert not (made.root / "lesions.html").exists()
    with pytest.raises(SynthesisError), _page_of_what_is_made(made.root, scans.root):
        raise SynthesisError(made.root, "fewer cases")
    why = "no template can take the reports of 1 (the first, d: report: no room for <it>)"
    line = f"1 case made, 3 not made: lesions missed density in 5 attempts, size in 4 attempts {CLOSEST}; {why}."
    html = (made.root / "lesions.html").read_text()
    assert escape(line) in html
    assert "<h2>Not made: no template can take the report</h2>" in html
    assert "<td>d</td><td>report: no room for &lt;it&gt;</td>" in html
    assert "<td>c</td><td>size</td><td>9 mm</td><td>5 mm</td><td>8 to 10 mm</td>" in html
    assert "At the 2 not made since they missed the request: 8, all refused." in html
    assert lesions_line(made.root).endswith(f": 1. {line}")


def test_what_the_rules_drew_is_listed_and_counts_for_nothing(tmp_path):
    scans = cohort(tmp_path / "scans", ["scan"], lesion=False, affine=np.eye(4))
    given = record(drawn=["density", "surface"], passed=True)
    made = cohort(tmp_path / "out", ["a"], lesion=True, affine=np.eye(4), provenance=given)
    html = present(write_lesions_page(made.root, scans.root)).read_text()
    assert "<td>density</td><td>hypodense (drawn by the rules)</td><td>&lt;isodense&gt;</td><td></td><td></td>" in html
    assert "<td>1 (100%)</td>" in html  # the size
    assert "0 (0%)" not in html
    line = "1 of 1 lesion as asked in every measured attribute; visible: 1; "
    assert lesions_line(made.root) == f"{line}drawn by the rules and not counted: 1 value, 0 met."


def test_lesions_that_need_not_stand_out_are_counted_apart(tmp_path):
    given = record(requested={"organ": "liver", "density": "isodense"})
    made = cohort(tmp_path / "out", ["a", "b"], lesion=True, affine=np.eye(4), provenance=given)
    line = "visible: 2 (2 asked to be isodense, which need not stand out)."
    assert lesions_line(made.root).endswith(line)


@pytest.mark.parametrize("where", [{"remarks": SAID}, {"request": {"remarks": SAID}}], ids=["case", "earlier version"])
def test_words_that_a_report_does_not_hold_stand_beside_what_is_as_asked(tmp_path, where):
    scans = cohort(tmp_path / "scans", ["scan"], lesion=False, affine=np.eye(4))
    given = record() | where
    made = cohort(tmp_path / "out", ["a", "b"], lesion=True, affine=np.eye(4), provenance=given)
    html = present(write_lesions_page(made.root, scans.root)).read_text()
    line = "Of the words of the request: 'cavitating' is read as dark areas; set aside: 'thick wall'."
    assert unescape(html).count(line) == 1
    assert lesions_line(made.root).endswith(f": 2. {line}")


def test_every_lesion_of_a_case_has_its_picture(tmp_path):
    scans = cohort(tmp_path / "scans", ["scan"], lesion=False, affine=np.eye(4))
    (one,) = record()["lesions"]
    both = record() | {"lesions": [one, one | {"box": [[2, 2, 2], [6, 6, 6]], "attempts": 1}]}
    made = cohort(tmp_path / "out", ["a"], lesion=True, affine=np.eye(4), provenance=both)
    assert present(write_lesions_page(made.root, scans.root)).read_text().count("data:image/png;base64,") == 2
    assert "0 of 2 lesions as asked in every measured attribute; visible" in lesions_line(made.root)


@pytest.mark.parametrize(
    ("organ", "window"),
    [("lung_left", LUNG_WINDOW), ("vertebrae_L1", BONE_WINDOW), ("bone", BONE_WINDOW), ("liver", SOFT_WINDOW)],
)
def test_organs_are_shown_in_their_own_window(organ, window):
    """In that of soft tissue a lesion of bone is white as all bone."""
    assert _window(organ) == window


def test_a_lesion_near_the_border_is_not_stretched(tmp_path, monkeypatch):
    """A part of 12 x 16 voxels of 1 x 2 mm is cut out, by way of example."""
    sheets = []

    def record_sheet(rows):
        sheets.append(rows)
        return b"png"

    monkeypatch.setattr(lesions_page, "contact_sheet", record_sheet)
    affine, labels = np.diag([1.0, 2.0, 2.0, 1.0]), np.zeros((12, 60, 20), np.uint8)
    for root, lesion in (("scans", False), ("out", True)):
        labels[4:8, 28:30, 8:12] = 2 if lesion else 0
        out = Cohort.create(tmp_path / root, channel_names=("CT",), label_names=NAMES, file_ending=".nii.gz")
        given = record(box=[[4, 29, 8], [8, 31, 12]]) if lesion else None
        out.write(Case("scan", np.zeros((1, *labels.shape), np.float32), labels, Geometry(labels.shape, affine),
                       ("CT",), NAMES, np.dtype("i2"), provenance=given))  # fmt: skip
        out.finish()
    assert write_lesions_page(tmp_path / "out", tmp_path / "scans")
    ((tiles,),) = sheets
    assert [size_within(96, tile.image.shape, tile.pixel) for tile in tiles] == [(36, 96)] * 3


@pytest.mark.parametrize(("edge", "half"), [(3, 16.0), (8, 16.0), (12, 24.0), (24, 48.0), (60, 48.0)])
def test_small_lesions_are_shown_larger(edge, half):
    grid = Geometry((90, 90, 90), np.eye(4))
    assert _half_mm([[5, 5, 5], [5 + edge, 6, 80]], grid) == half


def test_cases_without_lesions_have_no_page(tmp_path):
    scans = cohort(tmp_path / "scans", ["scan"], lesion=False, affine=np.eye(4))
    plain = cohort(tmp_path / "out", ["a"], lesion=True, affine=np.eye(4), provenance={"synthetic": True})
    assert write_lesions_page(plain.root, scans.root) is None
    assert lesions_line(plain.root) == ""
    assert not (tmp_path / "out" / "lesions.html").exists()
    assert json.loads((tmp_path / "out" / "provenance" / "a.json").read_text())["synthetic"]


def stored(root, axes, flips, *, lesion):
    """The same anatomy, as a file along other axes holds it."""
    rng, affine = np.random.default_rng(5), np.diag([2.0, 1.5, 3.0, 1.0])
    image, labels = rng.normal(60, 40, (24, 22, 20)).round().astype(np.float32), np.ones((24, 22, 20), np.uint8)
    if lesion:
        labels[10:14, 9:13, 8:12], labels[2:20, 2:20, 11] = 2, 2
    there = nib.orientations.inv_ornt_aff(np.column_stack([axes, flips]), labels.shape)
    image, labels = (nib.orientations.apply_orientation(a, np.column_stack([axes, flips])) for a in (image, labels))
    out = Cohort.create(root, channel_names=("CT",), label_names=NAMES, file_ending=".nii.gz")
    case = Case("scan", image[None], labels, Geometry(labels.shape, affine @ there), ("CT",), NAMES, np.dtype("i2"),
                provenance=record() if lesion else None)  # fmt: skip
    out.write(case)
    out.finish()
    return out.root


def test_pictures_do_not_depend_on_the_axes_of_the_file(tmp_path):
    pictures = set()
    for number, (axes, flips) in enumerate([((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (-1, 1, 1)), ((1, 0, 2), (1, -1, -1))]):
        made, scans = (
            stored(tmp_path / f"{name}{number}", axes, flips, lesion=name == "out") for name in ("out", "scans")
        )
        html = present(write_lesions_page(made, scans)).read_text()
        pictures.add(present(re.search('data:image/png;base64,[^"]*', html))[0])
    assert len(pictures) == 1


def test_large_scans_are_not_held_in_memory(tmp_path):
    """26 MB as stored, 52 MB as float32, each of two scans."""
    shape, affine = (256, 256, 200), np.diag([0.8, 0.8, 2.0, 1.0])
    for root, lesion in (("scans", False), ("out", True)):
        labels = np.zeros(shape, np.uint8)
        labels[100:120, 100:120, 90:100] = 2 if lesion else 0
        out = Cohort.create(tmp_path / root, channel_names=("CT",), label_names=NAMES, file_ending=".nii.gz")
        box = [[100, 100, 90], [120, 120, 100]]
        out.write(Case("scan", np.zeros((1, *shape), np.float32), labels, Geometry(shape, affine), ("CT",), NAMES,
                       np.dtype("i2"), provenance=record(box=box) if lesion else None))  # fmt: skip
    tracemalloc.start()
    try:
        assert write_lesions_page(tmp_path / "out", tmp_path / "scans")
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
