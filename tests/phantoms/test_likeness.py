"""Phantoms that take over labels, channel names and gray values of a cohort."""

import re

import numpy as np
import pytest

from medsmith import Cohort, phantom
from medsmith.cases.case import Case
from medsmith.errors import CohortError
from medsmith.geometry import Geometry

SIZE = 24


def real_cohort(folder, labels, channels=("MR",), shape=(SIZE, SIZE, SIZE), stored=np.uint8, ending=".nii.gz"):
    """One case of noise with a block of each label."""
    rng = np.random.default_rng(0)
    cohort = Cohort.create(folder, channel_names=channels, label_names=labels, file_ending=ending)
    values = np.zeros(shape, np.uint8)
    for value in labels.values():
        values[4 * value : 4 * value + 3, 2:9] = value
    image = rng.integers(0, 200, (len(channels), *shape)).astype(np.float32)
    cohort.write(Case("one", image, values, Geometry.plain(shape), channels, labels, np.dtype(stored)))
    cohort.finish()
    return Cohort.open(folder)


def test_the_only_label_is_that_of_the_lesions_and_gray_values_fill_8_bits(tmp_path):
    real = real_cohort(tmp_path / "real", {"background": 0, "tumor": 1})
    like = phantom("limb-mr", tmp_path / "like", 2, size=SIZE, like=real)
    plain = phantom("limb-mr", tmp_path / "plain", 2, size=SIZE)
    assert (like.label_names, like.channel_names) == (real.label_names, real.channel_names)
    for ours, theirs in zip(like, plain, strict=True):
        lesion = theirs.require_labels() == plain.label_names["lesion"]
        assert np.array_equal(ours.require_labels(), lesion.astype(np.uint8))
        low, high = np.percentile(theirs.require_image(), (0.5, 99.5))
        stretched = np.rint(np.clip((theirs.require_image() - low) / (high - low), 0, 1) * 255)
        assert np.array_equal(ours.require_image(), stretched)
        assert ours.stored == np.uint8
        assert ours.report is None
        assert (ours.provenance or {})["like"] == {"label_names": {"background": 0, "tumor": 1}, "eight_bit": True}


def test_the_only_label_is_that_of_the_lesions_whatever_the_family_calls_them(tmp_path):
    real = real_cohort(tmp_path / "real", {"background": 0, "cyst": 1}, ("CT",), (64, 64, 1), np.int16)
    (like,) = phantom("chest", tmp_path / "like", 1, size=64, seed=1, like=real)
    (plain,) = phantom("chest", tmp_path / "plain", 1, size=64, seed=1)
    nodule = plain.require_labels() == plain.label_names["nodule"]
    assert nodule.any()
    assert np.array_equal(like.require_labels(), nodule.astype(np.uint8))


@pytest.mark.parametrize(
    ("family", "channel", "stored"),
    [("limb-ct", "CT", np.int16), ("limb-ct", "CT", np.uint8), ("limb-mr", "T2", np.int16)],
)
def test_gray_values_in_hounsfield_units_or_more_than_8_bits_stay(tmp_path, family, channel, stored):
    real = real_cohort(tmp_path / "real", {"background": 0, "lesion": 1}, (channel,), stored=stored)
    (like,) = phantom(family, tmp_path / "like", 1, size=SIZE, like=real)
    (plain,) = phantom(family, tmp_path / "plain", 1, size=SIZE)
    assert np.array_equal(like.require_image(), plain.require_image())
    assert like.channel_names == (channel,)
    assert like.report == plain.report


def test_labels_go_by_their_names_and_others_become_background(tmp_path):
    names = {"background": 0, "muscle": 2, "lesion": 1}
    real = real_cohort(tmp_path / "real", names, ("CT",), stored=np.int16)
    (like,) = phantom("limb-ct", tmp_path / "like", 1, size=SIZE, like=tmp_path / "real")
    (plain,) = phantom("limb-ct", tmp_path / "plain", 1, size=SIZE)
    for name in ("muscle", "lesion"):
        assert np.array_equal(like.labels == names[name], plain.labels == plain.label_names[name])
    assert set(np.unique(like.require_labels())) <= {0, 1, 2}
    assert like.label_names == real.label_names


def test_the_same_command_continues_and_another_likeness_is_refused(tmp_path):
    real = real_cohort(tmp_path / "real", {"background": 0, "lesion": 1}, shape=(64, 64, 1), ending=".png")
    made = phantom("breast", tmp_path / "like", 2, size=32, like=real)
    before = made.content_hash()
    assert len(phantom("breast", tmp_path / "like", 3, size=32, like=real)) == 3
    assert phantom("breast", tmp_path / "again", 2, size=32, like=real).content_hash() == before
    ultrasound = real_cohort(
        tmp_path / "us", {"background": 0, "lesion": 1}, ("ultrasound",), shape=(64, 64, 1), ending=".png"
    )
    for first, second in ((None, ultrasound), (ultrasound, None)):
        folder = tmp_path / f"first-{first is None}"
        before = phantom("breast", folder, 1, size=32, like=first).content_hash()
        with pytest.raises(CohortError, match="was made with another --like; choose a new folder"):
            phantom("breast", folder, 2, size=32, like=second)
        assert Cohort.open(folder).content_hash() == before


@pytest.mark.parametrize(
    ("family", "changes", "line"),
    [
        ("limb-mr", {"channels": ("T1", "T2")}, "2 channels; limb-mr phantoms have 1; choose another family"),
        ("limb-mr", {"shape": (64, 64, 1)}, "2 dimensions; limb-mr phantoms have 3; choose another family"),
        ("breast", {}, "3 dimensions; breast phantoms have 2; choose another family"),
        (
            "limb-mr",
            {"labels": {"background": 0, "muscle": 1, "liver": 2}},
            "label 'liver'; limb-mr phantoms show",
        ),
        ("limb-ct", {}, "channel MR; limb-ct phantoms have CT; choose another family"),
        ("limb-mr", {"channels": ("CT",)}, "channel CT; limb-mr phantoms have T1; choose another family"),
        ("limb-mr", {"labels": {"background": 0}}, "no labels; limb-mr phantoms show"),
        (
            "chest",
            {"shape": (64, 64, 1), "ending": ".png", "labels": {"background": 0, "nodule": 1}},
            ".png files; chest phantoms are .nii.gz files, whose axes have directions; make them without --like, and "
            "pictures of them by `medsmith prepare --pictures`",
        ),
    ],
)
def test_what_a_family_does_not_show_is_one_line_and_writes_nothing(tmp_path, family, changes, line):
    real = real_cohort(tmp_path / "real", **{"labels": {"background": 0, "lesion": 1}, **changes})
    with pytest.raises(CohortError, match=re.escape(f"{tmp_path / 'real'}: {line}")):
        phantom(family, tmp_path / "like", 1, size=48, like=real)
    assert not (tmp_path / "like").exists()
