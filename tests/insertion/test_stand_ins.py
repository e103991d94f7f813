"""Organs that a map lacks: what stands for a lobe, and what a refusal proposes to ask for."""

import re

import numpy as np
import pytest

from medsmith.cli import main
from medsmith.errors import RequestError
from medsmith.geometry import Geometry
from medsmith.insertion.asked_organs import AskedOrgans
from medsmith.insertion.boxes import place_boxes
from medsmith.insertion.coarse_map import coarse_map
from medsmith.insertion.organ_map import OrganMap
from medsmith.insertion.reports import completed_report
from medsmith.insertion.stand_ins import placed_in, stand_in, to_ask_for
from medsmith.reports.schema import LesionReport
from unread_scans import unread_scans

SIDES = {"lung_left": 1, "lung_right": 2, "soft_tissue": 3, "bone": 4}
WHOLE = {"lung": 1, "soft_tissue": 3}
LOBES = {"lung_upper_lobe_left": 1, "lung_lower_lobe_left": 2}
DENSITY = "there it counts as '{}': ask for that"
TOLD = "lower lobe of the left lung: placed anywhere in the left lung; the organ map has no lobes"


@pytest.mark.parametrize(
    ("organ", "known", "expected"),
    [
        ("lung_lower_lobe_left", SIDES, "lung_left"),
        ("lung_middle_lobe_right", {"Right lung": 7}, "lung_right"),
        ("lung_upper_lobe", SIDES, "lung"),
        ("lung_lower_lobe_left", WHOLE, None),  # the side would be lost
        ("lung_lower_lobe_left", {"lung_right": 1}, None),
        ("lung_lower_lobe_left", LOBES, None),  # which is there
        ("lung_left", WHOLE, None),
        ("kidney_left", {"kidney": 1, "kidney_right": 2}, None),
        ("vertebrae_L3", SIDES, None),
        ("liver", SIDES, None),
    ],
)
def test_only_the_lung_of_its_side_stands_for_a_lobe(organ, known, expected):
    assert stand_in(organ, known) == expected


@pytest.mark.parametrize(
    ("organ", "known", "cure"),
    [
        ("lung_lower_lobe_left", WHOLE, "ask for 'lung'"),
        ("lung_left", WHOLE, "ask for 'lung'"),
        ("kidney_left", {"kidney": 1}, "ask for 'kidney'"),
        ("kidney_left", {"Right kidney": 1, "soft_tissue": 2}, "ask for 'right kidney'"),
        ("lung_left", {"lung_right": 1}, "ask for 'right lung'"),
        ("vertebrae_L3", SIDES, DENSITY.format("bone")),
        ("rib_left_4", SIDES, DENSITY.format("bone")),
        ("liver", SIDES, DENSITY.format("soft tissue")),
        ("kidney", SIDES, DENSITY.format("soft tissue")),
        ("lung", {"soft_tissue": 1}, "name one of these"),
        ("bone", {"soft_tissue": 1}, "name one of these"),
        ("elbow", SIDES, "name one of these"),
        ("liver", {"spleen": 1}, "name one of these"),
    ],
)
def test_the_cure_names_what_the_map_has(organ, known, cure):
    assert to_ask_for(organ, known) == cure


def organ_map(names):
    labels = np.zeros((24, 24, 24), np.uint8)
    for place, value in enumerate(names.values()):
        labels[:, :, 24 // len(names) * place : 24 // len(names) * (place + 1)] = value
    return OrganMap(labels, names, Geometry((24, 24, 24), np.eye(4)), "a map")


def test_a_lesion_of_a_lobe_lies_in_the_lung_of_its_side():
    asked = LesionReport(organ="lung_lower_lobe_left", size_mm=(5.0, 5.0, 5.0))
    found, rng = organ_map({"lung_left": 1, "lung_right": 2}), np.random.default_rng(0)
    report = completed_report(asked, (), found, rng)
    assert report.organ == "lung_left"
    (box,) = place_boxes([report], found, rng)
    assert (found.labels[box.slices] == 1).all()
    assert placed_in(str(asked.organ), str(report.organ)) == TOLD


def test_a_kidney_is_never_that_of_the_other_side():
    asked = LesionReport(lesion_type="kidney cyst", organ="kidney_left", size_mm=(5.0, 5.0, 5.0))
    found, rng = organ_map({"kidney_right": 1, "liver": 2}), np.random.default_rng(0)
    report = completed_report(asked, (), found, rng)
    with pytest.raises(RequestError) as refused:
        place_boxes([report], found, rng)
    assert refused.value.line == (
        "lesion 1: no kidney_left in the organ map (a map); it has kidney_right, liver; "
        "ask for 'right kidney', take another scan, or give a map that has it: --organ-map"
    )


def test_a_bare_scan_without_the_organ_says_what_it_has():
    image = np.full((30, 30, 30), -1000.0, np.float32)
    image[5:25, 5:25, 5:25] = 40.0
    found = coarse_map(image, Geometry(image.shape, np.eye(4)))
    for organ, cure in (("lung_left", "name one of these"), ("liver", DENSITY.format("soft tissue"))):
        with pytest.raises(RequestError) as refused:
            place_boxes([LesionReport(organ=organ, size_mm=(5.0, 5.0, 5.0))], found, np.random.default_rng(0))
        limit = re.fullmatch(r"it has (.*)", refused.value.limit)
        assert limit is not None
        assert "soft_tissue" in limit[1].split(", ")
        assert not {"air", "lung_left"} & set(limit[1].split(", "))
        assert refused.value.cure == f"{cure}, take another scan, or give a map that has it: --organ-map"


def test_a_lobe_is_told_before_scans_are_read(tmp_path, capsys):
    folder = unread_scans(tmp_path / "scans", {"background": 0, "lesion": 1})
    asked = AskedOrgans.model_validate(
        {"templates": folder, "organ_map": "coarse", "lesions": [{"organ": "lung_lower_lobe_left"}] * 2}
    )
    assert asked.check() == (TOLD,)
    assert (
        AskedOrgans.model_validate(
            {"templates": folder, "organ_map": "coarse", "lesions": [{"organ": "lung_left"}]}
        ).check()
        == ()
    )
    arguments = ["synthesize", "no-such-run", str(tmp_path / "out"), "--templates", str(folder)]
    assert main([*arguments, "--report", "12 mm nodule in the left lower lobe"]) == 2
    assert f"{TOLD}\n" in capsys.readouterr().err
