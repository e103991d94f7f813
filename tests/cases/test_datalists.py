"""Cohorts in other libraries: what these read is what the cohort says."""

import json
from pathlib import Path

import numpy as np
import pytest
from monai.data import load_decathlon_datalist
from monai.transforms import LoadImage

from cohort_cases import NAMES
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cases.datalists import nnunet_folder
from medsmith.cli import main
from medsmith.errors import CohortError, RequestError
from medsmith.geometry import Geometry
from scan_files import png_bytes, write_pair


@pytest.fixture
def cohort(tmp_path):
    made = Cohort.create(tmp_path / "cohort", channel_names=("T1", "T2"), label_names=NAMES, file_ending=".nii.gz")
    for seed, name in enumerate(("case_0", "case_1", "image")):
        rng = np.random.default_rng(seed)
        image = rng.integers(0, 999, (2, 9, 10, 11)).astype(np.float32)
        labels = None if name == "image" else rng.integers(0, 2, (9, 10, 11)).astype(np.uint8)
        geometry = Geometry((9, 10, 11), np.diag([-1.0, -1.0, 2.0, 1.0]))
        made.write(Case(name, image, labels, geometry, ("T1", "T2"), NAMES))
    made.finish()
    return Cohort.open(made.root)


@pytest.mark.filterwarnings("ignore:NvImgCodec")  # MONAI says so wherever pydicom is installed
def test_monai_reads_the_images_and_labels_of_the_cohort(cohort, tmp_path):
    rows = cohort.monai()
    assert [row["case_id"] for row in rows] == list(cohort.ids)
    assert "label" not in rows[-1]
    (tmp_path / "list.json").write_text(json.dumps({"training": rows[:2]}))
    assert load_decathlon_datalist(tmp_path / "list.json") == rows[:2]
    load = LoadImage(image_only=True)
    for row in rows[:2]:
        case = cohort.stored(row["case_id"])
        np.testing.assert_array_equal(np.asarray(load(row["image"])), case.require_image())
        np.testing.assert_array_equal(np.asarray(load(row["label"])), case.require_labels())


def test_torchio_reads_the_images_and_labels_of_the_cohort(cohort):
    torchio = pytest.importorskip("torchio")
    subjects = torchio.SubjectsDataset(cohort.torchio())
    for subject in subjects:
        case = cohort.stored(subject["case_id"])
        np.testing.assert_array_equal(subject["image"].numpy(), case.require_image())
        if case.labels is not None:
            np.testing.assert_array_equal(subject["label"].numpy()[0], case.labels)


def test_without_torchio_one_line_says_so(cohort, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchio", None)
    with pytest.raises(RequestError, match="torchio: is not installed; pip install torchio"):
        cohort.torchio()


def test_files_with_other_values_than_the_labels_are_not_passed_on(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (14, 12), dtype=np.uint8)
    write_pair(tmp_path, png_bytes(pixels), png_bytes((pixels > 99).astype(np.uint8) * 255), ending=".png")
    with pytest.raises(CohortError, match="run medsmith prepare"):
        Cohort.open(tmp_path).monai()


def test_the_folder_is_named_as_nnunet_wants_it(tmp_path):
    folder = nnunet_folder(tmp_path / "Liver", 7)
    assert folder == tmp_path / "Dataset007_Liver"
    folder.mkdir()
    assert nnunet_folder(tmp_path / "Liver", 7) == nnunet_folder(folder, 7) == folder
    for name, number, line in [
        ("Spleen", 7, "Dataset007_Liver has id 7"),
        ("Liver", 0, "--dataset-id: 0; 1 to 999"),
        ("Dataset007_Liver", 8, "'Dataset007_Liver' has id 7, and 8 is asked for; one id each; leave one of them out"),
        ("my liver", 8, "'my liver'; letters, digits, _ and - in a name"),
    ]:
        with pytest.raises(RequestError, match=line):
            nnunet_folder(Path(tmp_path / name), number)


def test_a_command_names_its_folder_for_nnunet(tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 255, (14, 12), dtype=np.uint8)
    write_pair(tmp_path / "in", png_bytes(pixels), png_bytes((pixels > 99).astype(np.uint8)), ending=".png")
    with pytest.raises(SystemExit) as ended:
        main(["prepare", str(tmp_path / "in"), str(tmp_path / "raw" / "Breast"), "--dataset-id", "501"])
    assert ended.value.code == 0
    assert f"folder for nnU-Net: {tmp_path / 'raw' / 'Dataset501_Breast'}" in capsys.readouterr().out
    assert len(Cohort.open(tmp_path / "raw" / "Dataset501_Breast")) == 1
    again = ["prepare", str(tmp_path / "in"), str(tmp_path / "raw" / "Dataset502_Breast"), "--dataset-id", "502"]
    with pytest.raises(SystemExit) as ended:
        main(again)
    assert ended.value.code == 0
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["Dataset501_Breast", "Dataset502_Breast"]
