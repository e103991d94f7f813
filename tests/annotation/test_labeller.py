import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from annotation_slices import LABELS, slice_of, write_slices
from medsmith.anatomy import ShapeSpace
from medsmith.annotation.labeller import read_labeller, write_labeller
from medsmith.annotation.rules import LabelRules
from medsmith.cases.cohort import Cohort
from medsmith.cases.views import images_alone, joined
from medsmith.errors import CohortError, FileError, RunError
from medsmith.evaluation.downstream.segmenter import SegmenterConfig, build_segmenter
from medsmith.formats.atomic import sha256_of

MICRO = SegmenterConfig(steps=2, channels=4)
ANY = LabelRules({}, frozenset())


def labeller_at(path, seed=0):
    write_labeller(path, build_segmenter((2, 1), 3, MICRO, seed), MICRO, 16, 1, LABELS)
    return read_labeller(path)


def test_a_labeller_predicts_the_same_after_it_is_read_again(tmp_path):
    network = build_segmenter((2, 1), 3, MICRO, 4).eval()
    write_labeller(tmp_path / "one", network, MICRO, 16, 1, LABELS)
    found = read_labeller(tmp_path / "one")
    assert found.content_hash == sha256_of(tmp_path / "one")
    assert (found.edge, found.label_names, found.config) == (16, LABELS, MICRO)
    x = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.network(x), network(x))
    write_labeller(tmp_path / "two", network, MICRO, 16, 1, LABELS)
    assert (tmp_path / "two").read_bytes() == (tmp_path / "one").read_bytes()


def test_confidence_is_the_mean_probability_of_the_labels_pixels(tmp_path):
    case = slice_of("c", 3)
    found = labeller_at(tmp_path / "l").predict(case, ANY)
    assert found.labels.shape == case.geometry.shape
    assert set(found.confidence) == {"organ", "vessel"}
    for name, confidence in found.confidence.items():
        assert (confidence is None) == (not (found.labels == LABELS[name]).any())
        assert confidence is None or 1 / 3 <= confidence <= 1


def test_what_is_no_labeller_is_refused(tmp_path):
    with pytest.raises(FileError):
        read_labeller(tmp_path / "missing")
    labeller_at(tmp_path / "l")
    data = (tmp_path / "l").read_bytes()
    for damaged in (data[:-5], b"x" * 100):
        (tmp_path / "l").write_bytes(damaged)
        with pytest.raises(RunError, match="is no labeller, or damaged"):
            read_labeller(tmp_path / "l")


def test_rules_are_those_of_the_annotated_slices(tmp_path):
    cohort = Cohort.open(write_slices(tmp_path / "labelled", range(3)))
    rules = LabelRules.of(ShapeSpace.fit(cohort, points=8, context="none"))
    assert rules == LabelRules({1: 1, 2: 1}, frozenset())
    for case in cohort:
        labels = case.require_labels()[:, :, 0]
        assert np.array_equal(rules.clean(labels), labels)


MAPS = arrays.arrays(np.uint8, (9, 9), elements=st.integers(0, 2))


@given(MAPS, st.integers(1, 2), st.booleans())
def test_cleaned_maps_obey_the_rules(labels, most, holes):
    rules = LabelRules({1: most}, frozenset({1}) if holes else frozenset())
    cleaned = rules.clean(labels)
    parts, count = ndimage.label(labels == 1, np.ones((3, 3)))
    sizes = sorted((int((parts == part).sum()) for part in range(1, count + 1)), reverse=True)
    if holes:
        assert (cleaned == 1).sum() == sum(sizes[:most])
        assert ((cleaned == 1) <= (labels == 1)).all()
    else:
        assert not (ndimage.binary_fill_holes(cleaned == 1) & (cleaned == 0)).any()
    assert ndimage.label(cleaned == 1, np.ones((3, 3)))[1] <= most
    assert np.array_equal(cleaned == 2, labels == 2)


def test_a_cohort_without_labels_and_two_as_one(tmp_path):
    one = Cohort.open(write_slices(tmp_path / "one", range(2)))
    other = Cohort.open(write_slices(tmp_path / "other", range(1, 3)))
    both = joined({"a": one, "b": other})
    assert both.ids == (*(f"a-{id}" for id in one.ids), *(f"b-{id}" for id in other.ids))
    assert np.array_equal(both["b-P02_1"].require_labels(), other["P02_1"].require_labels())
    assert images_alone(both)["b-P02_1"].labels is None
    assert images_alone(both).label_names == {"background": 0}
    with pytest.raises(CohortError, match="label_names"):
        joined({"a": one, "b": images_alone(other)})
