"""Folders of every kind that is read, and what nnU-Net's rules refuse."""

import json
import logging
import shutil
from functools import partial

import numpy as np
import pytest

from cohort_cases import DATA, make_case, new_cohort
from medsmith.cases.cohort import Cohort
from medsmith.cases.label_names import label_names_of
from medsmith.cases.layouts import REFUSED
from medsmith.cases.verification import verify_folder
from medsmith.cli import main
from medsmith.errors import CohortError, ContentError, FileError, GeometryError
from medsmith.synthesis.rejected import REJECTED, SHEET
from scan_files import ID, image_array, label_array, nifti_bytes, png_bytes, run, write_pair, zipped


def test_pairs_of_binary_pictures(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (14, 12), dtype=np.uint8)
    mask = (pixels > 200).astype(np.uint8)
    write_pair(tmp_path, png_bytes(pixels), png_bytes(mask * 255), ending=".png")
    cohort = Cohort.open(tmp_path)
    assert cohort.label_names == {"background": 0, "label_1": 1}
    assert cohort.file_ending == ".png"
    np.testing.assert_array_equal(cohort[ID].require_labels()[:, :, 0].T, mask)


def test_pairs_note_what_is_left_out(tmp_path, caplog):
    pixels = np.random.default_rng(0).integers(0, 2, (14, 12), dtype=np.uint8)
    write_pair(tmp_path, png_bytes(pixels), png_bytes(pixels), ending=".png")
    (tmp_path / "images" / "lonely.png").write_bytes(png_bytes(pixels))
    with caplog.at_level(logging.WARNING, "medsmith"):
        assert Cohort.open(tmp_path).ids == (ID,)
    assert "1 file without a pair left out: lonely" in caplog.text


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
            {"modality": {"0": "CT"}, "labels": {"0": "background"}, "training": [{"image": "a\0b"}]},
            "files lie inside the folder",
        ),
        (
            {
                "modality": {"0": "CT"},
                "labels": {"0": "background"},
                "training": [{"image": "x/a.nii"}, {"image": "./x/../x/a.nii"}],
            },
            "lists a.nii twice; each case once",
        ),
        (
            {
                "modality": {"0": "CT"},
                "labels": {"0": "background"},
                "training": [{"image": "a.nii", "label": "b.nii"}],
            },
            "2 files not to be found: ",
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


def test_a_folder_with_refused_images_alone_is_told_from_one_to_prepare(tmp_path, capsys):
    assert f"{REJECTED}/{SHEET}" == REFUSED
    sheet = tmp_path / REFUSED
    sheet.parent.mkdir()
    sheet.write_bytes(b"")
    for command in (["evaluate", str(tmp_path), str(tmp_path), "--out", "o"], ["view", str(tmp_path)]):
        assert main(command) == 2
        assert capsys.readouterr().err.strip() == (
            f"{tmp_path}: holds no case: synthesize made none, and left pictures of what it refused "
            "(rejected/rejected.png); a cohort has cases; train longer, or ask for something else, and make it again"
        )


def test_folders_that_are_no_cohort(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for path, words in ((tmp_path, "neither dataset.json nor"), (tmp_path / "no", "does not exist"),
                        (tmp_path / "file", "a file, not a folder")):  # fmt: skip
        code, line = run(partial(Cohort.open, path))
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
    verify_folder(cohort.root)
    spoil(tmp_path / "x")
    with pytest.raises(error, match=words):
        verify_folder(tmp_path / "x")


def test_verify_misses_a_report_that_the_provenance_names(tmp_path):
    cohort = new_cohort(tmp_path / "x")
    cohort.write(make_case("a", report={"lesions": []}, provenance={"seed": 0}))
    cohort.finish()
    (tmp_path / "x" / "reports" / "a.json").unlink()
    with pytest.raises(CohortError, match=r"case a lacks reports/a.json; its provenance names it"):
        verify_folder(cohort.root)


def test_a_folder_of_images_or_of_labels_is_a_cohort_of_them(tmp_path, caplog):
    pixels = np.random.default_rng(0).integers(0, 255, (14, 12), dtype=np.uint8)
    write_pair(tmp_path / "x", png_bytes(pixels), png_bytes((pixels > 200).astype(np.uint8)), ending=".png")
    for name, other in (("labels", "images"), ("images", "labels")):
        shutil.copytree(tmp_path / "x" / other, tmp_path / name / other)
    with caplog.at_level(logging.WARNING, "medsmith"):
        images, labels = Cohort.open(tmp_path / "labels"), Cohort.open(tmp_path / "images")
        Cohort.open(tmp_path / "labels")
    for root, found in (("labels", "no case has labels"), ("images", "no case has an image")):
        assert caplog.messages.count(f"{tmp_path / root}: {found}") == 1
    assert (images.channel_names, images.label_names) == (("image",), {"background": 0})
    assert (labels.channel_names, labels.label_names) == ((), {"background": 0, "label_1": 1})
    assert images[ID].labels is None
    assert labels[ID].image is None


def test_a_decathlon_entry_without_label_is_an_image_alone(tmp_path):
    decathlon(
        tmp_path,
        {"a": label_array()},
        {"a": image_array(), "b": image_array(seed=1)},
        modality={"0": "CT"},
        labels={"0": "background", "1": "liver"},
    )
    path = tmp_path / "dataset.json"
    facts = json.loads(path.read_text())
    del facts["training"][1]["label"]
    path.write_text(json.dumps(facts))
    cohort = Cohort.open(tmp_path)
    assert (cohort.ids_with_image, cohort.ids_with_labels) == (("a", "b"), ("a",))
    np.testing.assert_array_equal(cohort["b"].require_image()[0], image_array(seed=1))


@pytest.mark.skipif(not DATA.exists(), reason="the real data are not here")
@pytest.mark.parametrize(("name", "count"), [("breast-us", 483), ("sarcoma-ct", 12), ("sarcoma-mr", 37)])
def test_real_pairs_open(name, count):
    cohort = Cohort.open(DATA / name)
    assert len(cohort) == count
    assert cohort.label_names == {"background": 0, "label_1": 1}
    for case_id in cohort.ids[:3]:
        case = cohort[case_id]
        assert case.require_labels().any()
        assert case.require_image().max() > case.require_image().min()


def test_nnunet_1_lists_images_by_a_name_without_channel(tmp_path):
    volumes = {f"MS_000_000{channel}": image_array(seed=channel) for channel in range(2)}
    decathlon(tmp_path, {"MS_000": label_array()}, volumes)
    training = [{"image": "./imagesTr/MS_000.nii.gz", "label": "./labelsTr/MS_000.nii.gz"}]
    facts = {"modality": {"0": "FLAIR", "1": "T1"}, "labels": {"0": "background", "1": "lesion"}, "training": training}
    (tmp_path / "dataset.json").write_text(json.dumps(facts))
    cohort = Cohort.open(tmp_path)
    assert (cohort.ids, cohort.channel_names) == (("MS_000",), ("FLAIR", "T1"))
    for channel, array in enumerate(volumes.values()):
        np.testing.assert_array_equal(cohort.stored("MS_000").require_image()[channel], array)
    np.testing.assert_array_equal(cohort.stored("MS_000").require_labels(), label_array())
    both = facts | {"channel_names": facts["modality"], "labels": {"background": 0, "lesion": 1}}
    (tmp_path / "dataset.json").write_text(json.dumps(both | {"file_ending": ".nii.gz"}))
    assert Cohort.open(tmp_path).ids == ("MS_000",)


def listed(root, images):
    for seed, name in enumerate(dict.fromkeys(images)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(zipped(nifti_bytes(image_array(seed=seed))))
    facts = {"modality": {"0": "MR"}, "labels": {"0": "background"}, "training": [{"image": name} for name in images]}
    (root / "dataset.json").write_text(json.dumps(facts))
    return root


def test_listed_images_of_equal_names_are_all_kept(tmp_path):
    cohort = Cohort.open(listed(tmp_path, ["data/p1/t1.nii.gz", "data/p2/t1.nii.gz"]))
    assert cohort.ids == ("p1_t1", "p2_t1")
    for seed, case_id in enumerate(cohort.ids):
        np.testing.assert_array_equal(cohort.stored(case_id).require_image()[0], image_array(seed=seed))


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (["p1/t1.nii.gz", "p1/t1.nii.gz"], "lists t1.nii.gz twice"),
        (["a/b_t.nii.gz", "a_b/t.nii.gz", "c/t.nii.gz"], "would both be case a_b_t"),
        (["a/t.nii.gz", "a/t.nii"], "a/t.nii.gz and a/t.nii would both be case t"),
    ],
)
def test_listed_images_that_cannot_be_told_apart_are_refused(images, found, tmp_path):
    with pytest.raises(CohortError, match=found):
        Cohort.open(listed(tmp_path, images))


def test_two_files_of_one_name_in_a_folder_of_pairs_are_refused(tmp_path):
    write_pair(tmp_path, zipped(nifti_bytes(image_array())), zipped(nifti_bytes(label_array())))
    (tmp_path / "images" / f"{ID}.nii").write_bytes(nifti_bytes(image_array(seed=1)))
    with pytest.raises(CohortError, match=f"{ID}.nii and {ID}.nii.gz would both be case {ID}"):
        Cohort.open(tmp_path)


@pytest.mark.usefixtures("unlisted_folders")
@pytest.mark.parametrize("files", [5, "abc", None, ["imagesTr/a_0000.nii.gz"], {"a\0b": ""}])
def test_a_provenance_that_names_no_files_is_one_line(tmp_path, files):
    cohort = new_cohort(tmp_path / "cohort")
    cohort.write(make_case("a", labels=None, provenance={"seed": 0}))
    cohort.finish()
    path = tmp_path / "cohort" / "provenance" / "a.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": files}))
    with pytest.raises(FileError, match=r"a.json: files = .*; an object of file names; restore or remove it"):
        Cohort.open(tmp_path / "cohort")


def test_a_label_of_thousands_of_digits_is_one_line(tmp_path):
    with pytest.raises(CohortError, match=r"label 'a' has value '9{40}'; whole numbers, 0 to 255; correct it"):
        label_names_of({"0": "background", "9" * 5000: "a"}, tmp_path)
