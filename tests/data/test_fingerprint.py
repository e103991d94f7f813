"""The fingerprint of a cohort."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

import medsmith
import micro
from medsmith.cases.case import Case
from medsmith.data.fingerprint import Fingerprint, count_components, take_fingerprint
from medsmith.errors import CohortError
from medsmith.geometry import Geometry
from medsmith.runs.checkpoints import read_record


def with_image(case, image, stored=None):
    return replace(case, image=image.astype(np.float32), stored=np.dtype(stored or case.stored))


@pytest.mark.parametrize(("dimensions", "ending"), [(2, ".png"), (3, ".nii.gz")])
def test_a_fingerprint_states_the_facts_of_its_cases(dimensions, ending):
    cases = [micro.micro_case(index, dimensions, 2) for index in range(5)]
    found = take_fingerprint(iter(cases), ending, "abc")
    assert (found.dimensions, found.count, found.cohort_hash, found.file_ending) == (dimensions, 5, "abc", ending)
    assert found.shape == cases[0].geometry.shape
    assert found.spacing == cases[0].geometry.spacing
    assert found.spacing_known is (dimensions == 3)
    assert found.stored == ("uint8" if dimensions == 2 else "int16")
    assert found.absolute is (dimensions == 2)
    shares = [(case.labels > 0).mean() for case in cases]
    assert found.foreground == (min(shares), max(shares))
    assert found.full_range == ((min(c.image.min() for c in cases), max(c.image.max() for c in cases)),)
    robust = np.median([np.percentile(case.image[0], (0.5, 99.5)) for case in cases], axis=0)
    assert found.robust_range[0] == pytest.approx(tuple(robust))
    assert found.label_share == {
        name: np.mean([(case.labels == value).any() for case in cases]) for name, value in cases[0].label_names.items()
    }
    assert found.components == max(count_components(case.labels) for case in cases)
    assert found.foreground_labels == (1, 2)


def test_a_fingerprint_takes_medians_and_survives_json():
    cases = []
    for index, width in enumerate((10, 12, 20)):
        labels = np.zeros((width, 8, 1), np.uint8)
        labels[2:5, 2:5] = 1
        image = np.full((1, width, 8, 1), 10.0 * (1 + index), np.float32)
        names = {"background": 0, "mass": 1}
        cases.append(Case(f"{index}", image, labels, Geometry.plain(labels.shape), ("us",), names, np.dtype("u1")))
    found = take_fingerprint(cases, ".png", "")
    assert found.shape == (12, 8, 1)
    assert found.robust_range == ((20.0, 20.0),)
    assert found.full_range == ((10.0, 30.0),)
    assert type(found).model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("stored", "lowest", "absolute"),
    [("uint8", 0, True), ("int16", -1000, True), ("int16", 0, False), ("float32", -499, False), ("uint16", 0, False)],
)
def test_gray_values_are_absolute_in_8_bits_and_in_hounsfield_units(stored, lowest, absolute):
    case = micro.micro_case(0, 3, 1)
    image = case.image.copy()
    image[0, 0, 0, 0] = lowest
    assert take_fingerprint([with_image(case, image, stored)], ".nii.gz", "").absolute is absolute


def test_a_cohort_of_nothing_or_of_two_kinds_has_no_fingerprint():
    with pytest.raises(CohortError, match="cohort: no cases; give a folder that holds images, labels or both"):
        take_fingerprint([], ".png", "")
    with pytest.raises(CohortError, match="case_1: 3-D among 2-D cases; all must be equal; leave out one kind"):
        take_fingerprint([micro.micro_case(0, 2, 1), micro.micro_case(1, 3, 1)], ".png", "")


def test_components_touch_by_faces_edges_and_corners():
    labels = np.zeros((6, 6, 6), np.uint8)
    assert count_components(labels) == 0
    labels[0, 0, 0], labels[1, 1, 1], labels[4, 4, 4], labels[4, 4, 5] = 1, 2, 1, 1
    assert count_components(labels) == 2


@pytest.mark.parametrize("part", ["image", "labels"])
def test_a_fingerprint_takes_each_fact_where_it_is(part):
    """Image facts over cases with images, label facts over cases with labels, in any order."""
    cases = [micro.micro_case(index, 3, 2) for index in range(4)]
    bare = [replace(case, **{part: None}) for case in cases[:2]]
    mixed = take_fingerprint([*bare, *cases[2:]], ".nii.gz", "0")
    whole, rest = take_fingerprint(cases, ".nii.gz", "0"), take_fingerprint(cases[2:], ".nii.gz", "0")
    of_image = ("full_range", "robust_range", "stored", "absolute")
    of_labels = ("foreground", "label_share", "components")
    lacking, having = (of_image, of_labels) if part == "image" else (of_labels, of_image)
    assert all(getattr(mixed, name) == getattr(rest, name) for name in lacking)
    assert all(getattr(mixed, name) == getattr(whole, name) for name in having)
    assert (mixed.count, mixed.images, mixed.labeled) == ((4, 2, 4) if part == "image" else (4, 4, 2))


def test_a_fingerprint_of_labels_alone_and_of_images_alone():
    cases = [micro.micro_case(index, 3, 1) for index in range(3)]
    masks = take_fingerprint([replace(case, image=None, channel_names=()) for case in cases], ".nii.gz", "0")
    assert (masks.full_range, masks.robust_range, masks.absolute, masks.images) == ((), (), False, 0)
    assert masks.foreground == take_fingerprint(cases, ".nii.gz", "0").foreground
    images = take_fingerprint([replace(case, labels=None) for case in cases], ".nii.gz", "0")
    assert (images.foreground, images.label_share, images.components, images.labeled) == ((0, 0), {}, 0, 0)
    old = masks.model_dump(mode="json")
    del old["images"], old["labeled"]
    assert Fingerprint.model_validate(old).images is None


def test_the_spelling_of_older_runs_is_read_and_not_written():
    facts = take_fingerprint([micro.micro_case(0, 2, 1)], ".png", "0").model_dump(mode="json")
    assert facts.pop("labeled") == 1
    older = Fingerprint.model_validate({**facts, "labelled": 7})
    assert older.labeled == 7
    assert "labelled" not in older.model_dump(mode="json")
    assert older.model_dump(mode="json")["labeled"] == 7
    with pytest.raises(ValidationError, match="labelled"):
        Fingerprint.model_validate({**facts, "labeled": 7, "labelled": 7})


@pytest.mark.parametrize(("name", "count"), [("lldm", 240), ("mddpm", 1200)])
def test_shipped_runs_know_their_labeled_cases(name, count):
    assert read_record(Path(medsmith.__file__).parent / "weights" / name).fingerprint.labeled == count
