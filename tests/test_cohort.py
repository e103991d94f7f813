import json
import logging
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from medsmith.case import Case, Geometry
from medsmith.cohort import Cohort, verify
from medsmith.errors import CohortError, ContentError, FileError, GeometryError
from medsmith.formats.atomic import sha256_of
from medsmith.formats.volume import SYNTHETIC_MARK
from scan_files import AFFINE, ID, image_array, label_array, listing, nifti_bytes, png_bytes, run, write_pair, zipped

pytestmark = pytest.mark.usefixtures("no_fsync")
NAMES = {"background": 0, "lesion": 1}
DATA = Path(__file__).parents[1].parent / "shared" / "data"


def make_case(case_id="c", seed=0, size=12, **changes):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (1, size, size, 1)).astype(np.float32)
    labels = np.zeros((size, size, 1), np.uint8)
    labels[2:5, 3:8] = 1
    geometry = Geometry.plain((size, size, 1))
    case = Case(case_id, image, labels, geometry, ("ultrasound",), NAMES, np.dtype(np.uint8))
    return replace(case, **changes)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def new_cohort(root, ending=".png", channels=("ultrasound",)):
    return Cohort.create(root, channel_names=channels, label_names=NAMES, file_ending=ending)


@pytest.mark.parametrize("ending", [".png", ".nii.gz"])
def test_written_cases_come_back(ending, tmp_path):
    cohort = new_cohort(tmp_path / "x", ending)
    cases = [make_case(f"c{seed}", seed, report={"lesions": [seed]}, provenance={"seed": seed}) for seed in (2, 0, 1)]
    for case in cases:
        cohort.write(case)
    cohort.finish()
    again = Cohort.open(tmp_path / "x")
    assert again.ids == cohort.ids == ("c0", "c1", "c2")
    assert [case.id for case in again] == ["c0", "c1", "c2"]
    for case in cases:
        read = again[case.id]
        np.testing.assert_array_equal(read.image, case.image)
        np.testing.assert_array_equal(read.labels, case.labels)
        assert read.stored == np.uint8
        assert read.report == case.report
        assert read.provenance["seed"] == case.provenance["seed"]
        for name, digest in read.provenance["files"].items():
            assert sha256_of(tmp_path / "x" / name) == digest
        assert len(read.provenance["files"]) == 3
    facts = json.loads((tmp_path / "x" / "dataset.json").read_text())
    assert facts == {
        "channel_names": {"0": "ultrasound"},
        "labels": NAMES,
        "numTraining": 3,
        "file_ending": ending,
    }
    assert names_in(tmp_path / "x" / "imagesTr") == [f"c{seed}_0000{ending}" for seed in range(3)]
    assert names_in(tmp_path / "x" / "labelsTr") == [f"c{seed}{ending}" for seed in range(3)]


def test_several_channels(tmp_path):
    cohort = new_cohort(tmp_path / "x", ".nii.gz", ("T1", "T2"))
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 9, 10, 11)).astype(np.float32)
    labels = np.ones((9, 10, 11), np.uint8)
    geometry = Geometry((9, 10, 11), AFFINE, (2, 0))
    cohort.write(Case("c", image, labels, geometry, ("T1", "T2"), NAMES))
    cohort.finish()
    read = Cohort.open(tmp_path / "x")["c"]
    np.testing.assert_array_equal(read.image, image)
    assert read.channel_names == ("T1", "T2")
    assert read.geometry.codes == (2, 0)
    (tmp_path / "x" / "imagesTr" / "c_0001.nii.gz").unlink()
    assert len(Cohort.open(tmp_path / "x")) == 0


