"""Cohorts of drawn anatomies, and the picture of a space."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from anatomy_slices import organ_cohort
from cohort_cases import names_in
from medsmith.anatomy import ShapeSpace
from medsmith.anatomy.picture import draw_components
from medsmith.anatomy.writing import case_seed, write_anatomies
from medsmith.cases.cohort import Cohort
from medsmith.cases.verification import verify_folder
from medsmith.errors import CohortError, RequestError

pytestmark = pytest.mark.usefixtures("few_draws")


def bytes_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def facts_of(case):
    assert case.provenance is not None
    return case.provenance


def test_label_maps_are_written_with_their_provenance(space, tmp_path):
    cohort = write_anatomies(space, tmp_path / "out", 3, 7)
    verify_folder(cohort.root)
    assert cohort.ids == ("anatomy-00000", "anatomy-00001", "anatomy-00002")
    assert dict(cohort.label_names) == dict(space.record.region_names)
    assert cohort.ids_with_image == ()
    for index, case in enumerate(cohort):
        facts = facts_of(case)
        assert facts["synthetic"] is True
        assert facts["space"] == space.content_hash
        assert facts["seed"] == case_seed(space.content_hash, 7, index)
        drawn = space.sample(facts["seed"], (64, 64))
        assert facts["attempts"] == drawn.attempts
        assert np.array_equal(case.require_labels()[:, :, 0], drawn.regions)


def test_an_interrupted_call_continues_to_the_same_bytes(space, tmp_path):
    write_anatomies(space, tmp_path / "whole", 4, 0)
    write_anatomies(space, tmp_path / "part", 2, 0)
    for path in (tmp_path / "part").rglob("anatomy-00001*"):
        path.unlink()
    write_anatomies(space, tmp_path / "part", 4, 0)
    assert bytes_of(tmp_path / "part") == bytes_of(tmp_path / "whole")


def test_a_second_call_at_once_is_refused_and_changes_nothing(space, tmp_path, monkeypatch):
    refused, sample = [], ShapeSpace.sample

    def sample_and_call_again(self, *args):
        with pytest.raises(CohortError) as refusal:
            write_anatomies(space, tmp_path / "out", 3, seed=2)
        refused.append(refusal.value.line)
        return sample(self, *args)

    monkeypatch.setattr(ShapeSpace, "sample", sample_and_call_again)
    cohort = write_anatomies(space, tmp_path / "out", 1, seed=1)
    assert refused == [f"{tmp_path / 'out'}: another process is writing here; one at a time; wait for it"]
    assert cohort.ids == ("anatomy-00000",)


@pytest.mark.parametrize(("seed", "spread"), [(1, 2.0), (0, 1.0)])
def test_another_call_into_the_same_folder_is_refused(space, tmp_path, seed, spread):
    write_anatomies(space, tmp_path / "out", 2, 0)
    before = bytes_of(tmp_path / "out")
    with pytest.raises(CohortError, match=r"was made with another (seed|spread); choose a new folder"):
        write_anatomies(space, tmp_path / "out", 2, seed, spread=spread)
    with pytest.raises(CohortError, match="holds 1 other cases, anatomy-00001 first; 1 anatomies are requested"):
        write_anatomies(space, tmp_path / "out", 1, 0)
    assert bytes_of(tmp_path / "out") == before


def test_guidance_images_are_written_on_request(space, tmp_path):
    cohort = write_anatomies(space, tmp_path / "out", 2, 0, images=True)
    assert cohort.channel_names == ("MR",)
    case = cohort["anatomy-00000"]
    drawn = space.sample(facts_of(case)["seed"], (64, 64))
    np.testing.assert_allclose(case.require_image()[..., 0], space.guidance_image(drawn), atol=0.5)


def test_slices_of_known_spacing_keep_their_field_of_view(tmp_path):
    space = ShapeSpace.fit(organ_cohort(tmp_path / "c", 4, mm=2.5), points=8)
    cohort = write_anatomies(space, tmp_path / "out", 1, 0, size=(32, 32), images=True)
    case = cohort["anatomy-00000"]
    assert cohort.file_ending == ".nii.gz"
    assert case.geometry.spacing[:2] == pytest.approx((5.0, 5.0))
    drawn = space.sample(facts_of(case)["seed"], (32, 32))
    assert np.array_equal(case.require_image()[..., 0], space.guidance_image(drawn))


def test_nothing_is_written_for_a_request_that_cannot_be_met(space, tmp_path):
    unshaded = ShapeSpace.fit(organ_cohort(tmp_path / "c", 4, images=False), points=8)
    gray = {name: value for name, value in space.record.gray_values.items() if name != "organ"}
    partly = replace(space, record=space.record.model_copy(update={"gray_values": gray}))
    dark, bright = (space.with_gray_values({"organ": (value,)}) for value in (-1.0, 1e9))
    for call, said in (
        (lambda: write_anatomies(unshaded, tmp_path / "out", 1, 0, images=True), "the space has no gray values"),
        (
            lambda: write_anatomies(partly, tmp_path / "out", 1, 0, images=True),
            "--images: no gray value of organ",
        ),
        (lambda: write_anatomies(space, tmp_path / "out", 0, 0), "--count: 0"),
        (
            lambda: write_anatomies(dark, tmp_path / "out", 1, 0, images=True),
            "gray value of organ is -1; PNG holds 0 to",
        ),
        (
            lambda: write_anatomies(bright, tmp_path / "out", 1, 0, images=True),
            "gray value of organ is 1e.09; PNG holds",
        ),
        (lambda: write_anatomies(space, tmp_path / "out", 1, 0, size=(1, 1)), "size 1 x 1"),
        (lambda: write_anatomies(space, tmp_path / "out", 1, 0, spread=-1), "spread -1"),
    ):
        with pytest.raises(RequestError, match=said):
            call()
    assert names_in(tmp_path) == ["c"]


def test_other_folders_are_refused(space, organs, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(CohortError, match="holds something else"):
        write_anatomies(space, tmp_path / "mine", 1, 0)
    before = bytes_of(organs.root)
    with pytest.raises(CohortError):
        write_anatomies(space, organs.root, 1, 0)
    assert bytes_of(organs.root) == before


def test_drawn_maps_can_be_learned_again(space, tmp_path):
    cohort = write_anatomies(space, tmp_path / "out", 8, 0)
    again = ShapeSpace.fit(Cohort.open(tmp_path / "out"), points=16)
    assert again.record.cases == len(cohort)
    np.testing.assert_allclose(again.arrays.mean[0].mean(axis=0), space.arrays.mean[0].mean(axis=0), atol=0.03)


def test_the_picture_shows_the_classes_in_their_colors(space):
    data = draw_components(space)
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).reshape(-1, 3)
    colors = {tuple(color) for color in pixels.tolist()}
    assert {(228, 26, 28), (55, 126, 184)} <= colors  # Set1
