import gzip
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL.PngImagePlugin import PngInfo

from medsmith.cases.cohort import Cohort
from medsmith.cases.verification import verify_folder
from medsmith.errors import MedsmithError
from medsmith.formats.lock import hold_output
from medsmith.formats.volume import ReadOptions
from medsmith.phantoms.families import find_family
from medsmith.phantoms.writing import write_phantom
from medsmith.preparation.options import PrepareOptions
from medsmith.preparation.pairing import portable_id
from medsmith.preparation.prepare import RECORD, prepare
from scan_files import (
    ID,
    good_source,
    hounsfield_array,
    image_array,
    label_array,
    listing,
    nifti_bytes,
    png_bytes,
    run,
    write_pair,
    zipped,
)

DATA = Path(__file__).parents[2].parent / "shared" / "data"
PIXELS = np.random.default_rng(0).integers(0, 255, (14, 12), dtype=np.uint8)
MASK = np.zeros((14, 12), np.uint8)
MASK[4:8, 3:9] = 1
IMAGE_PNG, MASK_PNG = png_bytes(PIXELS), png_bytes(MASK)
IMAGE_NII, LABEL_NII = zipped(nifti_bytes(image_array())), zipped(nifti_bytes(label_array()))


def silent(_):
    """Takes a line and drops it."""


