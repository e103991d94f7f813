"""The script of a case: the same voxels at the same place, windows, legend and facts."""

import json

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_cases import make_case
from medsmith.cases.cohort import Cohort
from medsmith.errors import FileError
from medsmith.geometry import Geometry
from medsmith.viewer import write_view
from medsmith.viewer.case_file import blocks
from view_files import NAMES, cohort_of, read_index, read_script, record, scan


def script_of(tmp_path, case, ending=".nii.gz"):
    cohort = cohort_of(tmp_path / "cohort", case, ending=ending)
    return read_script(write_view(cohort).page.parent / "cases" / f"{case.id}.js")


def test_the_volumes_are_those_of_the_files(tmp_path):
    case = scan("a")
    script = script_of(tmp_path, case)
    for name, file in (("channel 0", "imagesTr/a_0000.nii.gz"), ("labels", "labelsTr/a.nii.gz")):
        stored = nib.as_closest_canonical(nib.load(tmp_path / "cohort" / file))
        embedded = script.volumes[name]
        assert np.array_equal(embedded.dataobj, stored.dataobj)
        assert embedded.get_data_dtype() == stored.get_data_dtype()
        np.testing.assert_allclose(embedded.affine, stored.affine)
    assert "synthetic" not in str(script.volumes["channel 0"].header["descrip"])


def test_floats_and_several_channels(tmp_path):
    image = np.random.default_rng(0).normal(size=(2, 12, 10, 8)).astype(np.float32)
    case = scan("a", image=image, channel_names=("T1", "T2"), stored=np.dtype(np.float64), labels=None)
    script = script_of(tmp_path, case)
    assert script.volumes.keys() == {"channel 0", "channel 1"}
    for index in range(2):
        assert np.array_equal(script.volumes[f"channel {index}"].dataobj, image[index, ::-1, ::-1])
    assert [channel["name"] for channel in script.content["channels"]] == ["T1", "T2"]
    assert script.content["legend"] == []


def test_label_maps_alone(tmp_path):
    script = script_of(tmp_path, scan("a", image=None, channel_names=()))
    assert script.volumes.keys() == {"labels"}
    assert script.content["channels"] == []


def test_pictures_are_drawn_as_they_are(tmp_path):
    """NiiVue draws the left of the patient to the right and the front at the top: x must run left, and y back."""
    case = make_case("a")
    script = script_of(tmp_path, case, ".png")
    embedded = script.volumes["channel 0"]
    assert nib.aff2axcodes(embedded.affine) == ("L", "P", "S")
    assert np.array_equal(embedded.dataobj, case.require_image()[0])
    assert (script.content["plane"], script.content["oriented"]) == ("axial", False)
    assert script.content["grid"] == "12 × 12 pixels"


@pytest.mark.parametrize(("axes", "plane"), [((0, 1, 2), "axial"), ((0, 2, 1), "coronal"), ((1, 2, 0), "sagittal")])
def test_a_single_slice_is_shown_in_its_plane(tmp_path, axes, plane):
    affine = np.zeros((4, 4))
    affine[axes, (0, 1, 2)], affine[3, 3] = (2.0, 3.0, 5.0), 1
    image, labels = np.ones((1, 9, 8, 1), np.float32), np.ones((9, 8, 1), np.uint8)
    case = scan("a", image=image, labels=labels, geometry=Geometry(labels.shape, affine))
    assert script_of(tmp_path, case).content["plane"] == plane


def test_ct_has_its_windows_and_the_lung_comes_first_for_its_lesions(tmp_path):
    windows = script_of(tmp_path / "a", scan("a")).content["channels"][0]["windows"]
    assert [w["name"] for w in windows] == ["Soft tissue", "Lung", "Bone", "Liver", "Brain", "Automatic"]
    assert (windows[0]["low"], windows[0]["high"]) == (-160, 240)
    lung = scan("a", report={"lesions": [{"organ": "lung_left"}]})
    content = script_of(tmp_path / "b", lung).content
    assert content["channels"][0]["windows"][0] == {"name": "Lung", "low": -1350, "high": 150}
    assert content["channels"][0]["unit"] == "HU"


def test_other_images_run_between_their_percentiles(tmp_path):
    image = np.random.default_rng(1).gamma(2, 100, (1, 12, 10, 8)).astype(np.float32)
    case = scan("a", image=image, channel_names=("MR",), stored=np.dtype(np.float32))
    channel = script_of(tmp_path, case).content["channels"][0]
    low, high = np.percentile(image, (0.5, 99.5))
    assert channel["windows"][0] == {"name": "Automatic", "low": pytest.approx(low), "high": pytest.approx(high)}
    assert channel["windows"][1] == {
        "name": "Full range",
        "low": pytest.approx(image.min()),
        "high": pytest.approx(image.max()),
    }
    assert channel["unit"] == ""


def test_an_image_of_one_value_has_a_window(tmp_path):
    case = scan("a", image=np.full((1, 12, 10, 8), 7, np.float32), channel_names=("MR",))
    window = script_of(tmp_path, case).content["channels"][0]["windows"][0]
    assert (window["low"], window["high"]) == (6.5, 7.5)


