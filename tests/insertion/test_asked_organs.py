"""Organs that no scan can have are refused before scans and weights are loaded."""

import json
import re
import subprocess
import sys

import pytest

from medsmith.cli import main
from medsmith.errors import FileError, RequestError
from medsmith.insertion.asked_organs import AskedOrgans
from unread_scans import unread_scans

COARSE = "soft_tissue, bone, lung, lung_left, lung_right"
CURE = "there it counts as 'soft tissue': ask for that, or give a map that has it: --organ-map"


@pytest.fixture
def unlabeled(tmp_path):
    return unread_scans(tmp_path / "scans", {"background": 0, "lesion": 1})


@pytest.mark.parametrize(
    ("asked", "organ"),
    [
        ({"lesions": [{"organ": "kidney_right", "size_mm": [9, 9, 9]}]}, "kidney_right"),
        ({"lesions": [{"organ": "lung"}, {"organ": "liver"}]}, "liver"),
        ({"lesion_type": "kidney cyst"}, "kidney"),
        ({"lesions": [{"lesion_type": "kidney cyst"}], "organ_map": "coarse"}, "kidney"),
    ],
)
def test_an_organ_that_a_coarse_map_does_not_know_is_refused(asked, organ, unlabeled):
    with pytest.raises(RequestError) as raised:
        AskedOrgans.model_validate({"templates": str(unlabeled), **asked}).check()
    found = f"no {organ} in the organ map (coarse map by density)"
    assert raised.value.line == f"report: {found}; it knows {COARSE}; {CURE}"


def test_each_of_several_reports_is_looked_at(unlabeled, tmp_path):
    lines = [json.dumps({"lesions": [{"organ": organ}]}) for organ in ("lung", "spleen")]
    (tmp_path / "reports.jsonl").write_text("\n".join(lines))
    asked = AskedOrgans(templates=unlabeled, reports=tmp_path / "reports.jsonl")
    with pytest.raises(RequestError, match="report: no spleen in the organ map"):
        asked.check()


def test_where_no_organ_is_labeled_a_remark_says_what_lesions_are_placed_by(unlabeled):
    (remark,) = AskedOrgans.model_validate({"templates": str(unlabeled), "lesions": [{"organ": "lung"}]}).check()
    placed = "no labels of organs: lesions are placed by a coarse map by density"
    assert remark == f"{unlabeled}: {placed} (--organ-map totalsegmentator or FILE knows organs)"
    assert AskedOrgans.model_validate({"templates": str(unlabeled), "organ_map": "coarse"}).check() == ()


def test_nothing_is_said_of_organs_in_images_that_are_no_ct(tmp_path):
    folder = unread_scans(tmp_path / "scans", {"background": 0, "lesion": 1}, "ultrasound")
    assert AskedOrgans.model_validate({"templates": folder}).check() == ()


@pytest.mark.parametrize("channel", ["ultrasound", "MRI"])
@pytest.mark.parametrize(
    ("asked", "subject", "limit"),
    [
        ({"organ_map": "totalsegmentator"}, "--organ-map", "the organ map 'totalsegmentator' is made from CT"),
        ({"organ_map": "coarse"}, "--organ-map", "the organ map 'coarse' is made from CT"),
        ({"lesions": [{"organ": "kidney_right"}]}, "templates", "lesions from reports are made in CT"),
        ({"lesion_type": "kidney cyst"}, "templates", "lesions from reports are made in CT"),
    ],
)
def test_the_modality_is_looked_at_first(tmp_path, monkeypatch, channel, asked, subject, limit):
    monkeypatch.setenv("PATH", str(tmp_path))  # no TotalSegmentator
    folder = unread_scans(tmp_path / "scans", {"background": 0, "lesion": 1}, channel)
    with pytest.raises(RequestError) as raised:
        AskedOrgans.model_validate({"templates": folder, **asked}).check()
    cure = "for other images: medsmith synthesize copypaste, which places lesions by the cohort's own labels"
    assert raised.value.line.startswith(f"{subject}: {folder} holds {channel}; {limit}; {cure}")


def test_a_channel_without_a_name_may_be_ct(tmp_path):
    folder = unread_scans(tmp_path / "scans", {"background": 0, "lesion": 1}, "image")
    AskedOrgans.model_validate({"templates": folder, "lesions": [{"organ": "lung"}], "organ_map": "coarse"}).check()


def test_organs_of_the_labels_and_of_densities_pass(tmp_path):
    folder = unread_scans(tmp_path / "organs", {"background": 0, "liver": 1, "liver_tumor": 2})

    def check(organ, **asked):
        AskedOrgans.model_validate({"templates": folder, "lesions": [{"organ": organ}], **asked}).check()

    for organ in ("liver", "bone", "lung_left"):
        check(organ)
    source = re.escape(
        "no spleen in the organ map (labels of the template; the rest a coarse map by density); it knows"
    )
    with pytest.raises(RequestError, match=f"{source} liver, soft_tissue"):
        check("spleen")
    with pytest.raises(RequestError, match="report: no lesion lies in air; it knows liver, soft_tissue"):
        check("air")
    with pytest.raises(RequestError, match=re.escape("no liver in the organ map (coarse map by density)")):
        check("liver", organ_map="coarse")


def test_a_source_that_is_not_there_is_refused(unlabeled, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequestError, match="TotalSegmentator: is not installed; no such program on PATH; install it"):
        AskedOrgans(templates=unlabeled, organ_map="totalsegmentator").check()
    with pytest.raises(FileError, match="Coarse: does not exist; a label map, or template, totalsegmentator, coarse;"):
        AskedOrgans(templates=unlabeled, organ_map=tmp_path / "Coarse").check()
    AskedOrgans(organ_map="totalsegmentator").check()  # cubes of the template bank have their organs


def test_the_command_refuses_without_loading_weights(unlabeled, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    asked = ["synthesize", "no-such-run", str(tmp_path / "out"), "--templates", str(unlabeled)]
    assert main([*asked, "--report", "a cyst in the right kidney"]) == 2
    assert f"report: no kidney_right in the organ map (coarse map by density); it knows {COARSE}; {CURE}\n" in (
        capsys.readouterr().err
    )
    assert main([*asked, "--organ-map", "totalsegmentator"]) == 2
    assert capsys.readouterr().err.startswith("TotalSegmentator: is not installed; ")
    assert not (tmp_path / "out").exists()


def test_the_check_needs_no_networks():
    script = "import sys, medsmith.insertion.asked_organs; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("lesion", "without", "found"),
    [
        (
            {"lesion_type": "kidney stone", "density": "isodense"},
            [],
            "density: 'isodense' does not go with kidney stone",
        ),
        ({"organ": "kidney", "features": ["spiculated margins"]}, [], "report: 'spiculated margins' in organ 'kidney'"),
        ({"lesion_type": "kidney stone"}, [["hyperdense"]], "report: nothing is left without 'hyperdense'"),
    ],
)
@pytest.mark.parametrize("with_templates", [True, False])
def test_a_lesion_that_no_scan_can_have_is_refused_before_one_is_read(
    lesion, without, found, with_templates, unlabeled
):
    templates = {"templates": str(unlabeled)} if with_templates else {}
    with pytest.raises(RequestError) as raised:
        AskedOrgans.model_validate({**templates, "lesions": [lesion], "without": without}).check()
    assert raised.value.line.startswith(found)