def fill(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def pngs(*names):
    return {f"{name}.png": MASK_PNG if re.search("mask|seg|label", name) else IMAGE_PNG for name in names}


def niftis(*names):
    return {f"{name}.nii.gz": LABEL_NII if re.search("mask|seg|label", name) else IMAGE_NII for name in names}


PAIRINGS = [
    ("two folders", pngs("images/a", "labels/a", "images/b", "labels/b"), ["a", "b"]),
    ("imgs and masks", pngs("imgs/a", "masks/a_mask"), ["a"]),
    ("suffix in the name itself", {"images/a_seg.png": IMAGE_PNG, "labels/a_seg.png": MASK_PNG}, ["a_seg"]),
    ("both with an ending", {"S1_CT_image.png": IMAGE_PNG, "S1_CT_mask.png": MASK_PNG}, ["S1_CT_image"]),
    ("words before a number", {"volume-0.png": IMAGE_PNG, "segmentation-0.png": MASK_PNG}, ["volume-0"]),
    ("such words in two folders", {"img/img0001.png": IMAGE_PNG, "label/label0001.png": MASK_PNG}, ["img0001"]),
    ("a folder of folders", {"p1/image/image.png": IMAGE_PNG, "p1/mask/mask.png": MASK_PNG}, ["image"]),
    ("siblings", pngs("a", "a_mask", "b-x", "b-x_mask"), ["a", "b-x"]),
    ("classes", pngs("benign/b (1)", "benign/b (1)_mask", "malignant/m (1)", "malignant/m (1)_mask"), ["b_1", "m_1"]),
    ("equal names in classes", pngs("benign/1", "benign/1_mask", "bad/1", "bad/1_mask"), ["bad_1", "benign_1"]),
    ("splits", pngs("train/images/1", "train/labels/1", "val/images/1", "val/labels/1"), ["train_1", "val_1"]),
    ("seg", niftis("a", "a_seg", "b", "b-seg"), ["a", "b"]),
    ("folder per case", niftis("k1/imaging", "k1/segmentation", "k2/imaging", "k2/segmentation"), ["k1", "k2"]),
    ("nnU-Net without dataset.json", niftis("imagesTr/a_0000", "labelsTr/a"), ["a"]),
    ("numbers that are no channels", pngs("images/P_0080", "labels/P_0080", "images/P_0081", "labels/P_0081"),
        ["P_0080", "P_0081"]),
    ("hidden files", pngs("a", "a_mask") | {"__MACOSX/a.png": b"x", "._a.png": b"x"}, ["a"]),
]  # fmt: skip


@pytest.mark.parametrize(("files", "ids"), [row[1:] for row in PAIRINGS], ids=[row[0] for row in PAIRINGS])
def test_pairing(files, ids, tmp_path):
    cohort = prepare(fill(tmp_path / "in", files), tmp_path / "out", report=silent)
    assert list(cohort.ids) == ids
    case = cohort[ids[0]]
    assert case.require_labels().any()
    assert len(np.unique(case.require_image())) > 20
    verify_folder(cohort.root)


def test_channels_by_number(tmp_path):
    other = zipped(nifti_bytes(image_array(seed=5)))
    files = niftis("imagesTr/a_0000", "labelsTr/a") | {"imagesTr/a_0001.nii.gz": other}
    fill(tmp_path / "in", files)
    options = PrepareOptions(channel_names=("T1", "T2"))
    case = prepare(tmp_path / "in", tmp_path / "out", options, report=silent)["a"]
    np.testing.assert_array_equal(case.image, np.stack([image_array(), image_array(seed=5)]))


def test_several_masks_of_one_image_are_united(tmp_path):
    second = np.zeros_like(MASK)
    second[10:12, 3:9] = 1
    files = pngs("b (1)", "b (1)_mask") | {"b (1)_mask_1.png": png_bytes(second * 255)}
    files["b (1)_mask.png"] = png_bytes(MASK * 255)
    case = prepare(fill(tmp_path / "in", files), tmp_path / "out", report=silent)["b_1"]
    np.testing.assert_array_equal(case.require_labels()[:, :, 0].T, MASK | second)


def test_masks_that_contradict_each_other_are_refused(tmp_path):
    files = pngs("a", "a_mask") | {"a_mask_1.png": png_bytes(MASK * 2)}
    code, line = run(lambda: prepare(fill(tmp_path / "in", files), tmp_path / "out", report=silent))
    assert code == 2
    assert "24 voxels with another label" in line


REFUSED = [
    ("nothing", {"readme.txt": b"hello"}, "holds no image that can be read (1 .txt)"),
    ("DICOM", {"1.dcm": b"x", "2.dcm": b"x"}, "2 .dcm"),
    ("images and pictures not read", pngs("a", "b") | {"masks/a.jpg": b"x"}, "2 images, no label map that its name"),
    ("JPEG images", {"images/a.jpg": b"x", "labels/a.png": MASK_PNG}, "1 label map, no images (besides 1 .jpg"),
    ("label without image", pngs("a", "a_mask", "b_mask"), "1 file without a pair: b_mask.png"),
    ("image without label", pngs("a", "a_mask", "b"), "1 file without a pair: b.png"),
    ("no name shared", pngs("a", "b_mask"), "no image and label share a name"),
    ("two formats", pngs("a", "a_mask") | niftis("b", "b_mask"), "2 PNG and 2 NIfTI"),
    ("two images of a name", niftis("a", "a_mask") | {"a.nii": b"x"}, "several images of one name"),
    ("ids that fall together", pngs("a b", "a b_mask", "a(b", "a(b_mask"), "would both be case a_b"),
    ("ids that differ in case", pngs("x/A", "x/A_mask", "x/a", "x/a_mask"), "would both be case x_a"),
    ("a channel lacks", niftis("imagesTr/a_0000", "imagesTr/a_0001", "imagesTr/b_0000", "labelsTr/a", "labelsTr/b"),
        "a channel is missing in 1 case: b"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_it_cannot_know_is_refused_by_name(files, words, tmp_path):
    source = fill(tmp_path / "in", files)
    before = listing(tmp_path)
    code, line = run(lambda: prepare(source, tmp_path / "out", report=silent))
    assert code == 2
    assert words in line
    assert line.startswith(str(source))
    assert listing(tmp_path) == before


NOISE = zipped(nifti_bytes(image_array()))
ONE_KIND = [
    ("images", pngs("a", "b"), {}, ["a", "b"], ("image",), "images alone (by their values): a.png"),
    ("image folder", pngs("images/a"), {}, ["a"], ("image",), "images alone: images/a.png"),
    ("declared images", {"a.png": MASK_PNG}, {"channel_names": ("US",)}, ["a"], ("US",),
        "images alone (a channel is declared and no label): a.png"),
    ("labels", {"a.png": MASK_PNG, "b.png": MASK_PNG}, {}, ["a", "b"], (), "label maps alone (by their values): a.png"),
    ("label folder", pngs("masks/a"), {}, ["a"], (), "label maps alone: masks/a.png"),
    ("label names", niftis("a_seg"), {}, ["a"], (), "label maps alone: a_seg.nii.gz"),
    ("declared labels", {"a.png": MASK_PNG}, {"label_names": {"mass": 1}}, ["a"], (),
        "label maps alone (labels are declared and no channel): a.png"),
    ("one of them an image", {"a.png": MASK_PNG, "b.png": IMAGE_PNG}, {}, ["a", "b"], ("image",),
        "images alone (by their values): a.png"),
    ("numbered scans", {"s_0001.nii.gz": NOISE, "s_0002.nii.gz": NOISE}, {}, ["s_0001", "s_0002"], ("image",), ""),
    ("nnU-Net's names", {"a_0000.nii.gz": NOISE, "b_0000.nii.gz": NOISE}, {}, ["a", "b"], ("image",), ""),
    ("two channels", {"a_0000.nii.gz": NOISE, "a_0001.nii.gz": NOISE}, {"channel_names": ("T1", "T2")}, ["a"],
        ("T1", "T2"), ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "options", "ids", "channels", "rule"), [row[1:] for row in ONE_KIND], ids=[row[0] for row in ONE_KIND]
)
def test_images_alone_and_labels_alone(files, options, ids, channels, rule, tmp_path):
    said: list[str] = []
    cohort = prepare(fill(tmp_path / "in", files), tmp_path / "out", PrepareOptions(**options), report=said.append)
    assert (list(cohort.ids), cohort.channel_names) == (ids, channels)
    assert rule in said[0]
    again = Cohort.open(tmp_path / "out")
    assert all((case.image is None) == (not channels) for case in again)
    assert all((case.labels is None) == bool(channels) for case in again)
    verify_folder(again.root)
    before = listing(tmp_path / "out")
    prepare(tmp_path / "in", tmp_path / "out", PrepareOptions(**options), report=silent)
    assert listing(tmp_path / "out") == before
    once_more = prepare(tmp_path / "out", tmp_path / "more", report=silent)
    assert once_more.ids == again.ids


@pytest.mark.parametrize(
    ("files", "options", "words"),
    [
        (pngs("images/a"), {"label_names": {"mass": 1}}, "1 image, no label map that its name gives away"),
        (
            pngs("a", "b"),
            {"label_names": {"a": 1}, "channel_names": ("gray",)},
            "and labels/; add or rename the label maps, or leave out --label",
        ),
        (pngs("masks/a"), {"channel_names": ("US",)}, "add or convert the images, or leave out --channel"),
        (pngs("a"), {"label_names": {"mass": 1}, "channel_names": ("US",)}, "1 image, no label map"),
        (pngs("masks/a"), {"channel_names": ("US",)}, "1 label map, no images; channels are named"),
        (pngs("a"), {"label_names": {"mass": 1}}, "is this the image?"),
    ],
)
def test_what_is_declared_must_be_there(files, options, words, tmp_path):
    code, line = run(
        lambda: prepare(fill(tmp_path / "in", files), tmp_path / "out", PrepareOptions(**options), report=silent)
    )
    assert code == 2
    assert words in line


def test_bare_ct_is_looked_at_as_ct(tmp_path):
    scan = zipped(nifti_bytes(hounsfield_array()))
    cohort = prepare(fill(tmp_path / "in", {"p1.nii.gz": scan}), tmp_path / "out", report=silent)
    assert cohort.channel_names == ("CT",)
    options = PrepareOptions(channel_names=("CT",))
    code, line = run(
        lambda: prepare(fill(tmp_path / "no", {"p1.nii.gz": NOISE}), tmp_path / "out2", options, report=silent)
    )
    assert code == 2
    assert "Hounsfield" in line


def test_unpaired_files_are_kept_on_request(tmp_path):
    source = fill(tmp_path / "in", pngs("a", "a_mask", "b", "c_mask"))
    said: list[str] = []
    options = PrepareOptions(keep=frozenset({"unpaired"}))
    cohort = prepare(source, tmp_path / "out", options, report=said.append)
    assert cohort.ids == ("a", "b", "c")
    assert (cohort.ids_with_image, cohort.ids_with_labels) == (("a", "b"), ("a", "c"))
    assert cohort["b"].labels is None
    assert cohort["c"].image is None
    assert said[0] == "3 cases (1 with image and labels, 1 with only an image, 1 with only labels): a.png + a_mask.png"
    assert "kept without a pair: b.png, c_mask.png" in said
    code, line = run(lambda: prepare(tmp_path / "out", tmp_path / "again", report=silent))
    assert code == 2
    assert "2 files without a pair" in line
    assert prepare(tmp_path / "out", tmp_path / "again", options, report=silent).ids == cohort.ids


def test_empty_labels_are_kept_on_request(tmp_path):
    files = pngs("a", "a_mask", "b") | {"b_mask.png": png_bytes(np.zeros_like(MASK))}
    options = PrepareOptions(keep=frozenset({"empty"}))
    cohort = prepare(fill(tmp_path / "in", files), tmp_path / "out", options, report=silent)
    assert cohort.ids == ("a", "b")
    assert not cohort["b"].require_labels().any()


@pytest.mark.skipif(not DATA.exists(), reason="the real data are not here")
def test_real_masks_without_scans(tmp_path):
    for path in sorted((DATA / "kidney-masks").iterdir())[:3]:
        fill(tmp_path / "in", {path.name: path.read_bytes()})
    cohort = prepare(tmp_path / "in", tmp_path / "out", report=silent)
    assert cohort.channel_names == ()
    assert all(case.image is None and case.require_labels().any() for case in cohort)


def test_left_out_on_request_and_written_down(tmp_path):
    source = fill(tmp_path / "in", pngs("a", "a_mask", "b", "c_mask"))
    said: list[str] = []
    options = PrepareOptions(leave_out=frozenset({"unpaired"}))
    cohort = prepare(source, tmp_path / "out", options, report=said.append)
    assert cohort.ids == ("a",)
    assert json.loads((tmp_path / "out" / RECORD).read_text())["left_out"] == ["b.png", "c_mask.png"]
    assert "left out: b.png, c_mask.png" in said
    assert said[0] == "1 case: a.png + a_mask.png"


@pytest.mark.parametrize(("option", "what"), [("keep", "kept without a pair"), ("leave_out", "left out")])
def test_many_unpaired_files_are_one_line_and_all_are_in_the_record(option, what, tmp_path):
    names = [f"image_{number:02d}" for number in range(12)]
    source = fill(tmp_path / "in", pngs("a", "a_mask", *names))
    said: list[str] = []
    unpaired = frozenset({"unpaired"})
    options = PrepareOptions(keep=unpaired) if option == "keep" else PrepareOptions(leave_out=unpaired)
    prepare(source, tmp_path / "out", options, report=said.append)
    assert [line for line in said if "image_" in line and "noise" not in line] == [
        f"{what}: image_00.png, image_01.png, image_02.png and 9 more"
    ]
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert record["kept" if option == "keep" else "left_out"] == [f"{name}.png" for name in names]
    kept = "13 cases (1 with image and labels, 12 with only an image)"
    assert said[0] == f"{kept if option == 'keep' else '1 case'}: a.png + a_mask.png"


def test_cases_that_are_all_background_are_one_line_and_not_counted(tmp_path):
    empty = {f"b{number}_mask.png": png_bytes(np.zeros_like(MASK)) for number in range(5)}
    files = pngs("a", "a_mask", "c", *(f"b{number}" for number in range(5))) | empty
    said: list[str] = []
    options = PrepareOptions(leave_out=frozenset({"empty"}), keep=frozenset({"unpaired"}))
    prepare(fill(tmp_path / "in", files), tmp_path / "out", options, report=said.append)
    assert said[0] == "2 cases (1 with image and labels, 1 with only an image): a.png + a_mask.png"
    assert "left out, all background: b0, b1, b2 and 2 more" in said


def test_pictures_with_colored_marks_are_gray_on_request(tmp_path):
    marked = np.stack([PIXELS] * 3, -1)
    marked[0, :3] = (255, 255, 0)
    source = fill(tmp_path / "in", {"images/a.png": png_bytes(marked), "labels/a.png": MASK_PNG})
    code, line = run(lambda: prepare(source, tmp_path / "out", report=silent))
    assert code == 2
    assert "in color (3 pixels, 1.79%, where the channels differ)" in line
    assert line.endswith("run medsmith prepare with --gray-of-color")
    said: list[str] = []
    options = PrepareOptions(read=ReadOptions(gray_of_color=True))
    image = prepare(source, tmp_path / "out", options, report=said.append)["a"].require_image()[0, :, :, 0].T
    expected = PIXELS.astype(np.float32)
    expected[0, :3] = 226  # ITU-R 601: .299 * 255 + .587 * 255
    np.testing.assert_array_equal(image, expected)
    assert any("3 pixels in color (1.79%) were turned to gray by their luminance" in line for line in said)


def test_label_maps_in_color_are_refused_whatever_is_asked(tmp_path):
    colored = np.stack([MASK * 255, MASK, MASK], -1)
    source = fill(tmp_path / "in", {"images/a.png": IMAGE_PNG, "labels/a.png": png_bytes(colored)})
    options = PrepareOptions(read=ReadOptions(gray_of_color=True))
    code, line = run(lambda: prepare(source, tmp_path / "out", options, report=silent))
    assert code == 2
    assert "a.png: in color" in line


def test_what_is_done_to_gray_values_is_said(tmp_path):
    said: list[str] = []
    options = PrepareOptions(percentiles=(0.5, 99.5))
    prepare(good_source(tmp_path / "in"), tmp_path / "out", options, report=said.append)
    assert said[-1] == "gray values: percentiles 0.5 and 99.5 of each image become 0 and 255, others clipped"
    said.clear()
    shifted = zipped(nifti_bytes(hounsfield_array() + 1024))
    options = PrepareOptions(channel_names=("CT",), hu_offset=-1024)
    prepare(fill(tmp_path / "ct", {"p1.nii.gz": shifted}), tmp_path / "out2", options, report=said.append)
    assert "gray values: -1024 HU" in said


def test_spacings_that_differ_are_said_by_their_median_and_their_range(tmp_path):
    image, label = hounsfield_array((16, 16, 16)), label_array((16, 16, 16))
    for name, depth in (("a", 1.0), ("b", 2.0), ("c", 5.0)):
        affine = np.diag([0.7, 0.8, depth, 1.0])
        scan, mask = (zipped(nifti_bytes(array, affine)) for array in (image, label))
        write_pair(tmp_path / "in", scan, mask, name=name)
    said: list[str] = []
    prepare(tmp_path / "in", tmp_path / "out", report=said.append)
    assert "spacing: 0.7 x 0.8 x 2 mm (median), 0.7 x 0.8 x 1 to 0.7 x 0.8 x 5" in said


def test_what_it_inferred_is_said_and_written(tmp_path):
    image = zipped(nifti_bytes(hounsfield_array((16, 16, 16))))
    label = zipped(nifti_bytes(label_array((16, 16, 16))))
    source = write_pair(tmp_path / "in", image, label)
    said: list[str] = []
    cohort = prepare(source, tmp_path / "out", report=said.append)
    assert cohort.channel_names == ("CT",)
    assert said == [
        "1 case: images/a.nii.gz + labels/a.nii.gz",
        "channels: CT (every image is in Hounsfield units)",
        "labels: background = 0, label_1 = 1 (inferred from the files; name them with --label NAME=VALUE)",
        "spacing: 0.7 x 0.8 x 2.5 mm",
        "shapes: 16 x 16 x 16; stored as int16",
    ]
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert record["inferred"] == said
    assert record["sources"][ID].keys() == {"images/a.nii.gz", "labels/a.nii.gz"}
    assert str(tmp_path) not in (tmp_path / "out" / RECORD).read_text()


def test_declared_labels_with_gaps_are_renumbered_and_said(tmp_path):
    labels = label_array(value=7)
    labels[0, 0, 0] = 3
    source = write_pair(tmp_path / "in", IMAGE_NII, zipped(nifti_bytes(labels)))
    said: list[str] = []
    options = PrepareOptions(label_names={"liver": 7, "lesion": 3})
    cohort = prepare(source, tmp_path / "out", options, report=said.append)
    assert cohort.label_names == {"background": 0, "lesion": 1, "liver": 2}
    np.testing.assert_array_equal(cohort[ID].labels == 2, labels == 7)
    assert any("renumbered from background = 0, lesion = 3, liver = 7" in line for line in said)


def test_wrong_number_of_channel_names(tmp_path):
    options = PrepareOptions(channel_names=("T1", "T2"))
    code, line = run(lambda: prepare(good_source(tmp_path / "in"), tmp_path / "out", options, report=silent))
    assert code == 2
    assert "2 channel names (T1, T2); each case has 1 channels" in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (PrepareOptions(leave_out=frozenset({"all"})), "--leave-out: 'all'; one of empty, unpaired"),
        (PrepareOptions(keep=frozenset({"all"})), "--keep: 'all'; one of empty, unpaired"),
        (
            PrepareOptions(keep=frozenset({"empty"}), leave_out=frozenset({"empty"})),
            "--keep: 'empty' is to be left out as well",
        ),
        (PrepareOptions(hu_offset=-1024), "--hu-offset: no channel is named CT"),
    ],
)
def test_options_that_do_not_apply(options, words, tmp_path):
    code, line = run(lambda: prepare(good_source(tmp_path / "in"), tmp_path / "out", options, report=silent))
    assert code == 2
    assert words in line


def test_the_same_call_continues_and_another_is_refused(tmp_path):
    source = good_source(tmp_path / "in", count=3)
    prepare(source, tmp_path / "out", report=silent)
    whole = listing(tmp_path / "out")
    (tmp_path / "out" / "labelsTr" / "a1.nii.gz").unlink()
    before = (tmp_path / "out" / "labelsTr" / "a0.nii.gz").stat().st_mtime_ns
    assert len(prepare(source, tmp_path / "out", report=silent)) == 3
    assert listing(tmp_path / "out") == whole
    assert (tmp_path / "out" / "labelsTr" / "a0.nii.gz").stat().st_mtime_ns == before
    code, line = run(lambda: prepare(source, tmp_path / "out", PrepareOptions(label_names={"mass": 1}), report=silent))
    assert code == 2
    assert "differs in inferred, label_names, label_of_source_value, options" in line
    (source / "images" / "a0.nii.gz").write_bytes(zipped(nifti_bytes(image_array(seed=9))))
    code, line = run(lambda: prepare(source, tmp_path / "out", report=silent))
    assert code == 2
    assert "differs in sources" in line
    assert listing(tmp_path / "out") == whole


def test_other_cohorts_are_not_overwritten(tmp_path):
    source = good_source(tmp_path / "in")
    prepare(source, tmp_path / "out", report=silent)
    (tmp_path / "out" / RECORD).unlink()
    before = listing(tmp_path / "out")
    code, line = run(lambda: prepare(source, tmp_path / "out", report=silent))
    assert code == 2
    assert "holds a cohort without prepare.json" in line
    assert listing(tmp_path / "out") == before


@pytest.mark.parametrize("out", [".", "in", "in/out", "in/images"])
def test_the_input_is_never_written_to(out, tmp_path):
    source = good_source(tmp_path / "in")
    before = listing(tmp_path)
    code, line = run(lambda: prepare(source, tmp_path / out, report=silent))
    assert code == 2
    assert "lies in, on or around" in line
    assert listing(tmp_path) == before


def test_killed_between_folder_and_record_it_can_be_called_again(tmp_path):
    source = good_source(tmp_path / "in")
    Cohort.create(
        tmp_path / "out", channel_names=["image"], label_names={"background": 0, "label_1": 1}, file_ending=".nii.gz"
    )
    assert len(prepare(source, tmp_path / "out", report=silent)) == 1


def test_preparing_twice_gives_equal_bytes(tmp_path):
    source = good_source(tmp_path / "in", count=2)
    assert (
        prepare(source, tmp_path / "one", report=silent).content_hash()
        == prepare(source, tmp_path / "two", report=silent).content_hash()
    )
    assert listing(tmp_path / "one") == listing(tmp_path / "two")


def test_a_prepared_cohort_can_be_prepared_again_with_its_reports(tmp_path):
    first = prepare(good_source(tmp_path / "in"), tmp_path / "one", report=silent)
    (first.root / "reports").mkdir()
    lesion = {"lesion_type": "kidney cyst", "size_mm": [8.0, 9.0, 7.5], "measured": {"volume_mm3": 280.5}}
    report = {"lesions": [lesion]}
    (first.root / "reports" / f"{ID}.json").write_text(json.dumps(report))
    second = prepare(first.root, tmp_path / "two", report=silent)
    assert second[ID].report == report
    np.testing.assert_array_equal(second[ID].image, first[ID].image)


NAMED = {
    "lesions": [
        {
            "lesion_type": "kidney cyst of Mrs DOE",
            "organ": "DOE",
            "shape": ["round-like"],
            "surface": "DOE",
            "size_mm": [8.0, 9.0, 7.5],
            "ct_value_hu": "DOE",
            "comment": "DOE",
            "measured": {"volume_mm3": 280.5, "Jane DOE": 1.0, "note": "DOE"},
        },
        "DOE",
    ],
    "text": "Mrs DOE was seen on 3 May",
    "DOE": {"patient": 1},
}


def test_of_a_real_cases_report_only_the_structured_fields_are_kept(tmp_path):
    first = prepare(good_source(tmp_path / "in"), tmp_path / "one", report=silent)
    (first.root / "reports").mkdir()
    (first.root / "reports" / f"{ID}.json").write_text(json.dumps(NAMED))
    said: list[str] = []
    second = prepare(first.root, tmp_path / "two", report=said.append)
    kept = {"shape": ["round-like"], "size_mm": [8.0, 9.0, 7.5], "measured": {"volume_mm3": 280.5}}
    assert second[ID].report == {"lesions": [kept, {}]}
    note = f"{ID}: 10 entries of its report that no structured report has: left out"
    assert f"note: {note}" in said
    assert note in json.loads((second.root / RECORD).read_text())["notes"]
    assert not [path for path in second.root.rglob("*") if path.is_file() and b"DOE" in path.read_bytes()]


@pytest.mark.parametrize("text", ['{"text": "Mrs DOE"}', '{"lesions": "DOE"}', '{"lesions": {"DOE": 1}}'])
def test_a_real_cases_report_without_lesions_is_left_out(tmp_path, text):
    first = prepare(good_source(tmp_path / "in"), tmp_path / "one", report=silent)
    (first.root / "reports").mkdir()
    (first.root / "reports" / f"{ID}.json").write_text(text)
    said: list[str] = []
    assert prepare(first.root, tmp_path / "two", report=said.append)[ID].report is None
    assert f"note: {ID}: 1 entry of its report that no structured report has: left out" in said


def test_the_report_of_a_synthetic_case_is_kept_whole(tmp_path):
    write_phantom(find_family("breast"), tmp_path / "phantoms", 1, 0, 32)
    (case,) = prepare(tmp_path / "phantoms", tmp_path / "out", report=silent)
    assert case.report == Cohort.open(tmp_path / "phantoms")[case.id].report
    assert case.report is not None
    assert "phantom" in case.report


def test_no_text_of_the_source_reaches_the_outputs(tmp_path):
    """Strings planted in every place that the formats have for text."""
    text = PngInfo()
    text.add_text("Patient", "DOE^JANE")
    pictures = fill(
        tmp_path / "png", {"a.png": png_bytes(PIXELS, pnginfo=text), "a_mask.png": png_bytes(MASK, pnginfo=text)}
    )
    planted = {"descrip": b"DOE^JANE", "aux_file": b"DOE.nii", "intent_name": b"DOE", "db_name": b"DOE"}
    scans = write_pair(
        tmp_path / "nii",
        zipped(nifti_bytes(image_array(), fields=planted, extension=b"DOE^JANE")),
        zipped(nifti_bytes(label_array(), fields=planted, extension=b"DOE^JANE")),
    )
    for source in (pictures, scans):
        out = prepare(source, tmp_path / f"{source.name}-out", report=silent).root
        for path in out.rglob("*.*"):
            data = path.read_bytes() if path.is_file() else b""
            assert b"DOE" not in data
            assert b"DOE" not in (gzip.decompress(data) if path.suffix == ".gz" else b"")


@given(st.text(max_size=40))
def test_ids_are_portable_whatever_the_name(name):
    assert re.fullmatch(r"\w[\w.\-]*", portable_id(name))


@pytest.mark.skipif(not DATA.exists(), reason="the real data are not here")
@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("kidney-masks", 371), ("lung-masks", 59)])
def test_real_folders_of_masks_alone_become_cohorts_of_labels(name, count, tmp_path):
    cohort = prepare(DATA / name, tmp_path / "out", report=silent)
    assert cohort.channel_names == ()
    assert len(cohort) == count
    first = cohort[cohort.ids[0]]
    assert first.image is None
    assert 1 < len(np.unique(first.require_labels())) <= len(cohort.label_names)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="the real data are not here")