def test_the_legend_names_the_labels_that_occur(tmp_path):
    names = NAMES | {f"organ_{value}": value for value in range(3, 60)}
    labels = np.zeros((12, 10, 8), np.uint8)
    labels.ravel()[:60] = np.arange(60)
    labels[5] = 2
    legend = script_of(tmp_path, scan("a", labels=labels, label_names=names)).content["legend"]
    assert [(entry["name"], entry["value"]) for entry in legend] == list(names.items())[1:]
    assert [entry["voxels"] for entry in legend[:3]] == [1, 81, 1]
    colors = [entry["color"] for entry in legend]
    assert colors[1] == "#ff2f2f"
    assert len(set(colors[:40])) == 40
    assert script_of(tmp_path / "2", scan("a")).content["legend"][1]["voxels"] == 3 * 2 * 3


def test_the_first_place_lies_in_the_lesion(tmp_path):
    script = script_of(tmp_path, scan("a"))
    labels = script.volumes["labels"]
    voxel = np.linalg.inv(labels.affine) @ [*script.content["focus"], 1]
    assert np.asarray(labels.dataobj)[tuple(np.rint(voxel[:3]).astype(int))] == 2


def table(script, title):
    return next(table for table in script.content["facts"] if table["title"].startswith(title))


def test_requested_and_measured_values_stand_side_by_side(tmp_path):
    script = script_of(tmp_path, scan("a", provenance=record(passed=False)))
    lesion, off = table(script, "Lesion 1: liver cyst"), "off by at most 15% of each edge, or 2 voxels"
    assert lesion["rows"] == [
        {"cells": ["size", "6 x 3 x 9 mm", "6 x 3 x 9 mm", off], "failed": False},
        {"cells": ["density", "hypodense", "isodense", "hypodense or hypodense fluid-like"], "failed": True},
        {"cells": ["visible", "yes", "yes", "yes"], "failed": False},
    ]
    labels = script.volumes["labels"]
    voxel = np.linalg.inv(labels.affine) @ [*lesion["place"], 1]
    np.testing.assert_allclose(voxel[:3], [7, 4.5, 3], atol=1e-3)
    assert ["mean hu", "12.35"] in [row["cells"] for row in table(script, "Lesion 1: measurements")["rows"]]
    assert table(script, "Checks")["rows"][0]["cells"] == ["lesions visible", "0", "≤ 0", "passed"]
    assert table(script, "Checks")["rows"][1]["cells"][3] == "not made: no statistics"
    assert {"cells": ["refused attempts", "image noise 2"], "failed": False} in table(script, "Origin")["rows"]
    assert script.content["failed"] == 1


def test_an_invisible_lesion_and_a_failed_check_count(tmp_path):
    made = record()
    made["lesions"][0]["visible"] = False
    made["checks"][0] |= {"outcome": "failed", "value": 1.0}
    cohort = cohort_of(tmp_path / "out", scan("a", provenance=made), scan("b", provenance=record()))
    folder = write_view(cohort).page.parent
    assert [(case["id"], case["failed"]) for case in read_index(folder)["cases"]] == [("a", 2), ("b", 0)]


def test_reported_lesions_and_adherence(tmp_path):
    report = {"lesions": [{"kind": "cyst", "size_mm": [4.0, 5.5], "measured": {"grey_inside": 87.279}}]}
    made = {"synthetic": True, "method": "mddpm", "adherence": {"Dice lung": 0.91234}}
    script = script_of(tmp_path, scan("a", report=report, provenance=made))
    cells = [row["cells"] for row in table(script, "Reported lesion 1: cyst")["rows"]]
    assert cells == [["kind", "cyst"], ["grey inside", "87.28"], ["size mm", "4, 5.5"]]
    assert table(script, "Image and guides")["rows"][0]["cells"] == ["Dice lung", "0.9123"]


@pytest.mark.parametrize(
    ("provenance", "kind", "words"),
    [
        ({"synthetic": True}, "synthetic", "SYNTHETIC – research only, not for diagnosis"),
        ({"synthetic": False, "labels": "predicted"}, "predicted", "REAL image, PREDICTED labels"),
        (None, "real", "No provenance: taken to be REAL"),
    ],
)
def test_the_notice_says_what_a_case_is(tmp_path, provenance, kind, words):
    script = script_of(tmp_path, scan("a", provenance=provenance))
    assert script.content["kind"] == kind
    assert script.content["notice"].startswith(words)
    assert script.content["notice"].endswith("not for diagnosis")
    assert read_index(tmp_path / "cohort-view")["cases"] == [{"id": "a", "kind": kind, "failed": 0}]


@pytest.mark.parametrize("box", [None, "abc", [["inf"] * 3] * 2, [[1e308] * 3, [1e308] * 3], [[10**400] * 3] * 2])
def test_a_damaged_record_is_one_line(tmp_path, box):
    cohort = cohort_of(tmp_path / "out", scan("a", provenance=record()))
    path = tmp_path / "out" / "provenance" / "a.json"
    made = json.loads(path.read_text())
    made["lesions"][0]["box"] = box
    path.write_text(json.dumps(made))
    limit = "it holds what medsmith does not write; restore or remove it"
    with pytest.raises(FileError, match=f"^provenance/a.json: is damaged; {limit}$"):
        write_view(Cohort.open(cohort.root))
    assert not (tmp_path / "out-view" / "index.html").exists()


@given(st.lists(st.binary(max_size=40)), st.integers(1, 30))
def test_blocks_are_the_same_bytes(parts, size):
    found = list(blocks(parts, size))
    assert b"".join(found) == b"".join(parts)
    assert all(len(block) == size for block in found[:-1])
    assert all(0 < len(block) <= size for block in found)
