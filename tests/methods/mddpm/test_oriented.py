"""Steering of oriented slices in Hounsfield units, beside pictures: orientation, field of view, gray values, places."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from medsmith.anatomy import ShapeSpace
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cases.display import displayed
from medsmith.data.fingerprint import take_fingerprint
from medsmith.data.scaling import image_to_model
from medsmith.diffusion import Sampling
from medsmith.errors import RequestError
from medsmith.geometry import Geometry
from medsmith.methods import method_class
from medsmith.methods.config import validated
from medsmith.methods.mddpm.matching import GrayTarget
from medsmith.methods.mddpm.pathology import load_source
from medsmith.methods.mddpm.request import Pathology
from medsmith.methods.mddpm.transplant import Transplant
from steered_runs import EDGE, LESIONS, hounsfield_files, in_hounsfield_units, slice_of, untrained_method, write_cohort


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
    cases: dict[str, tuple[Any, dict[str, Any], str, str]] = {
        "texture": (gray_method, {"guides": [{"image": oriented}]}, "guides.0.image", needs_png),
        "lesion": (gray_method, {"pathologies": [{"case": oriented}]}, "pathologies.0.case", needs_png),
        "region": (method, {"guides": [{**texture, "region": picture}]}, "guides.0.region", needs_nifti),
        "anatomy region": (method, {"anatomy": {**space, "region": picture}}, "anatomy.region", needs_nifti),
        "anatomy labels": (method, {"anatomy": {**space, "labels": picture}}, "anatomy.labels", needs_nifti),
        "space": (method, {"anatomy": {"space": str(files / "plain.safetensors")}}, "anatomy.space", needs_nifti),
    }
    model, request, key, line = cases[part]
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
    cases: dict[str, tuple[dict[str, Any], str]] = {
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
    }
    request, start = cases[part]
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


def test_a_place_is_that_in_the_displayed_picture(method, files):
    """Upper left is the patient's right and front, where the page and radiologists see it."""
    asked = {"case": case(files / "lesions"), "at": [0.25, 0.3], "gray": "keep"}
    found = steering_of(method, pathologies=[asked])
    shown = displayed(found.labels, oriented=True)
    assert (np.argwhere(shown).mean(0) + 0.5) / EDGE == pytest.approx([0.25, 0.3], abs=0.5 / EDGE)
    assert found.record["places"] == [[0.25, 0.3]]


def test_a_recorded_place_can_be_asked_for(method, files):
    """Of one that the seed chose, of one that stays where it was, and in the message of a refusal."""
    lesion = {"case": case(files / "lesions")}
    anatomy = {"space": str(files / "space.safetensors")}
    for request in ({"anatomy": anatomy, "pathologies": [{**lesion, "within": "lung"}]}, {"pathologies": [lesion]}):
        first = steering_of(method, **request)
        (place,) = first.record["places"]
        again = steering_of(method, **{**request, "pathologies": [{**lesion, "at": place}]})
        assert np.array_equal(first.lesions[0].mask, again.lesions[0].mask)
    with pytest.raises(RequestError, match=r"pathologies.0: at 0.98, 0.50 the lesion reaches beyond the image"):
        steering_of(method, pathologies=[{**lesion, "at": [0.98, 0.5]}])


def test_hounsfield_units_are_kept_and_other_gray_values_matched(method, files, gray):
    """``auto`` of both kinds of images."""
    flat = torch.linspace(-1, -0.5, 257)[None]

    def image(model, lesion, gray):
        asked = Pathology.model_validate({"case": lesion, "gray": gray})
        return load_source(asked, model.fingerprint, GrayTarget(flat), 0, "pathologies.0").image

    hounsfield, picture = case(files / "lesions"), case(gray / "pictures")
    own = Cohort.open(files / "lesions")["case_0"].require_image()[0, ..., 0]
    kept = image(method, hounsfield, "auto")
    assert torch.equal(kept, image(method, hounsfield, "keep"))
    assert np.abs(kept[0].numpy() - np.clip(own / 1000, -1, 1)).max() < 1e-6
    assert image(method, hounsfield, "match").max() <= -0.5
    gray_method = untrained_method(Cohort.open(gray / "pictures"))
    matched = image(gray_method, picture, "auto")
    assert torch.equal(matched, image(gray_method, picture, "match"))
    assert not torch.equal(matched, image(gray_method, picture, "keep"))


def test_a_lesion_of_a_volume_is_put_where_it_is_asked(tmp_path):
    """A ball of 8 mm radius in a volume of 64 mm; x from the patient's right, y from the front, z from the feet."""
    grid = np.stack(np.meshgrid(*[np.arange(n) + 0.5 for n in (32, 32, 16)], indexing="ij"), -1) * (2, 2, 4)
    ball = np.linalg.norm(grid - (24, 40, 32), axis=-1) <= 8
    image = np.where(ball, 60, -800).astype(np.float32)
    image[0, 0, 0], image[-1, -1, -1] = -1000, 400
    volume = Case(
        "case_0", image[None], ball.astype(np.uint8), Geometry(ball.shape, np.diag([2.0, 2.0, 4.0, 1.0])), ("CT",),
        {"background": 0, "nodule": 1}, np.dtype(np.int16),
    )  # fmt: skip
    cohort = write_cohort(tmp_path / "volumes", [volume])
    facts = take_fingerprint(cohort, ".nii.gz", "0" * 64)
    asked = Pathology.model_validate({"case": case(cohort.root), "at": [0.3, 0.6, 0.4], "scale": 1.25})
    source = load_source(asked, facts, GrayTarget(torch.linspace(-1, 1, 257)[None]), 0, "pathologies.0")
    found = Transplant.of(source, asked, facts, (16, 16, 16), "pathologies.0").place(None, 1)
    center = (np.argwhere(found.mask).mean(0) + 0.5) / 16
    assert center == pytest.approx([0.7, 0.4, 0.4], abs=0.5 / 16)
    assert found.mask.sum() * 64 == pytest.approx(4 / 3 * np.pi * 10**3, rel=0.15)
    assert found.image[0].numpy()[ndimage.binary_erosion(found.mask)].mean() > 0
    assert found.at == pytest.approx([0.3, 0.6, 0.4])
    still = Transplant.of(source, asked.model_copy(update={"at": None, "scale": 1.0}), facts, (16, 16, 16), "p")
    assert still.place(None, 1).at == pytest.approx([1 - 24 / 64, 1 - 40 / 64, 0.5])
