"""Images whose gray scales differ, brought to one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cases.stretching import stretch
from medsmith.errors import RequestError
from medsmith.geometry import Geometry
from medsmith.preparation import PrepareOptions, prepare


def case_of(values, id="case_0"):
    image = np.asarray(values, np.float32)
    return Case(id, image, None, Geometry.plain(image.shape[1:]), ("gray",), {"background": 0}, np.dtype(np.uint8))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.floats(0.2, 5), st.floats(-100, 100))
def test_scale_and_offset_of_an_image_have_no_effect(seed, scale, offset):
    values = np.random.default_rng(seed).normal(50, 20, (1, 24, 20, 1))
    one, two = (stretch(case_of(image), (0.5, 99.5)).require_image() for image in (values, values * scale + offset))
    assert np.abs(one - two).max() <= 1  # rounded to 8 bit


def test_the_percentiles_become_0_and_255():
    values = np.arange(1001, dtype=np.float32).reshape(1, 1001, 1, 1)
    found = stretch(case_of(values), (10, 90))
    image = found.require_image().ravel()
    assert (image[:101] == 0).all()
    assert (image[900:] == 255).all()
    assert image[500] in (127, 128)
    assert (np.diff(image) >= 0).all()
    assert found.stored == np.uint8


def test_a_cohort_is_prepared_on_one_scale_and_keeps_its_labels(tmp_path):
    rng, source, names = np.random.default_rng(1), tmp_path / "source", {"background": 0, "mass": 1}
    cohort = Cohort.create(source, channel_names=("gray",), label_names=names, file_ending=".png")
    for index, bright in enumerate((20, 200)):
        image = np.rint(rng.uniform(0, bright, (1, 16, 16, 1))).astype(np.float32)
        labels = (image[0] > bright / 2).astype(np.uint8)
        cohort.write(Case(f"case_{index}", image, labels, Geometry.plain((16, 16, 1)), ("gray",),
                          names, np.dtype(np.uint8)))  # fmt: skip
    cohort.finish()
    made = prepare(source, tmp_path / "out", PrepareOptions(percentiles=(0.5, 99.5)), report=lambda _: None)
    medians = [float(np.median(case.require_image())) for case in made]
    assert abs(medians[0] - medians[1]) < 25
    assert [case.require_image().max() for case in made] == [255, 255]
    for case, original in zip(made, Cohort.open(source), strict=True):
        assert np.array_equal(case.require_labels(), original.require_labels())


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"percentiles": (99.0, 1.0)}, "--percentiles: 99,1; 0 <= LOW < HIGH <= 100; write 0.5,99.5"),
        ({"percentiles": (-1.0, 50.0)}, "--percentiles: -1,50; 0 <= LOW < HIGH <= 100"),
        ({"percentiles": (0.5, 99.5), "channel_names": ("CT",)}, "--percentiles: a channel is named CT; Hounsfield"),
    ],
)
def test_percentiles_that_cannot_be_are_refused(options, line, tmp_path):
    with pytest.raises(RequestError) as refusal:
        prepare(tmp_path, tmp_path / "out", PrepareOptions(**options), report=lambda _: None)
    assert refusal.value.line.startswith(line)