def test_every_synthetic_file_says_so(tmp_path):
    cohort = new_cohort(tmp_path / "x")
    cohort.write(make_case("made", provenance={"seed": 1}))
    cohort.write(make_case("real"))
    for folder, suffix in (("imagesTr", "_0000"), ("labelsTr", "")):
        for case_id, expected in (("made", {"Description": SYNTHETIC_MARK}), ("real", {})):
            with Image.open(tmp_path / "x" / folder / f"{case_id}{suffix}.png") as picture:
                assert picture.text == expected


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the code under test may run for it but finally blocks."""


@pytest.mark.parametrize("stop_at", range(1, 5))
def test_a_killed_writer_leaves_no_half_case(stop_at, tmp_path, monkeypatch):
    """Stopped before each of the four files of a synthetic case: the case is absent, and can be written again."""
    case = make_case("b", 1, report={"lesions": []}, provenance={"seed": 1})
    calm = new_cohort(tmp_path / "calm")
    calm.write(case)
    calm.finish()
    cohort = new_cohort(tmp_path / "x")
    cohort.write(make_case("a", provenance={"seed": 0}))
    count, true_replace = 0, Path.replace

    def replace_or_die(self, target):
        nonlocal count
        count += 1
        if count == stop_at:
            raise Killed
        return true_replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_or_die)
    with pytest.raises(Killed):
        cohort.write(case)
    monkeypatch.setattr(Path, "replace", true_replace)
    assert Cohort.open(tmp_path / "x").ids == ("a",)
    assert not (tmp_path / "x" / "provenance" / "b.json").exists()
    again = new_cohort(tmp_path / "x")
    assert again.ids == ("a",)
    if stop_at > 1:
        with pytest.raises(CohortError, match="belong to no complete case"):
            again.finish()
    again.write(case)
    again.finish()
    assert again.ids == ("a", "b")
    assert Cohort.open(tmp_path / "x").subset(["b"]).content_hash() == calm.content_hash()
    assert not [name for name in listing(tmp_path / "x") if "unfinished" in name or "medsmith-" in name]


def test_killed_after_provenance_the_case_is_complete(tmp_path):
    cohort = new_cohort(tmp_path / "x")
    cohort.write(make_case("a", provenance={"seed": 0}))
    marker = tmp_path / "x" / "provenance" / "a.unfinished"
    marker.touch()
    (tmp_path / "x" / "imagesTr" / ".medsmith-0123.png").write_bytes(b"half")
    assert Cohort.open(tmp_path / "x").ids == ("a",)
    cohort.finish()
    assert listing(tmp_path / "x").keys() == {
        "dataset.json",
        *("imagesTr", "labelsTr", "provenance"),
        *("imagesTr/a_0000.png", "labelsTr/a.png", "provenance/a.json"),
    }


def test_rewriting_a_case_replaces_all_of_it(tmp_path):
    cohort = new_cohort(tmp_path / "x")
    cohort.write(make_case("a", report={"lesions": []}, provenance={"seed": 0}))
    cohort.write(make_case("a", 3))
    read = cohort["a"]
    np.testing.assert_array_equal(read.image, make_case("a", 3).image)
    assert read.report is None
    assert not read.synthetic


def test_content_hash_knows_bytes_not_times_or_order(tmp_path):
    cohorts = []
    for order in ((0, 1, 2), (2, 1, 0)):
        cohort = new_cohort(tmp_path / str(order[0]))
        for seed in order:
            cohort.write(make_case(f"c{seed}", seed))
        cohorts.append(cohort)
    same = cohorts[0].content_hash()
    assert same == cohorts[1].content_hash()
    for path in (tmp_path / "0").rglob("*.png"):
        os.utime(path, (0, 0))
    assert Cohort.open(tmp_path / "0").content_hash() == same
    assert cohorts[0].subset(["c0", "c1"]).content_hash() != same
    cohorts[0].write(make_case("c1", 7))
    assert cohorts[0].content_hash() != same


def test_create_again_says_the_same_or_is_refused(tmp_path):
    cohort = Cohort.create(
        tmp_path / "x", channel_names=["us"], label_names=NAMES, file_ending=".png", description="Made up."
    )
    assert len(Cohort.create(tmp_path / "x", channel_names=["us"], label_names=NAMES, file_ending=".png")) == 0
    for changes, words in (
        ({"channel_names": ["ct"]}, "channel names"),
        ({"label_names": {"background": 0, "tumour": 1}}, "label names"),
        ({"file_ending": ".nii.gz"}, "file ending"),
    ):
        named = {"channel_names": ["us"], "label_names": NAMES, "file_ending": ".png"} | changes
        code, line = run(lambda named=named: Cohort.create(tmp_path / "x", **named))
        assert code == 2
        assert f"has {words}" in line
    again = Cohort.create(tmp_path / "x", channel_names=["us"], label_names=NAMES, file_ending=".png")
    again.write(make_case("a", channel_names=("us",)))
    again.finish()
    assert json.loads((tmp_path / "x" / "dataset.json").read_text())["description"] == "Made up."
    assert cohort.root == again.root


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"file_ending": ".jpg"}, "'.jpg'; one of .nii.gz, .png"),
        ({"channel_names": []}, "no channel is named"),
        ({"label_names": {"background": 0, "lesion": 2}}, "background = 0 and then 1, 2"),
        ({"label_names": {"nothing": 0, "lesion": 1}}, "background = 0 and then 1, 2"),
    ],
)
def test_declarations_that_nnunet_refuses(changes, words, tmp_path):
    named = {"channel_names": ["us"], "label_names": NAMES, "file_ending": ".png"} | changes
    with pytest.raises(CohortError, match=words):
        Cohort.create(tmp_path / "x", **named)
    assert not (tmp_path / "x").exists()


def test_other_folders_are_not_written_to(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "holiday.jpg").write_bytes(b"")
    with pytest.raises(CohortError, match="holds something else"):
        new_cohort(tmp_path / "x")
    assert names_in(tmp_path / "x") == ["holiday.jpg"]


@pytest.mark.parametrize(
    ("case", "error", "words"),
    [
        (make_case("../a"), CohortError, "no portable file name"),
        (make_case("-rf"), CohortError, "no portable file name"),
        (make_case("a" * 201), CohortError, "at most 200 bytes"),
        (make_case(channel_names=("CT",)), CohortError, "channels CT"),
        (make_case(label_names={"background": 0, "mass": 1}), CohortError, "mass = 1"),
        (make_case(labels=np.full((12, 12, 1), 2, np.uint8)), ContentError, "undeclared label values 2"),
        (make_case(image=np.full((1, 12, 12, 1), 256, np.float32)), ContentError, "uint8 holds 0 to 255"),
        (make_case(stored=np.dtype(np.float32)), FileError, "float32 has no PNG form"),
    ],
)
def test_cases_that_do_not_belong_are_refused(case, error, words, tmp_path):
    cohort = new_cohort(tmp_path / "x")
    before = listing(tmp_path)
    with pytest.raises(error, match=words):
        cohort.write(case)
    assert listing(tmp_path) | {"x/imagesTr": ""} == before | {"x/imagesTr": ""}
    assert len(cohort) == 0


def test_open_cohorts_are_for_reading(tmp_path):
    new_cohort(tmp_path / "x").write(make_case("a"))
    with pytest.raises(CohortError, match="opened for reading"):
        Cohort.open(tmp_path / "x").write(make_case("b"))


def test_unknown_ids_are_refused_by_name(tmp_path):
    cohort = new_cohort(tmp_path / "x")
    cohort.write(make_case("a"))
    with pytest.raises(CohortError, match="no case 'b'; has a"):
        cohort["b"]
    with pytest.raises(CohortError, match="no case 'b'"):
        cohort.subset(["a", "b"])


def test_views_cross_process_borders(tmp_path):
    cohort = new_cohort(tmp_path / "x")
    cohort.write(make_case("a"))
    copy = pickle.loads(pickle.dumps(Cohort.open(tmp_path / "x").subset(["a"])))
    np.testing.assert_array_equal(copy["a"].image, cohort["a"].image)


def test_pairs_of_binary_pictures(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (14, 12), dtype=np.uint8)
    mask = (pixels > 200).astype(np.uint8)
    write_pair(tmp_path, png_bytes(pixels), png_bytes(mask * 255), ending=".png")
    cohort = Cohort.open(tmp_path)
    assert cohort.label_names == {"background": 0, "label_1": 1}
    assert cohort.file_ending == ".png"
    np.testing.assert_array_equal(cohort[ID].labels[:, :, 0].T, mask)


def test_pairs_note_what_is_left_out(tmp_path, caplog):
    pixels = np.random.default_rng(0).integers(0, 2, (14, 12), dtype=np.uint8)
    write_pair(tmp_path, png_bytes(pixels), png_bytes(pixels), ending=".png")
    (tmp_path / "images" / "lonely.png").write_bytes(png_bytes(pixels))
    with caplog.at_level(logging.WARNING, "medsmith"):
        assert Cohort.open(tmp_path).ids == (ID,)
    assert "1 files without their pair are left out: lonely" in caplog.text


def test_oddities_are_logged_once(tmp_path, caplog):
    write_pair(tmp_path, nifti_bytes(image_array()), zipped(nifti_bytes(label_array())))
    cohort = Cohort.open(tmp_path)
    with caplog.at_level(logging.WARNING, "medsmith"):
        for _ in range(3):
            cohort[ID]
    assert len(caplog.records) == 1
    assert "not compressed" in caplog.text


def decathlon(root, label_maps, images, **facts):
    for folder, arrays in (("imagesTr", images), ("labelsTr", label_maps)):
        (root / folder).mkdir(parents=True)
        for name, array in arrays.items():
            (root / folder / f"{name}.nii.gz").write_bytes(zipped(nifti_bytes(array)))
    training = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in images]
    (root / "dataset.json").write_text(json.dumps({"training": training} | facts))


def test_decathlon_with_channels_in_the_fourth_axis(tmp_path):
    volumes = np.stack([image_array(), image_array(seed=1)], axis=-1)
    decathlon(
        tmp_path,
        {"liver_7": label_array()},
        {"liver_7": volumes},
        modality={"0": "T1", "1": "T2"},
        labels={"0": "background", "1": "liver"},
    )
    cohort = Cohort.open(tmp_path)
    assert (cohort.ids, cohort.channel_names, cohort.label_names) == (
        ("liver_7",),
        ("T1", "T2"),
        {"background": 0, "liver": 1},
    )
    np.testing.assert_array_equal(cohort["liver_7"].image, np.moveaxis(volumes, -1, 0))
    np.testing.assert_array_equal(cohort["liver_7"].labels, label_array())


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"labels": {"0": "background"}}, "lacks modality"),
        ({"modality": {"0": "CT"}, "labels": {"0": "background", "1": "a"}, "training": []}, "lists no case"),
        (
            {
                "modality": {"0": "CT"},
                "labels": {"0": "background"},
                "training": [{"image": "../../etc/passwd", "label": "x"}],
            },
            "files lie inside the folder",
        ),
        (
            {
                "modality": {"0": "CT"},
                "labels": {"0": "background"},
                "training": [{"image": "a.nii", "label": "b.nii"}],
            },
            "2 files that do not exist: ",
        ),
    ],
)
def test_decathlon_refusals(facts, words, tmp_path):
    decathlon(tmp_path, {}, {}, **facts)
    code, line = run(lambda: Cohort.open(tmp_path))
    assert code == 2
    assert words in line


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": None}, "lacks labels"),
        ({"channel_names": {"1": "us"}}, 'keys are "0", "1"'),
        ({"labels": {"background": 0, "whole": [1, 2]}}, "'whole' is a region"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "each value once"),
        ({"labels": {"background": 0, "a": 300}}, "0 to 255"),
        ({"labels": {"a": 1}}, "background = 0"),
        ({"file_ending": ".jpg"}, "file_ending '.jpg'"),
    ],
)
def test_dataset_json_refusals(change, words, tmp_path):
    new_cohort(tmp_path / "x").write(make_case("a"))
    path = tmp_path / "x" / "dataset.json"
    facts = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: value for key, value in facts.items() if value is not None}))
    code, line = run(lambda: Cohort.open(tmp_path / "x"))
    assert code == 2
    assert words in line


def test_folders_that_are_no_cohort(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for path, words in ((tmp_path, "neither dataset.json nor"), (tmp_path / "no", "does not exist"),
                        (tmp_path / "file", "a file, not a folder")):  # fmt: skip
        code, line = run(lambda path=path: Cohort.open(path))
        assert code == 2
        assert words in line


def finished(root):
    cohort = new_cohort(root, ".nii.gz")
    for seed in range(2):
        cohort.write(make_case(f"c{seed}", seed, provenance={"seed": seed}))
    cohort.finish()
    return cohort


def spoil_dataset(**change):
    def spoil(root):
        path = root / "dataset.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))

    return spoil


def spoil_label(**header):
    array = header.pop("array", make_case().labels)

    def spoil(root):
        (root / "labelsTr" / "c0.nii.gz").write_bytes(zipped(nifti_bytes(array, np.eye(4), **header)))

    return spoil


SPOILERS = [
    ("count", spoil_dataset(numTraining=5), CohortError, "numTraining is 5, 2 cases"),
    ("gap", spoil_dataset(labels={"background": 0, "lesion": 2}), CohortError, "1, 2, ..."),
    ("no label", lambda root: (root / "labelsTr" / "c0.nii.gz").unlink(), CohortError, "no complete case: c0_0000"),
    ("no image", lambda root: (root / "imagesTr" / "c0_0000.nii.gz").unlink(), CohortError, "no complete case"),
    (
        "extra channel",
        lambda root: shutil.copy(root / "imagesTr" / "c0_0000.nii.gz", root / "imagesTr" / "c0_0001.nii.gz"),
        CohortError,
        "no complete case: c0_0001",
    ),
    ("undeclared", spoil_label(array=make_case().labels * np.uint8(2)), ContentError, "undeclared label values 2"),
    ("shape", spoil_label(array=np.ones((12, 13, 1), np.uint8)), GeometryError, r"\(12, 13, 1\)"),
    ("place", spoil_label(fields={"srow_x": [1, 0, 0, 3]}), GeometryError, "3 mm away"),
    ("damage", lambda root: (root / "imagesTr" / "c1_0000.nii.gz").write_bytes(b"x"), FileError, "c1_0000"),
]


@pytest.mark.parametrize(("spoil", "error", "words"), [row[1:] for row in SPOILERS], ids=[row[0] for row in SPOILERS])
def test_verify_finds_each_breach_of_nnunets_rules(spoil, error, words, tmp_path):
    cohort = finished(tmp_path / "x")
    verify(cohort)
    spoil(tmp_path / "x")
    with pytest.raises(error, match=words):
        verify(Cohort.open(tmp_path / "x"))


def test_finish_wants_a_case(tmp_path):
    with pytest.raises(CohortError, match="0 cases are there"):
        new_cohort(tmp_path / "x").finish()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seeds=st.lists(st.integers(0, 9999), min_size=1, max_size=4, unique=True), synthetic=st.booleans())
def test_any_cohort_survives_its_folder(seeds, synthetic, tmp_path_factory):
    cohort = new_cohort(tmp_path_factory.mktemp("c") / "x")
    for seed in seeds:
        cohort.write(make_case(f"c{seed:04d}", seed, provenance={"seed": seed} if synthetic else None))
    cohort.finish()
    again = Cohort.open(cohort.root)
    assert again.ids == tuple(f"c{seed:04d}" for seed in sorted(seeds))
    assert again.content_hash() == cohort.content_hash()
    assert all(case.synthetic == synthetic for case in again)


@pytest.mark.skipif(not DATA.exists(), reason="the real data are not here")
@pytest.mark.parametrize(("name", "count"), [("breast-us", 483), ("sarcoma-ct", 12), ("sarcoma-mr", 37)])
def test_real_pairs_open(name, count):
    cohort = Cohort.open(DATA / name)
    assert len(cohort) == count
    assert cohort.label_names == {"background": 0, "label_1": 1}
    for case_id in cohort.ids[:3]:
        case = cohort[case_id]
        assert case.labels.any()
        assert case.image.max() > case.image.min()
