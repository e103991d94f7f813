"""However a cohort is stored, everything that learns, measures or compares sees the same patients."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medsmith.cases.canonical import canonical_case, canonical_geometry, canonical_view
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.data.fingerprint import take_fingerprint
from medsmith.data.scaling import image_to_model, labels_to_model
from medsmith.evaluation.downstream.loaded_cohort import hash_of, load_cohort
from medsmith.evaluation.fidelity.cohort_features import extract_features
from medsmith.evaluation.fidelity.radiomics import Radiomics
from medsmith.evaluation.fidelity.views import common_view_spec
from medsmith.geometry import Geometry
from medsmith.measurement.describe import describe_case
from medsmith.methods import method_class
from medsmith.preparation.split import split
from micro import micro_case, micro_config

AXES = list(permutations(range(3)))
FLIPS = list(product((False, True), repeat=3))
orientations = st.tuples(st.sampled_from(AXES), st.sampled_from(FLIPS))
few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def stored(case, axes, flips):
    """The same case with its voxel axes in another order and direction."""
    step = tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)
    affine = case.geometry.affine.copy()
    affine[:3, :3] = case.geometry.affine[:3, axes]
    shape = tuple(case.geometry.shape[axis] for axis in axes)
    for axis in range(3):
        if flips[axis]:
            affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
            affine[:3, axis] *= -1
    return replace(
        case,
        image=np.stack([channel.transpose(axes)[step] for channel in case.image]),
        labels=case.labels.transpose(axes)[step],
        geometry=replace(case.geometry, shape=shape, affine=affine),
    )


def tilted(degrees):
    turn = np.radians(degrees)
    affine = np.diag([0.7, 0.9, 2.0, 1.0])
    affine[:3, :3] = [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]] @ affine[:3, :3]
    affine[:3, 3] = (-31, 12, 5)
    return affine


def scans(root, axes, flips, count=4):
    """Random volumes with a ball, stored in some orientation."""
    names = {"background": 0, "lesion": 1}
    cohort = Cohort.create(root, channel_names=("MR",), label_names=names, file_ending=".nii.gz")
    for index in range(count):
        case = replace(micro_case(index, 3, 1), channel_names=("MR",), label_names=names)
        geometry = replace(case.geometry, affine=tilted(12))
        cohort.write(stored(replace(case, geometry=geometry, stored=np.dtype(np.float32)), axes, flips))
    cohort.finish()
    return Cohort.open(root)


def seen(cohort):
    """All that is made of a cohort, as numbers and bytes."""
    facts = take_fingerprint(cohort, cohort.file_ending, "0")
    view_spec = common_view_spec(facts, facts, size=16, channel=None)
    gathered = extract_features(cohort, view_spec, [Radiomics()], lambda *_: None)
    pool = load_cohort(cohort, 8, lambda *_: None)
    case = cohort[cohort.ids[0]]
    ddpm = method_class("ddpm")(micro_config("ddpm", method_class("ddpm"), 3), facts)
    return {
        "fingerprint": facts,
        "examples": [{key: t.numpy().tobytes() for key, t in ddpm.prepare(case).items()} for case in cohort],
        "model": image_to_model(case, facts, (8, 8, 8)).numpy().tobytes(),
        "labels": labels_to_model(case.labels, facts, (8, 8, 8)).numpy().tobytes(),
        "features": gathered.features["radiomic vector"].tobytes(),
        "thumbnails": gathered.searchable.coarse.tobytes(),
        "masks": {name: values.tobytes() for name, values in gathered.masks["lesion"].items()},
        "pool": (pool.hashes, pool.images.numpy().tobytes(), pool.labels.numpy().tobytes(), pool.thumbnails.tobytes()),
        "report": describe_case(case),
    }


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return seen(scans(tmp_path_factory.mktemp("plain") / "x", (0, 1, 2), (False, False, False)))


@few
@given(orientation=orientations)
def test_a_cohort_stored_in_any_orientation_is_the_same_cohort(orientation, plain, tmp_path_factory):
    assert seen(scans(tmp_path_factory.mktemp("turned") / "x", *orientation)) == plain


@pytest.mark.parametrize("degrees", [0, 12, 40, 44.9])
@pytest.mark.parametrize("axes", AXES)
def test_voxels_stay_where_they_are_in_all_48_orientations(degrees, axes):
    """Arrays, affine and hash of a case are the same; an oblique one takes the nearest patient axes in any order."""
    case = micro_case(1, 3, 1)
    case = replace(case, geometry=replace(case.geometry, affine=tilted(degrees)))
    for flips in FLIPS:
        back = canonical_case(stored(case, axes, flips))
        np.testing.assert_array_equal(back.image, case.image)
        np.testing.assert_array_equal(back.labels, case.labels)
        np.testing.assert_allclose(back.geometry.affine, case.geometry.affine, atol=1e-12)
        assert hash_of(stored(case, axes, flips)) == hash_of(case)


def test_a_canonical_case_is_not_copied_again(tmp_path):
    cohort = scans(tmp_path / "x", (2, 0, 1), (True, False, True), count=1)
    case = cohort["case_0"]
    again = canonical_case(case)
    assert np.shares_memory(again.image, case.image)
    assert np.shares_memory(again.labels, case.labels)
    assert again.geometry is case.geometry
    assert cohort.stored("case_0").image.shape == cohort.read("case_0")[0].image.shape == (1, 9, 12, 10)


@pytest.mark.parametrize("flips", FLIPS[::2])
@pytest.mark.parametrize(("name", "columns"), [("axial", (0, 1, 2)), ("coronal", (0, 2, 1)), ("sagittal", (1, 2, 0))])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_single_slice_keeps_its_third_axis(name, columns, flips, swapped):
    """In the plane its axes run along the nearest patient axes, in their order."""
    values = np.arange(20, dtype=np.float32).reshape(5, 4, 1)
    affine = np.zeros((4, 4))
    for axis, patient in enumerate(columns):
        affine[patient, axis] = 0.5 + axis
    affine[3, 3] = 1
    case = Case(
        name,
        values[None],
        (values > 3).astype(np.uint8),
        Geometry((5, 4, 1), affine),
        ("MR",),
        {"background": 0, "a": 1},
    )
    turned = canonical_case(stored(case, (1, 0, 2) if swapped else (0, 1, 2), flips))
    np.testing.assert_array_equal(turned.image, case.image)
    np.testing.assert_array_equal(turned.labels, case.labels)
    np.testing.assert_allclose(turned.geometry.affine, case.geometry.affine, atol=1e-12)


def test_pictures_and_plain_slices_stay_as_they_are():
    case = micro_case(0, 2, 1)
    for geometry in (case.geometry, Geometry(case.geometry.shape, np.eye(4))):
        kept = canonical_case(replace(case, geometry=geometry))
        np.testing.assert_array_equal(kept.image, case.image)
        assert kept.geometry is geometry
    strange = replace(case.geometry, affine=np.diag([-1.0, -1.0, 1.0, 1.0]))
    assert canonical_geometry(strange) is strange
    np.testing.assert_array_equal(canonical_view(case.labels, strange), case.labels)


def test_what_is_split_keeps_its_stored_orientation(tmp_path):
    whole = scans(tmp_path / "all", (1, 0, 2), (True, True, False))
    parts = split(tmp_path / "all", tmp_path / "a", tmp_path / "b", test_fraction=0.5, report=lambda _: None)
    for case in (part.stored(id) for part in parts for id in part.ids):
        origin = whole.stored(case.id)
        np.testing.assert_array_equal(case.image, origin.image)
        np.testing.assert_array_equal(case.labels, origin.labels)
        np.testing.assert_array_equal(case.geometry.affine, origin.geometry.affine)
        assert case.require_image().shape == (1, 10, 12, 9)
