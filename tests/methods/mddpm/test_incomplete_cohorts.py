"""Cohorts in which some cases lack an image or labels: a case that can do is drawn, one that is named is refused."""

import pytest

from medsmith.anatomy import ShapeSpace
from medsmith.diffusion import Sampling
from medsmith.errors import RequestError
from medsmith.methods.config import validated
from medsmith.methods.mddpm.request import MddpmRequest
from steered_runs import LESIONS, NAMES, cohort_of, untrained_method


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """FOLDER with labeled/, space.safetensors, and partial/ and lesions/, in which half of the cases lack a part."""
    folder = tmp_path_factory.mktemp("incomplete")
    ShapeSpace.fit(cohort_of(folder / "labeled", 8, NAMES)).save(folder / "space.safetensors")
    for name, labels in (("partial", NAMES), ("lesions", LESIONS)):
        cohort_of(folder / name, 8, labels)
        for index in range(2):
            (folder / name / "labelsTr" / f"case_{index}.png").unlink()
            (folder / name / "imagesTr" / f"case_{index + 2}_0000.png").unlink()
    return folder


@pytest.fixture(scope="module")
def method(folder):
    return untrained_method(cohort_of(folder / "training", 4, NAMES))


def asked(folder, part, **case):
    """A request whose one part names the incomplete cohort, or a case of it."""
    space = {"space": str(folder / "space.safetensors")}
    partial = {"cohort": str(folder / "partial"), **case}
    lesion = {"cohort": str(folder / "lesions"), **case}
    parts = {
        "anatomy": {"anatomy": {**space, "labels": partial}},
        "region": {"anatomy": {**space, "region": partial}},
        "guides.0": {"guides": [{"image": partial}]},
        "pathologies.0": {"pathologies": [{"case": lesion}]},
    }
    return validated(MddpmRequest, "request", parts[part])


COMPLETE = {
    "anatomy": {f"case_{index}" for index in (4, 5, 6, 7)},  # its lungs are found in the image
    "guides.0": {f"case_{index}" for index in (0, 1, 4, 5, 6, 7)},
    "pathologies.0": {f"case_{index}" for index in (4, 5, 6, 7)},
}


@pytest.mark.parametrize("part", ["anatomy", "guides.0", "pathologies.0"])
def test_every_seed_draws_a_case_that_has_what_is_needed(method, folder, part):
    drawn = {method.steering(asked(folder, part), seed, Sampling(steps=10)).record["cases"][part] for seed in range(30)}
    assert drawn <= COMPLETE[part]
    assert len(drawn) > 1


def test_every_seed_draws_a_region_with_labels(method, folder):
    for seed in range(12):
        assert method.steering(asked(folder, "region"), seed, Sampling(steps=10)).guides["anatomy"].region is not None


@pytest.mark.parametrize(
    ("part", "case", "line"),
    [
        ("anatomy", "case_0", r"partial: case 'case_0' does not have image and labels; needed here"),
        ("guides.0", "case_2", r"partial: case 'case_2' does not have image; needed here"),
        ("region", "case_1", r"partial: case 'case_1' does not have labels; needed here"),
        ("pathologies.0", "case_3", r"lesions: case 'case_3' does not have image and labels; needed here"),
    ],
)
def test_a_named_case_that_lacks_it_is_refused(method, folder, part, case, line):
    with pytest.raises(RequestError, match=line):
        method.steering(asked(folder, part, case=case), 0, Sampling(steps=10))
