"""Steering of oriented slices in Hounsfield units, beside pictures: orientation, field of view, gray values, places."""

import json
from dataclasses import replace

import numpy as np
import pytest

from medsmith.anatomy import ShapeSpace
from medsmith.cases.cohort import Cohort
from medsmith.data.scaling import image_to_model
from medsmith.diffusion import Sampling
from medsmith.errors import RequestError
from medsmith.geometry import Geometry
from medsmith.methods import method_class
from medsmith.methods.config import validated
from steered_runs import LESIONS, hounsfield_files, in_hounsfield_units, slice_of, untrained_method, write_cohort


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return hounsfield_files(tmp_path_factory.mktemp("hounsfield"))


@pytest.fixture(scope="module")
def gray(tmp_path_factory):
    """The same slices in 8 bits: as pictures/, and as oriented/ NIfTI files."""
    folder = tmp_path_factory.mktemp("gray")
    slices = [slice_of(index, LESIONS) for index in range(3)]
    write_cohort(folder / "pictures", slices)
    oriented = Geometry(slices[0].geometry.shape, np.diag([5.0, 5.0, 1.0, 1.0]))
    write_cohort(folder / "oriented", [replace(one, geometry=oriented) for one in slices])
    return folder


@pytest.fixture(scope="module")
def method(files):
    return untrained_method(Cohort.open(files / "labeled"))


def steering_of(method, seed=1, **request):
    asked = validated(method_class("mddpm").Request, "request", json.loads(json.dumps(request)))
    return method.steering(asked, seed, Sampling(steps=10))


def case(folder, id="case_0"):
    return {"cohort": str(folder), "case": id}


def test_anatomy_texture_and_lesion_steer_oriented_slices(method, files):
    found = steering_of(
        method,
        anatomy={"space": str(files / "space.safetensors")},
        guides=[{"image": case(files / "labeled", "case_3")}],
        pathologies=[{"case": case(files / "lesions"), "within": "lung"}],
    )
    assert list(found.guides) == ["guides.0", "anatomy", "pathologies.0"]
    heart = found.guides["anatomy"].reference[0, 0].numpy()[found.labels == 1]
    assert heart == pytest.approx(0.12, abs=0.03)  # 120 HU of -1000 to 1000
    assert (found.labels == 3).sum() > 20


@pytest.mark.parametrize("part", ["texture", "lesion", "region", "anatomy region", "anatomy labels", "space"])
def test_oriented_images_and_pictures_are_not_mixed(part, method, files, gray):
    """A map of one would lie upside down and mirrored on the other."""
    space, picture = {"space": str(files / "space.safetensors")}, case(gray / "pictures")
    plain = ShapeSpace.load(files / "space.safetensors")
    replace(plain, record=plain.record.model_copy(update={"extent_mm": None})).save(files / "plain.safetensors")
    gray_method = untrained_method(Cohort.open(gray / "pictures"))
    oriented, needs_nifti = case(gray / "oriented"), "no orientation; the training images have one; make it from NIfTI"
    needs_png = "an orientation; the training images have none; make it from PNG files"
    texture = {"image": case(files / "labeled")}
    model, request, key, line = {
        "texture": (gray_method, {"guides": [{"image": oriented}]}, "guides.0.image", needs_png),
        "lesion": (gray_method, {"pathologies": [{"case": oriented}]}, "pathologies.0.case", needs_png),
        "region": (method, {"guides": [{**texture, "region": picture}]}, "guides.0.region", needs_nifti),
        "anatomy region": (method, {"anatomy": {**space, "region": picture}}, "anatomy.region", needs_nifti),
        "anatomy labels": (method, {"anatomy": {**space, "labels": picture}}, "anatomy.labels", needs_nifti),
        "space": (method, {"anatomy": {"space": str(files / "plain.safetensors")}}, "anatomy.space", needs_nifti),
    }[part]
    with pytest.raises(RequestError) as refusal:
        steering_of(model, **request)
    assert refusal.value.line.startswith(f"{key}: ")
    assert line in refusal.value.line


def test_pictures_steer_pictures(gray):
    method = untrained_method(Cohort.open(gray / "pictures"))
    picture = case(gray / "pictures")
    found = steering_of(method, guides=[{"image": picture, "region": picture}], pathologies=[{"case": picture}])
    assert list(found.guides) == ["guides.0", "pathologies.0"]


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Slices of 448 mm; the training images have 320 mm."""
    folder = tmp_path_factory.mktemp("wide")
    write_cohort(folder / "c", [in_hounsfield_units(slice_of(index), spacing=7.0) for index in range(3)])
    return folder / "c"


@pytest.mark.parametrize("part", ["texture", "region", "anatomy labels", "space"])
def test_another_field_of_view_is_refused(part, method, files, wide):
    """The map would be stretched to that of the training images."""
    space, texture = {"space": str(files / "space.safetensors")}, {"image": case(files / "labeled")}
    own = ShapeSpace.load(files / "space.safetensors")
    assert own.record.extent_mm == (320, 320)
    replace(own, record=own.record.model_copy(update={"extent_mm": (448, 320)})).save(files / "wide.safetensors")
    request, start = {
        "texture": ({"guides": [{"image": case(wide)}]}, f"guides.0.image: case 'case_0' of {wide} shows 448 x 448"),
        "region": (
            {"guides": [{**texture, "region": case(wide)}]},
            f"guides.0.region: case 'case_0' of {wide} shows 448 x 448",
        ),
        "anatomy labels": (
            {"anatomy": {**space, "labels": case(wide)}},
            f"anatomy.labels: case 'case_0' of {wide} shows 448 x 448",
        ),
        "space": (
            {"anatomy": {"space": str(files / "wide.safetensors")}},
            f"anatomy.space: {files / 'wide.safetensors'} shows 448 x 320",
        ),
    }[part]
    with pytest.raises(RequestError) as refusal:
        steering_of(method, **request)
    assert refusal.value.line == f"{start} mm; trained on 320 x 320 mm; give one of that field of view"


def test_a_cohort_alone_gives_a_case_of_the_field_of_view(method, tmp_path):
    """A lesion keeps its millimeters, and may be from any."""
    wide = [in_hounsfield_units(replace(slice_of(index), id=f"case_{index}"), spacing=7.0) for index in range(2)]
    cohort = write_cohort(tmp_path / "c", [*wide, in_hounsfield_units(slice_of(2))])
    needed = image_to_model(cohort["case_2"], method.fingerprint, method.config.size)
    for seed in range(3):
        found = steering_of(method, seed, guides=[{"image": str(cohort.root), "region": str(cohort.root)}])
        assert np.array_equal(found.guides["guides.0"].reference[0], needed)
        assert float(found.guides["guides.0"].region.max()) == 1
    steering_of(method, pathologies=[{"case": case(cohort.root), "label": "heart"}])
