"""A CT that is not in Hounsfield units is refused by every way in, with one line."""

from dataclasses import replace

import numpy as np
import pytest

from medsmith.cases.case import Case
from medsmith.cases.case_ref import CaseRef
from medsmith.cases.cohort import Cohort
from medsmith.cases.hounsfield import check_hounsfield, check_units, clip_padding
from medsmith.errors import ContentError, MedsmithError
from medsmith.evaluation import evaluate
from medsmith.evaluation.downstream import utility
from medsmith.evaluation.reader_study import StudyPlan, create_study
from medsmith.geometry import Geometry
from medsmith.insertion.templates import templates_in_turn
from medsmith.measurement.reports import describe
from medsmith.preparation import prepare
from medsmith.progress import NullProgress
from medsmith.training import train

SHAPE = (34, 35, 18)


def hounsfield(seed):
    image = np.full(SHAPE, -1000, np.float32)
    image[4:-4, 4:-4] = -100
    image[8:-8, 8:-8] = 45
    image[14:-14, 14:-14, 6:-6] = 90 + 9 * seed
    return image + np.random.default_rng(seed).normal(0, 9, SHAPE).astype(np.float32).round()


def case(seed, image, channel="CT", provenance=None):
    labels = np.zeros(SHAPE, np.uint8)
    labels[14:-14, 14:-14, 6:-6] = 1
    names = {"background": 0, "lesion": 1}
    return Case(
        f"c{seed}",
        image[None],
        labels,
        Geometry(SHAPE, np.eye(4) * [2, 2, 2, 1]),
        (channel,),
        names,
        provenance=provenance,
    )


def cohort_of(root, scale, count=8):
    made = Cohort.create(root, channel_names=("CT",), label_names={"background": 0, "lesion": 1}, file_ending=".nii.gz")
    for seed in range(count):
        made.write(case(seed, scale(hounsfield(seed))))
    made.finish()
    return made


def to_unit(image):
    return np.clip((image + 1000) / 2000, 0, 1)


def without_offset(image):
    return np.maximum(image + 1024, 0)


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    root = tmp_path_factory.mktemp("units")
    return {scale.__name__: cohort_of(root / scale.__name__, scale) for scale in (np.array, to_unit, without_offset)}


WAYS = {
    "prepare": lambda bad, _good, out: prepare(bad.root, out, report=lambda _: None),
    "train": lambda bad, _good, out: train("segguided", bad, out, settings=["size=[64,64,64]"]),
    "describe": lambda bad, _good, out: describe(bad, out),
    "evaluate a real cohort": lambda bad, good, out: evaluate(bad, good, out, extractors=()),
    "evaluate a foreign synthetic cohort": lambda bad, good, out: evaluate(good, bad, out, extractors=()),
    "utility": lambda bad, good, out: utility(good, bad, good, out),
    "reader study": lambda bad, good, out: create_study(bad, good, out, StudyPlan(count=8), progress=NullProgress()),
    "templates": lambda bad, _good, _out: list(templates_in_turn(CaseRef(cohort=bad.root), np.random.default_rng(0))),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scale", ["to_unit", "without_offset"])
def test_every_way_in_refuses_a_scan_that_is_not_in_hounsfield_units(way, scale, cohorts, tmp_path):
    with pytest.raises(MedsmithError) as refused:
        WAYS[way](cohorts[scale], cohorts["array"], tmp_path / "out")
    line = refused.value.line
    assert ("scaled to [0, 1]" if scale == "to_unit" else "prepare with --hu-offset -1024") in line
    assert not [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".html", ".json", ".gz")]


def test_a_label_map_that_is_called_a_ct_is_named_as_such():
    values = np.random.default_rng(0).integers(0, 3, (8, 8, 8)).astype(np.float32)
    with pytest.raises(ContentError) as caught:
        check_hounsfield(values, "scan")
    assert caught.value.line.startswith("scan: holds the values 0, 1, 2 alone, as a label map does; CT is in ")


def test_units_are_asked_of_channels_named_ct_alone_and_not_of_what_is_synthetic():
    scaled = case(0, to_unit(hounsfield(0)), "ct")
    with pytest.raises(ContentError, match="c0, channel ct: CT values from 0 to"):
        check_units(scaled)
    assert check_units(replace(scaled, channel_names=("T1",))).channel_names == ("T1",)
    assert check_units(replace(scaled, provenance={"seed": 1})).synthetic
    with pytest.raises(ContentError):
        check_units(replace(scaled, provenance={"synthetic": False}))
    right = case(1, hounsfield(1))
    assert check_units(right) is right


@pytest.mark.parametrize(("value", "usual"), [(-2000, True), (32767, False)])
def test_padding_below_air_is_called_usual(value, usual):
    values = np.full((3, 3, 3), 40, np.float32)
    values[0, 0, :2] = value
    result, (note,) = clip_padding(values)
    assert result[0, 0, 0] == (-1024 if usual else 3071)
    assert note == f"2 voxels of padding (value {value}) were set to {result[0, 0, 0]:g} HU" + (
        ": usual in CT, which fills the corners around the reconstructed circle" if usual else ""
    )
