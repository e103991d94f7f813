"""From cases to tensors and back: batches, scaling, resampling, fingerprints."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import micro
from medsmith.cases.case import Case
from medsmith.data.batches import batches_of
from medsmith.data.fingerprint import Fingerprint, count_components, take_fingerprint
from medsmith.data.resizing import resize
from medsmith.data.scaling import image_to_model, labels_to_model, model_to_image, model_to_labels, to_grid
from medsmith.errors import CohortError
from medsmith.geometry import Geometry

# --- batches


def numbered(count, shape=(1, 4, 6)):
    """Examples whose voxels tell which case and which voxel they are."""
    return [{"image": torch.arange(int(np.prod(shape))).reshape(shape) + 1000 * n} for n in range(count)]


@given(count=st.integers(1, 30), size=st.integers(1, 17), seed=st.integers(0, 2**70), step=st.integers(0, 10**9))
def test_a_batch_depends_on_seed_and_step_alone(count, size, seed, step):
    first, second = (batches_of([{}] * count, size, seed) for _ in range(2))
    for earlier in range(3):
        second.indices(earlier)
    assert first.indices(step) == second.indices(step)
    assert len(first.indices(step)) == size


@given(count=st.integers(1, 30), size=st.integers(1, 17), seed=st.integers(0, 2**70))
def test_each_case_comes_once_per_pass(count, size, seed):
    batches = batches_of([{}] * count, size, seed)
    stream = [index for step in range(-(-3 * count // size)) for index in batches.indices(step)]
    for start in range(0, 3 * count, count):
        assert Counter(stream[start : start + count]) == Counter(range(count))


def test_passes_and_seeds_have_their_own_order():
    stream = [index for step in range(4) for index in batches_of([{}] * 40, 10, 1).indices(step)]
    again = [index for step in range(4, 8) for index in batches_of([{}] * 40, 10, 1).indices(step)]
    other = [index for step in range(4) for index in batches_of([{}] * 40, 10, 2).indices(step)]
    assert sorted(stream) == sorted(again) == sorted(other) == list(range(40))
    assert stream not in (again, other)


@pytest.mark.parametrize(("shape", "flips"), [((1, 4, 6), (0,)), ((1, 4, 6), (0, 1)), ((2, 3, 4, 5), (0, 2))])
def test_mirroring_is_whole_and_half_of_the_time_along_each_axis(shape, flips):
    examples = numbered(5, shape)
    batches = batches_of(examples, 50, 3, flips)
    found: Counter[tuple[int, ...]] = Counter()
    for step in range(20):
        batch = batches(step)
        for index, image in zip(batches.indices(step), batch["image"], strict=True):
            original = examples[index]["image"]
            mirrors = {
                axes: original.flip([1 + axis for axis in axes]) if axes else original
                for axes in ((), *((axis,) for axis in flips), flips if len(flips) > 1 else ())
            }
            (axes,) = {axes for axes, mirror in mirrors.items() if torch.equal(mirror, image)}
            found[axes] += 1
    for axis in flips:
        share = sum(n for axes, n in found.items() if axis in axes) / 1000
        assert share == pytest.approx(0.5, abs=4 * (0.25 / 1000) ** 0.5)


def test_image_and_mask_are_mirrored_together_and_repeatably():
    examples = [{"image": e["image"], "mask": e["image"].clone()} for e in numbered(4)]
    batches = batches_of(examples, 8, 3, (0, 1))
    for step in (0, 1, 7):
        batch = batches(step)
        assert torch.equal(batch["image"], batch["mask"])
        assert torch.equal(batch["image"], batches_of(examples, 8, 3, (0, 1))(step)["image"])


def test_without_mirroring_cases_stay_as_they_are():
    examples = numbered(4)
    batches = batches_of(examples, 6, 0)
    assert torch.equal(batches(5)["image"], torch.stack([examples[i]["image"] for i in batches.indices(5)]))


# --- fingerprints


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
def test_grey_values_are_absolute_in_8_bits_and_in_hounsfield_units(stored, lowest, absolute):
    case = micro.micro_case(0, 3, 1)
    image = case.image.copy()
    image[0, 0, 0, 0] = lowest
    assert take_fingerprint([with_image(case, image, stored)], ".nii.gz", "").absolute is absolute


def test_a_cohort_of_nothing_or_of_two_kinds_has_no_fingerprint():
    with pytest.raises(CohortError, match="cohort: no cases; give a folder that holds images, labels or both"):
        take_fingerprint([], ".png", "")
    with pytest.raises(CohortError, match="case_1: 3-D among 2-D cases"):
        take_fingerprint([micro.micro_case(0, 2, 1), micro.micro_case(1, 3, 1)], ".png", "")


def test_components_touch_by_faces_edges_and_corners():
    labels = np.zeros((6, 6, 6), np.uint8)
    assert count_components(labels) == 0
    labels[0, 0, 0], labels[1, 1, 1], labels[4, 4, 4], labels[4, 4, 5] = 1, 2, 1, 1
    assert count_components(labels) == 2


# --- grey values


def of_values(values, stored):
    """A 2-D case of these grey values, and its fingerprint."""
    labels = np.zeros((*values.shape, 1), np.uint8)
    labels[0, 0] = 1
    names = {"background": 0, "mass": 1}
    image = values.astype(np.float32)[None, ..., None]
    case = Case("a", image, labels, Geometry.plain(labels.shape), ("us",), names, np.dtype(stored))
    return case, take_fingerprint([case], ".png", "")


@given(hnp.arrays(np.uint8, st.tuples(st.integers(2, 9), st.integers(2, 9))))
def test_8_bit_pictures_come_back_from_model_space_as_they_were(values):
    case, facts = of_values(values, "uint8")
    model = image_to_model(case, facts, values.shape)
    assert float(model.abs().max()) <= 1
    if values.min() < values.max():
        assert (float(model.min()), float(model.max())) == (-1, 1)
    assert np.array_equal(model_to_image(model, facts), case.image)


@given(
    hnp.arrays(np.int16, st.tuples(st.integers(2, 9), st.integers(2, 9)), elements=st.integers(-1024, 3000)),
)
def test_hounsfield_values_come_back_within_the_robust_range(values):
    values[0, 0] = -1000
    case, facts = of_values(values, "int16")
    low, high = facts.robust_range[0]
    back = model_to_image(image_to_model(case, facts, values.shape), facts)
    assert np.abs(back - np.clip(case.image, low, high)).max() <= 0.5 + 1e-3 * max(1, high - low) / 1000
    assert np.array_equal(back, np.rint(back))


def test_float_images_are_not_rounded():
    values = np.linspace(-1000, 0.7, 30).reshape(5, 6)
    case, facts = of_values(values, "float32")
    low, high = facts.robust_range[0]
    back = model_to_image(image_to_model(case, facts, (5, 6)), facts)
    assert np.allclose(back, np.clip(case.image, low, high), atol=1e-3)


def test_relative_grey_values_are_scaled_case_by_case():
    first, second = micro.micro_case(0, 3, 1), micro.micro_case(1, 3, 1)
    brighter = with_image(first, first.image * 7 + 100)
    facts = take_fingerprint([first, brighter, second], ".nii.gz", "")
    assert not facts.absolute
    grid = first.geometry.shape
    assert torch.allclose(image_to_model(first, facts, grid), image_to_model(brighter, facts, grid), atol=1e-4)
    pictures = [micro.micro_case(index, 2, 1) for index in range(2)]
    fixed = take_fingerprint(pictures, ".png", "")
    darker = with_image(pictures[0], pictures[0].image / 2)
    size = pictures[0].geometry.shape[:2]
    assert image_to_model(darker, fixed, size).mean() < image_to_model(pictures[0], fixed, size).mean() - 0.2


def test_channels_have_their_own_range():
    case = micro.micro_case(0, 2, 1)
    image = np.concatenate([case.image, case.image * 0.5 + 20])
    two = replace(case, image=image, channel_names=("a", "b"))
    facts = take_fingerprint([two], ".png", "")
    model = image_to_model(two, facts, case.geometry.shape[:2])
    assert torch.allclose(model[0], model[1], atol=1e-5)
    assert np.array_equal(model_to_image(model, facts)[0], case.image[0])


# --- grids


def volumes(dimensions):
    edges = st.integers(1, 12)
    return st.tuples(*[edges] * dimensions), st.tuples(*[edges] * dimensions)


@settings(deadline=None)
@given(data=st.data(), dimensions=st.sampled_from([2, 3]))
def test_labels_are_never_invented(data, dimensions):
    source, target = (data.draw(shape) for shape in volumes(dimensions))
    facts = micro.fingerprint(dimensions, 2)
    shape = source if dimensions == 3 else (*source, 1)
    labels = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2])))
    masks = labels_to_model(labels, facts, target)
    assert masks.shape == (2, *target)
    assert set(masks.unique().tolist()) <= {-1.0, 1.0}
    assert float((masks > 0).sum(0).max()) <= 1, "one label per voxel"
    back = model_to_labels(masks, facts)
    assert set(np.unique(back)) <= set(np.unique(labels))
    if target == source:
        assert np.array_equal(back, labels)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_each_voxel_takes_the_label_that_covers_most_of_it(dimensions):
    facts = micro.fingerprint(dimensions, 2)
    small = np.random.default_rng(0).integers(0, 3, (5, 4, 3)[:dimensions]).astype(np.uint8)
    large = small
    for axis in range(dimensions):
        large = large.repeat(4, axis)
    large = large if dimensions == 3 else large[..., None]
    back = model_to_labels(labels_to_model(large, facts, small.shape), facts)
    agreement = (back.reshape(small.shape) == small).mean()
    assert agreement > 0.6
    lone = np.zeros((16, 16, 16) if dimensions == 3 else (16, 16, 1), np.uint8)
    lone[5, 6] = 1
    assert not model_to_labels(labels_to_model(lone, facts, (8,) * dimensions), facts).any() or dimensions == 3


@settings(deadline=None)
@given(data=st.data())
def test_pictures_and_volumes_are_resampled_by_one_rule(data):
    # torch's antialiased filter misreads pictures one pixel wide; cohorts refuse them (fewer than 8 voxels).
    source, target = (data.draw(shape.filter(lambda sides: min(sides) > 1)) for shape in volumes(2))
    image = data.draw(hnp.arrays(np.float32, (1, *source), elements=st.floats(-1, 1, width=32)))
    picture = to_grid(torch.from_numpy(image), target).numpy()
    volume = to_grid(torch.from_numpy(image[..., None]), (*target, 1)).numpy()
    assert np.abs(picture - volume[..., 0]).max() <= 2e-6
    assert np.array_equal(volume, resize(image[..., None], (*target, 1)))


@pytest.mark.parametrize(("source", "target"), [((16, 16, 4), (8, 8, 8)), ((15, 9, 7), (8, 9, 3))])
def test_volumes_are_averaged_where_they_shrink_and_interpolated_where_they_grow(source, target):
    stripes = torch.ones((1, *source))
    stripes[:, ::2] = -1  # the finest stripes along x: on half the grid nothing of them may remain
    resampled = to_grid(stripes, target)
    assert resampled.shape == (1, *target)
    inner = resampled[:, 1:-1]
    assert float(inner.abs().max()) < 0.26
    constant = to_grid(torch.full((1, *source), 0.3), target)
    assert torch.allclose(constant, torch.tensor(0.3))


def test_the_strongest_channel_above_zero_is_the_label():
    facts = micro.fingerprint(2, 2)
    masks = torch.tensor([[[0.2, -0.1, 0.9, 0.0]], [[0.5, -0.3, 0.1, 0.0]]])
    assert model_to_labels(masks, facts)[:, :, 0].tolist() == [[2, 0, 1, 0]]


def test_label_values_need_not_be_consecutive():
    case = micro.micro_case(0, 2, 2)
    names = {"background": 0, "mass": 3, "cyst": 7}
    labels = np.select([case.labels == 1, case.labels == 2], [3, 7]).astype(np.uint8)
    facts = take_fingerprint([replace(case, labels=labels, label_names=names)], ".png", "")
    assert facts.foreground_labels == (3, 7)
    assert np.array_equal(model_to_labels(labels_to_model(labels, facts, labels.shape[:2]), facts), labels)


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
    assert (mixed.count, mixed.images, mixed.labelled) == ((4, 2, 4) if part == "image" else (4, 4, 2))


def test_a_fingerprint_of_labels_alone_and_of_images_alone():
    cases = [micro.micro_case(index, 3, 1) for index in range(3)]
    masks = take_fingerprint([replace(case, image=None, channel_names=()) for case in cases], ".nii.gz", "0")
    assert (masks.full_range, masks.robust_range, masks.absolute, masks.images) == ((), (), False, 0)
    assert masks.foreground == take_fingerprint(cases, ".nii.gz", "0").foreground
    images = take_fingerprint([replace(case, labels=None) for case in cases], ".nii.gz", "0")
    assert (images.foreground, images.label_share, images.components, images.labelled) == ((0, 0), {}, 0, 0)
    old = masks.model_dump(mode="json")
    del old["images"], old["labelled"]
    assert Fingerprint.model_validate(old).images is None