def test_real_ct_is_recognised(tmp_path):
    cohort = prepare(DATA / "sarcoma-ct", tmp_path / "out", report=silent)
    assert cohort.channel_names == ("CT",)
    assert len(cohort) == 12


def test_images_that_look_like_noise_are_named(tmp_path):
    """A volume whose gray values wrapped in 8 bits has neighbors that differ by a multiple of 256."""
    ramp = np.add.outer(np.arange(20.0), np.arange(24.0)) * 37
    smooth, wrapped = (ramp / ramp.max() * 255).astype(np.uint8), (ramp**2 % 256).astype(np.uint8)
    files = {}
    for name, pixels in (("good", smooth), ("wrapped", wrapped)):
        files[f"images/{name}.png"] = png_bytes(pixels)
        files[f"labels/{name}.png"] = png_bytes((smooth > 200).astype(np.uint8))
    said: list[str] = []
    prepare(fill(tmp_path / "in", files), tmp_path / "out", report=said.append)
    (line,) = [line for line in said if "look like noise" in line]
    assert line.endswith(": wrapped")


def one_bit(value):
    return png_bytes(MASK * np.uint8(value))


def test_masks_of_0_and_1_beside_masks_of_0_and_255_are_one_label(tmp_path):
    files = {"a.png": IMAGE_PNG, "a_mask.png": one_bit(255), "b.png": IMAGE_PNG, "b_mask.png": one_bit(1)}
    made = prepare(fill(tmp_path / "in", files), tmp_path / "out", report=silent)
    assert made.label_names == {"background": 0, "label_1": 1}
    assert all(np.array_equal(case.require_labels()[:, :, 0].T, MASK) for case in made)


