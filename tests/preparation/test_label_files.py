"""One file per label in the folder of each scan, as TotalSegmentator writes them."""

import numpy as np
import pytest

from medsmith.errors import MedsmithError
from medsmith.preparation.options import PrepareOptions
from medsmith.preparation.prepare import prepare
from scan_files import image_array, label_array, nifti_bytes, zipped


def organ(place, value=1):
    labels = np.zeros_like(label_array())
    labels[place] = value
    return zipped(nifti_bytes(labels))


LIVER, SPLEEN = np.s_[2:5, 2:5, 2:5], np.s_[6:9, 6:9, 5:8]


def source(root, files):
    for name, data in files.items():
        path = root / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def scans(root, **changes):
    image = zipped(nifti_bytes(image_array()))
    files = {
        "s01/ct": image,
        "s01/segmentations/liver": organ(LIVER),
        "s01/segmentations/spleen": organ(SPLEEN, 255),
        "s02/ct": image,
        "s02/segmentations/liver": organ(SPLEEN),
        **{key.replace("__", "/"): value for key, value in changes.items()},
    }
    return source(root, files)


def test_each_file_is_a_label_named_for_it(tmp_path):
    said: list[str] = []
    made = prepare(scans(tmp_path / "in"), tmp_path / "out", report=said.append)
    assert made.ids == ("s01", "s02")
    assert made.label_names == {"background": 0, "liver": 1, "spleen": 2}
    assert any("each has a file of its own" in line for line in said)
    first, second = (made.stored(id).require_labels() for id in made.ids)
    assert (first[LIVER] == 1).all()
    assert (first[SPLEEN] == 2).all()
    assert (first > 0).sum() == 54
    assert (second[SPLEEN] == 1).all()
    assert (second > 0).sum() == 27


def test_declared_labels_choose_their_files(tmp_path):
    options = PrepareOptions(label_names={"spleen": 7})
    said: list[str] = []
    with pytest.raises(MedsmithError, match="no file is named for label lung; there are liver, spleen"):
        prepare(scans(tmp_path / "one"), tmp_path / "out", PrepareOptions(label_names={"lung": 1}), report=said.append)
    made = prepare(
        scans(tmp_path / "in", s02__segmentations__spleen=organ(LIVER)), tmp_path / "made", options, report=said.append
    )
    assert made.label_names == {"background": 0, "spleen": 1}
    assert all((case.require_labels() > 0).sum() == 27 for case in made)


def test_labels_that_overlap_are_refused(tmp_path):
    root = scans(tmp_path / "in", s01__segmentations__spleen=organ(LIVER))
    with pytest.raises(MedsmithError, match=r"27 voxels with another label in liver\.nii\.gz"):
        prepare(root, tmp_path / "out", report=lambda _: None)
    assert not (tmp_path / "out").exists()
