"""Cohorts written, killed, listed, hashed and read again."""

import json
import os
import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from cohort_cases import NAMES, make_case, names_in, new_cohort
from medsmith.cases import case_writer
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, ContentError, FileError
from medsmith.formats import atomic
from medsmith.formats.atomic import sha256_of
from medsmith.formats.volume import SYNTHETIC_MARK
from medsmith.geometry import Geometry
from narrowing import present
from scan_files import AFFINE, listing, run


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
        assert present(read.provenance)["seed"] == present(case.provenance)["seed"]
        for name, digest in present(read.provenance)["files"].items():
            assert sha256_of(tmp_path / "x" / name) == digest
        assert len(present(read.provenance)["files"]) == 3
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
                assert isinstance(picture, PngImageFile)
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
        with pytest.raises(CohortError, match="of no complete case"):
            again.finish()
    again.write(case)
    again.finish()
    assert again.ids == ("a", "b")
    assert Cohort.open(tmp_path / "x").subset(["b"]).content_hash() == calm.content_hash()
    assert not [name for name in listing(tmp_path / "x") if "unfinished" in name or "medsmith-" in name]


def image_alone(case):
    return replace(case, labels=None)


def labels_alone(case):
    return replace(case, image=None)


def test_cases_of_every_kind_live_in_one_cohort(tmp_path, caplog):
    cohort = new_cohort(tmp_path / "x")
    for case in (make_case("a"), image_alone(make_case("b", 1)), labels_alone(make_case("c", 2))):
        cohort.write(case)
    cohort.finish()
    with caplog.at_level("WARNING", "medsmith"):
        again = Cohort.open(tmp_path / "x")
    assert "of 3 cases, 1 only an image and 1 only labels" in caplog.text
    assert (again.ids_with_image, again.ids_with_labels) == (("a", "b"), ("a", "c"))
    assert again["b"].labels is None
    assert again["c"].image is None
    assert again["c"].channel_names == ("ultrasound",)
    np.testing.assert_array_equal(again["c"].labels, make_case("c", 2).labels)
    assert again.geometry("c").shape == again.geometry("b").shape == (12, 12, 1)
    whole = (slice(0, 12), slice(0, 12), slice(0, 1))
    with pytest.raises(ContentError, match=r"case c: has labels and no image; an image is needed"):
        again.image_region("c", whole)
    with pytest.raises(ContentError, match="case b: has an image and no labels; labels are needed"):
        again.labels_region("b", whole)
    np.testing.assert_array_equal(again.labels_region("c", whole), again["c"].labels)


@pytest.mark.parametrize(
    ("part", "channels", "names"), [(image_alone, ("ultrasound",), {"background": 0}), (labels_alone, (), NAMES)]
)
def test_a_cohort_of_one_kind_finishes(part, channels, names, tmp_path):
    cohort = Cohort.create(tmp_path / "x", channel_names=channels, label_names=names, file_ending=".png")
    parted = part(make_case("a", provenance={"seed": 0}))
    cohort.write(replace(parted, channel_names=channels, label_names=names))
    cohort.finish()
    facts = json.loads((tmp_path / "x" / "dataset.json").read_text())
    assert facts["channel_names"] == dict(zip("0", channels, strict=False))
    assert facts["labels"] == names
    assert len(present(Cohort.open(tmp_path / "x")["a"].provenance)["files"]) == 1


def test_a_case_has_something():
    with pytest.raises(ContentError, match="c: neither image nor labels"):
        make_case(image=None, labels=None)
    with pytest.raises(ContentError, match=r"case c: has labels and no image; .*; add it or leave the case out"):
        labels_alone(make_case()).require_image()
    with pytest.raises(ContentError, match=r"case c: has an image and no labels; .*; add its label map"):
        image_alone(make_case()).require_labels()


def test_rewriting_a_case_with_less_removes_the_rest(tmp_path):
    cohort = new_cohort(tmp_path / "x")
    cohort.write(make_case("a"))
    cohort.write(labels_alone(make_case("a")))
    assert names_in(tmp_path / "x" / "imagesTr") == []
    cohort.write(image_alone(make_case("a")))
    assert names_in(tmp_path / "x" / "labelsTr") == []
    cohort.finish()


@pytest.mark.parametrize("provenance", [None, {"seed": 1}])
@pytest.mark.parametrize("stop_at", range(1, 4))
def test_a_killed_writer_never_leaves_a_part_that_passes_for_a_case(stop_at, provenance, tmp_path, monkeypatch):
    """Killed between image, labels and report: no case of one side alone is listed, of a real case neither."""
    case = make_case("b", 1, report={"lesions": []}, provenance=provenance)
    cohort = new_cohort(tmp_path / "x")
    count, true_replace = 0, Path.replace

    def replace_or_die(self, target):
        nonlocal count
        count += 1
        if count == stop_at + 1:
            raise Killed
        return true_replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_or_die)
    try:
        cohort.write(case)
    except Killed:
        monkeypatch.setattr(Path, "replace", true_replace)
        assert Cohort.open(tmp_path / "x").ids == ()
    assert count == stop_at + 1 or (provenance is None and stop_at == 3)


def test_the_last_step_of_a_real_case_is_to_take_its_mark_away(tmp_path, monkeypatch):
    def die(_):
        raise Killed

    cohort = new_cohort(tmp_path / "x")
    true_remove = atomic.remove
    marker = tmp_path / "x" / "provenance" / "a.unfinished"
    monkeypatch.setattr(case_writer, "remove", lambda path: die(path) if path == marker else true_remove(path))
    with pytest.raises(Killed):
        cohort.write(make_case("a", report={"lesions": []}))
    monkeypatch.undo()
    assert (tmp_path / "x" / "reports" / "a.json").exists()
    assert len(Cohort.open(tmp_path / "x")) == 0
    new_cohort(tmp_path / "x").write(make_case("a", report={"lesions": []}))
    assert Cohort.open(tmp_path / "x").ids == ("a",)


def test_killed_after_provenance_the_case_is_complete(tmp_path):
    cohort = new_cohort(tmp_path / "x")
    cohort.write(make_case("a", provenance={"seed": 0}))
    marker = tmp_path / "x" / "provenance" / "a.unfinished"
    marker.touch()
    (tmp_path / "x" / "imagesTr" / ".medsmith-0123456789abcdef.png").write_bytes(b"half")
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
        named: dict[str, Any] = {"channel_names": ["us"], "label_names": NAMES, "file_ending": ".png"} | changes
        code, line = run(partial(Cohort.create, tmp_path / "x", **named))
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
        ({"channel_names": [], "label_names": {"background": 0}}, "no channel and no label is named"),
        ({"label_names": {"background": 0, "lesion": 2}}, "background = 0 and then 1, 2"),
        ({"label_names": {"nothing": 0, "lesion": 1}}, "background = 0 and then 1, 2"),
    ],
)
def test_declarations_that_nnunet_refuses(changes, words, tmp_path):
    named: dict[str, Any] = {"channel_names": ["us"], "label_names": NAMES, "file_ending": ".png"} | changes
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
    folders = {"x/imagesTr": "", "x/provenance": ""}
    assert listing(tmp_path) | folders == before | folders
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
