"""Cases and cohorts are described: whole, once, along the patient's axes, and with what is known alone."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from lesion_bodies import positions, scan_of_ball
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cli import main
from medsmith.formats.lock import hold_output
from medsmith.geometry import Geometry
from medsmith.measurement.describe import describe_case
from medsmith.measurement.reports import describe
from medsmith.reports.schema import ScanReport
from narrowing import present

NAMES = {"background": 0, "liver": 1, "aorta": 2, "tumour": 3, "cyst": 4}
MM = (1.0, 1.0, 1.0)


def scan(case_id="a", affine=None, channel="CT"):
    """A liver with a tumour of 20 x 12 x 12 mm and a cyst of 8 mm, and an aorta full of contrast agent."""
    rng = np.random.Generator(np.random.PCG64(0))
    x, y, z = positions(32, MM)
    labels = np.zeros(x.shape, dtype=np.uint8)
    labels[(np.abs(x) < 30) & (np.abs(y) < 26) & (np.abs(z) < 22)] = 1
    labels[(x + 33) ** 2 + (y - 30) ** 2 < 9] = 2
    labels[((x - 10) / 10) ** 2 + (y / 6) ** 2 + (z / 6) ** 2 <= 1] = 3
    labels[(x + 15) ** 2 + y**2 + z**2 <= 16] = 4
    image = np.array([-90.0, 105.0, 160.0, 60.0, 5.0])[labels] + 8 * rng.standard_normal(labels.shape)
    return Case(
        id=case_id,
        image=image[None].astype(np.float32),
        labels=labels,
        geometry=Geometry(labels.shape, np.eye(4) if affine is None else affine),
        channel_names=(channel,),
        label_names=NAMES,
        stored=np.dtype(np.int16),
    )


def run(folder, *options):
    with pytest.raises(SystemExit) as end:
        main(["describe", str(folder), *options])
    assert end.value.code == 0


@pytest.fixture
def cohort(tmp_path):
    made = Cohort.create(tmp_path / "in", channel_names=["CT"], label_names=NAMES, file_ending=".nii.gz")
    for case_id in ("a", "b"):
        case = scan(case_id)
        made.write(replace(case, image=np.rint(case.image), report={"note": "kept"} if case_id == "b" else None))
    made.finish()
    return tmp_path / "in"


@pytest.mark.parametrize(("spacing", "surface"), [((1.0, 1.0, 1.0), "ill-defined margin"), ((0.7, 0.7, 5.0), None)])
def test_a_blurred_margin_is_named_where_voxels_resolve_it(spacing, surface):
    rng = np.random.Generator(np.random.PCG64(2))
    image, mask = scan_of_ball(rng, 10.0, spacing, width_mm=5.0, noise=5.0)
    case = Case(
        id="a",
        image=image[None] - 100,
        labels=mask.astype(np.uint8),
        geometry=Geometry(mask.shape, np.diag([*spacing, 1.0])),
        channel_names=("CT",),
        label_names={"background": 0, "lesion": 1},
        stored=np.dtype(np.int16),
    )
    (lesion,) = describe_case(case).lesions
    assert lesion.surface == surface
    assert lesion.measured["margin_width_mm"] > 3


def test_every_lesion_is_described_the_largest_first():
    tumour, cyst = describe_case(scan()).lesions
    assert tumour.size_mm == pytest.approx((20, 12, 12), abs=1.01)
    assert (tumour.lesion_type, tumour.organ, tumour.density) == ("liver cancer", "liver", "hypodense")
    assert (tumour.density_variation, tumour.surface) == ("homogeneous", "well-defined margin")
    assert tumour.ct_value_hu == pytest.approx(60, abs=2)
    assert (cyst.lesion_type, cyst.shape, cyst.density) == (
        "liver cyst",
        ("round-like", "cystic"),
        "hypodense fluid-like",
    )
    assert {lesion.enhancement for lesion in (tumour, cyst)} == {"enhanced CT"}
    assert {lesion.cavity for lesion in (tumour, cyst)} == {"within the parenchymal organ"}


@pytest.mark.parametrize(
    ("columns", "order"),
    [((1, 0, 2), (1, 0, 2)), ((2, 1, 0), (2, 1, 0)), ((0, 1, 2), (0, 1, 2)), ((1, 2, 0), (2, 0, 1))],
)
def test_sizes_run_along_the_patients_axes(columns, order):
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(columns)] * [1, -1, 1]
    straight, turned = describe_case(scan()).lesions[0], describe_case(scan(affine=affine)).lesions[0]
    assert turned.size_mm == tuple(present(straight.size_mm)[axis] for axis in order)


def test_an_oblique_scan_takes_the_nearest_axes():
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]]
    assert describe_case(scan(affine=turn)).lesions[0].size_mm == describe_case(scan()).lesions[0].size_mm


def test_what_is_no_ct_has_no_density():
    masks = describe_case(scan(channel="mask")).lesions[0]
    assert (masks.density, masks.surface, masks.ct_value_hu, masks.enhancement) == (None,) * 4
    assert masks.organ == "liver"
    assert "mean_hu" not in masks.measured


def test_a_case_without_lesion_has_an_empty_report():
    case = scan()
    assert describe_case(replace(case, labels=np.minimum(case.labels, 2))) == ScanReport()


def test_the_same_case_gives_the_same_report():
    assert describe_case(scan()) == describe_case(scan())


def test_one_process_describes_a_cohort(cohort, tmp_path, capsys):
    for held, options in ((cohort, []), (tmp_path / "out", ["--out", str(tmp_path / "out")])):
        with hold_output(held):
            assert main(["describe", str(cohort), *options]) == 2
        assert capsys.readouterr().err == f"{held}: another process is writing here; one at a time; wait for it\n"


def test_describe_writes_missing_reports_and_keeps_the_others(cohort, capsys):
    run(cohort)
    said = capsys.readouterr().out
    assert f"{cohort / 'reports'}: 1 report written on 2 lesions, 1 kept as found (--replace measures anew)" in said
    assert "density: hypodense 1, hypodense fluid-like 1" in said
    reports = {case_id: json.loads((cohort / "reports" / f"{case_id}.json").read_text()) for case_id in "ab"}
    assert reports["b"] == {"note": "kept"}
    assert [lesion["organ"] for lesion in reports["a"]["lesions"]] == ["liver", "liver"]
    assert Cohort.open(cohort)["a"].report == reports["a"]
    run(cohort)
    assert "0 reports written on 0 lesions, 2 kept" in capsys.readouterr().out


def test_scans_alone_lack_label_maps_and_not_a_name(tmp_path, capsys):
    only = {"background": 0}
    made = Cohort.create(tmp_path / "in", channel_names=["CT"], label_names=only, file_ending=".nii.gz")
    made.write(replace(scan(), id="bare", labels=None, label_names=only))
    made.finish()
    assert main(["describe", str(tmp_path / "in")]) == 2
    assert "images alone; lesions are measured in their labels; add label maps" in capsys.readouterr().err


def test_cases_without_labels_are_left_out_of_a_description_and_counted(tmp_path, capsys):
    made = Cohort.create(tmp_path / "in", channel_names=["CT"], label_names=scan().label_names, file_ending=".nii.gz")
    made.write(replace(scan(), id="bare", labels=None))
    made.finish()
    assert main(["describe", str(tmp_path / "in")]) == 2
    assert "images alone; lesions are measured" in capsys.readouterr().err
    made.write(replace(scan(), id="alone", image=None))
    made.finish()
    run(tmp_path / "in")
    assert "1 report written on 2 lesions; cases without labels, left out: 1" in capsys.readouterr().out
    found = json.loads((tmp_path / "in" / "reports" / "alone.json").read_text())
    assert found["lesions"][0]["size_mm"]
    assert "density" not in {key for key, value in found["lesions"][0].items() if value}


def test_replace_writes_anew_and_keeps_what_is_said_beside(cohort):
    run(cohort, "--replace")
    found = json.loads((cohort / "reports" / "b.json").read_text())
    assert found["note"] == "kept"
    assert len(found["lesions"]) == 2


def test_another_folder_takes_the_reports_and_the_cohort_stays(cohort, tmp_path):
    before = Cohort.open(cohort).content_hash()
    run(cohort, "--out", str(tmp_path / "reports"))
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == ["a.json", "b.json"]
    assert Cohort.open(cohort).content_hash() == before


def test_a_cohort_without_lesions_is_refused_in_one_line(tmp_path, capsys):
    names = {"background": 0, "liver": 1}
    made = Cohort.create(tmp_path / "in", channel_names=["CT"], label_names=names, file_ending=".nii.gz")
    case = scan()
    made.write(replace(case, labels=np.minimum(case.labels, 1), label_names=names, image=np.rint(case.image)))
    made.finish()
    assert main(["describe", str(tmp_path / "in")]) == 2
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0
    assert "no label is a lesion (background, liver)" in error
    assert f"rename it: run medsmith prepare {tmp_path / 'in'} OUT with --label NAME=VALUE for each" in error


def test_the_named_cure_makes_lesions_of_unnamed_labels(cohort, tmp_path, capsys):
    plain = tmp_path / "plain"
    for made, role in (("imagesTr", "images"), ("labelsTr", "labels")):
        shutil.copytree(cohort / made, plain / role)
    for path in (plain / "images").iterdir():
        path.rename(path.with_name(path.name.replace("_0000", "")))
    assert main(["describe", str(plain)]) == 2
    assert "no label is a lesion (background, label_1" in capsys.readouterr().err
    values = Cohort.open(cohort).label_names
    named = [f"--label={name}={value}" for name, value in values.items() if value]
    with pytest.raises(SystemExit) as end:
        main(["prepare", str(plain), str(tmp_path / "out"), "--channel", "CT", *named])
    assert end.value.code == 0
    run(tmp_path / "out")
    assert len(json.loads((tmp_path / "out" / "reports" / "a.json").read_text())["lesions"]) == 2


def test_a_slice_gets_no_measure_of_a_volume():
    case = scan("a")
    thick = np.diag([1.0, 1.0, 8.0, 1.0])
    middle = case.labels.shape[2] // 2
    labels = case.labels[:, :, [middle]]
    flat = replace(case, image=case.image[:, :, :, [middle]], labels=labels, geometry=Geometry(labels.shape, thick))
    slices, volumes = describe_case(flat).lesions, describe_case(case).lesions
    assert len(slices) == len(volumes) > 0
    for lesion in slices:
        assert not {"sphericity", "volume_mm3"} & lesion.measured.keys()
        assert {"circularity", "area_mm2", "convexity", "spicule_share"} <= lesion.measured.keys()
    for lesion in volumes:
        assert {"sphericity", "volume_mm3"} <= lesion.measured.keys()
        assert not {"circularity", "area_mm2"} & lesion.measured.keys()
    found = [lesion.measured["area_mm2"] for lesion in slices]
    assert sum(found) == (labels >= 3).sum()
    round_ones = [lesion for lesion in slices if lesion.measured["circularity"] >= 0.81]
    assert all("round-like" in lesion.shape or "punctate" in lesion.shape for lesion in round_ones)


def test_a_picture_without_spacing_is_measured_in_pixels(tmp_path):
    names = {"background": 0, "gland": 1, "lesion": 2}
    labels = np.ones((40, 30, 1), np.uint8)
    labels[10:22, 5:13] = 2
    labels[30:34, 20:24] = 2
    made = Cohort.create(tmp_path / "in", channel_names=["ultrasound"], label_names=names, file_ending=".png")
    image = np.where(labels == 2, 60.0, 120.0).astype(np.float32)[None]
    made.write(Case("a", image, labels, Geometry.plain((40, 30, 1)), ("ultrasound",), names, np.dtype(np.uint8)))
    made.finish()
    describe(tmp_path / "in")
    large, small = json.loads((tmp_path / "in" / "reports" / "a.json").read_text())["lesions"]
    assert (large["size_mm"], small["size_mm"]) == (None, None)
    found = [[one["measured"][f"{name}_pixels"] for name in ("edge_x", "edge_y", "area")] for one in (large, small)]
    assert found == [[12.0, 8.0, 96.0], [4.0, 4.0, 16.0]]
    assert not any("_mm" in name or "_z_" in name for one in (large, small) for name in one["measured"])
    assert (small["relationship"], small["surface"]) == (None, None)
    assert "punctate" not in small["shape"]


def test_the_measures_of_a_slice_do_not_depend_on_its_thickness():
    case = scan("a")
    labels = case.labels[:, :, [case.labels.shape[2] // 2]]
    numbers = []
    for thickness in (1.0, 8.0):
        geometry = Geometry(labels.shape, np.diag([1.0, 1.0, thickness, 1.0]))
        flat = replace(case, image=None, channel_names=(), labels=labels, geometry=geometry)
        own = ("area_mm2", "equivalent_diameter_mm", "circularity", "convexity", "spicule_share")
        numbers.append([[lesion.measured[name] for name in own] for lesion in describe_case(flat).lesions])
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize(("width", "words"), [(0.8, "well-defined margin"), (5.0, "ill-defined margin")])
def test_the_margin_of_a_lesion_in_a_wall_is_measured_against_tissue_and_not_against_gas(width, words):
    """A stomach whose gas reaches around three quarters of a lesion in its wall, against which any edge is sharp."""
    image, mask = scan_of_ball(np.random.default_rng(0), 11.0, MM, width_mm=width, contrast=70.0, noise=6.0)
    gas = (np.indices(mask.shape)[0] - mask.shape[0] / 2 > -6) & ~mask
    image[gas] = -900
    labels = np.where(mask, 3, np.where(np.indices(mask.shape)[0] > 10, 1, 2)).astype(np.uint8)
    case = Case(
        id="a", image=image[None], labels=labels, geometry=Geometry(labels.shape, np.eye(4)), channel_names=("CT",),
        label_names={"background": 0, "stomach": 1, "liver": 2, "stomach cancer": 3},
    )  # fmt: skip
    (lesion,) = describe_case(case).lesions
    assert (lesion.organ, lesion.surface) == ("stomach", words)