def test_a_mask_with_both_1_and_255_is_refused(tmp_path):
    both = MASK.copy()
    both[0, 0] = 255
    files = {"a.png": IMAGE_PNG, "a_mask.png": png_bytes(both)}
    with pytest.raises(MedsmithError, match="label value 255 among 0, 1, 255"):
        prepare(fill(tmp_path / "in", files), tmp_path / "out", report=silent)


def test_a_declared_number_of_cases_that_is_another_is_said(tmp_path):
    first = prepare(good_source(tmp_path / "in"), tmp_path / "first", report=silent).root
    declared = json.loads((first / "dataset.json").read_text())
    (first / "dataset.json").write_text(json.dumps({**declared, "numTraining": 99}))
    said: list[str] = []
    prepare(first, tmp_path / "second", report=said.append)
    assert said[0].endswith("as dataset.json says, which has numTraining 99")


@pytest.mark.parametrize("names", [("images/ct_1", "labels/mr_1"), ("mr_1", "ct_1_mask")])
def test_scans_and_masks_of_two_modalities_are_no_pair(names, tmp_path):
    with pytest.raises(MedsmithError, match=r"share a name|without their pair"):
        prepare(fill(tmp_path / "in", pngs(*names)), tmp_path / "out", report=silent)


@pytest.mark.parametrize("other", ["P_image_1", "P_1"])
def test_a_mask_that_fits_two_images_is_refused(other, tmp_path):
    source = fill(tmp_path / "in", pngs("P", other, "P_mask_1"))
    options = PrepareOptions(leave_out=frozenset({"unpaired"}))
    with pytest.raises(MedsmithError, match=rf"P_mask_1\.png fits P\.png and {other}\.png"):
        prepare(source, tmp_path / "out", options, report=silent)


