"""Oriented slices as pictures."""

from dataclasses import replace

import numpy as np
import pytest

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, MedsmithError, RequestError
from medsmith.geometry import Geometry
from medsmith.preparation import PrepareOptions, prepare

NAMES = {"background": 0, "spot": 1}
OPTIONS = PrepareOptions(channel_names=("gray",), percentiles=(0.0, 100.0), pictures=True)


def oriented(flips=(1, 1), shape=(40, 32, 1), images=True):
    """A spot at the patient's right and front, stored with either sign of x and y; values 0 to 255."""
    gray = np.linspace(0, 100, np.prod(shape)).reshape(shape).round()
    spot = np.zeros(shape, np.uint8)
    spot[30:35, 24:28] = 1  # canonical axes: x to the patient's right, y to the front
    gray[spot == 1] = 255
    steps = tuple(slice(None, None, sign) for sign in flips)
    affine = np.diag([2.0 * flips[0], 2.0 * flips[1], 2.0, 1.0])
    image = np.ascontiguousarray(gray[steps][None], np.float32) if images else None
    return Case("case_0", image, np.ascontiguousarray(spot[steps]), Geometry(shape, affine), ("gray",), NAMES,
                np.dtype(np.int16))  # fmt: skip


def folder_of(root, *cases):
    cohort = Cohort.create(root, channel_names=("gray",), label_names=NAMES, file_ending=".nii.gz")
    for case in cases:
        cohort.write(case)
    cohort.finish()
    return root


@pytest.mark.parametrize("flips", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_right_is_on_the_left_and_the_front_at_the_top_however_a_slice_is_stored(tmp_path, flips):
    source = folder_of(tmp_path / "source", oriented(flips))
    made = prepare(source, tmp_path / "out", OPTIONS, report=lambda _line: None)
    case = made["case_0"]
    assert made.file_ending == ".png"
    assert not case.geometry.spacing_known
    columns, rows = np.nonzero(case.require_labels()[..., 0])
    assert (sorted(set(columns.tolist())), sorted(set(rows.tolist()))) == ([*range(5, 10)], [*range(4, 8)])
    assert (case.require_image()[0][case.require_labels() == 1] == 255).all()
    assert prepare(source, tmp_path / "out", OPTIONS, report=lambda _line: None).content_hash() == made.content_hash()


def test_pictures_stay_as_they_are_and_label_maps_alone_become_pictures(tmp_path):
    first = prepare(folder_of(tmp_path / "a", oriented()), tmp_path / "b", OPTIONS, report=lambda _line: None)
    again = prepare(tmp_path / "b", tmp_path / "c", OPTIONS, report=lambda _line: None)
    assert np.array_equal(again["case_0"].require_image(), first["case_0"].require_image())
    alone = folder_of(tmp_path / "maps", replace(oriented(images=False)))
    made = prepare(alone, tmp_path / "d", replace(OPTIONS, channel_names=()), report=lambda _line: None)
    assert np.array_equal(made["case_0"].require_labels(), first["case_0"].require_labels())


def test_volumes_and_a_missing_scale_are_refused(tmp_path):
    volume = folder_of(tmp_path / "volume", oriented(shape=(40, 32, 8)))
    with pytest.raises((CohortError, MedsmithError), match="a volume of 40 x 32 x 8; pictures are made of axial"):
        prepare(volume, tmp_path / "out", OPTIONS, report=lambda _line: None)
    with pytest.raises(RequestError, match="--pictures: no --percentiles; pictures are in 8 bit; add --percentiles"):
        prepare(volume, tmp_path / "out", replace(OPTIONS, percentiles=None), report=lambda _line: None)
    assert not (tmp_path / "out").exists()