def test_cases_with_several_label_maps_are_named(tmp_path):
    said: list[str] = []
    prepare(
        fill(tmp_path / "in", pngs("a", "a_mask", "b", "b_mask_1", "b_mask_2")), tmp_path / "out", report=said.append
    )
    assert "several label maps of one image, joined: b" in said


@pytest.mark.parametrize(("count", "shown"), [(None, "null"), ("a\nb" * 50, '"a\\nba')])
def test_a_strange_number_of_cases_is_shown_in_one_short_line(count, shown, tmp_path):
    first = prepare(good_source(tmp_path / "in"), tmp_path / "first", report=silent).root
    declared = json.loads((first / "dataset.json").read_text())
    (first / "dataset.json").write_text(json.dumps({**declared, "numTraining": count}))
    said: list[str] = []
    prepare(first, tmp_path / "second", report=said.append)
    assert f"which has numTraining {shown}" in said[0]
    assert "\n" not in said[0]
    assert len(said[0]) < 120


def test_two_at_once_into_one_folder_are_refused(tmp_path):
    source = fill(tmp_path / "in", pngs("a", "a_mask"))
    with (
        hold_output(tmp_path / "out"),
        pytest.raises(MedsmithError, match="another process is writing here; one at a time; wait for it"),
    ):
        prepare(source, tmp_path / "out", report=silent)
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_no_utf8_is_refused(tmp_path):
    source = good_source(tmp_path / "in")
    for folder in ("images", "labels"):
        (source / folder / f"{ID}.nii.gz").rename(source / folder / "caf\udce9.nii.gz")
    with pytest.raises(MedsmithError, match=r"images/caf\\udce9.nii.gz: its name is no UTF-8; .*; rename it"):
        prepare(source, tmp_path / "out", report=silent)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e39])
def test_numbers_that_no_image_can_hold_are_refused(number, tmp_path):
    source = good_source(tmp_path / "in")
    for option, options in {
        "--nan-fill": PrepareOptions(read=ReadOptions(nan_fill=number)),
        "--hu-offset": PrepareOptions(channel_names=("CT",), hu_offset=number),
    }.items():
        with pytest.raises(MedsmithError, match=f"{option}: {number:g}; at most 3.4e".replace("+", ".")):
            prepare(source, tmp_path / "out", options, report=silent)
    assert not (tmp_path / "out").exists()
