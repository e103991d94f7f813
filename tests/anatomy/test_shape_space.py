"""Shape spaces: fitted, drawn from, and turned into guidance images."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from anatomy_slices import NAMES, as_case, chest, dice, organ_cohort, organ_labels
from cohort_cases import new_cohort
from medsmith.anatomy import AnatomyMap, ShapeSpace
from medsmith.anatomy.legality import Relations
from medsmith.anatomy.shape_space import MOST_ATTEMPTS
from medsmith.anatomy.writing import write_anatomies
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, ContentError, GeometryError, RequestError
from medsmith.geometry import Geometry

pytestmark = pytest.mark.usefixtures("few_draws")


def chest_cohort(root, count=6, labels=True):
    """Chests in HU with the vertebra as label."""
    names = {"background": 0, "vertebra": 1} if labels else {"background": 0}
    cohort = Cohort.create(root, channel_names=("CT",), label_names=names, file_ending=".nii.gz")
    rng = np.random.default_rng(5)
    for index in range(count):
        image, _, _, vertebra = chest((64, 64), index)
        image = np.roll(image, rng.integers(-3, 4, 2), (0, 1))
        mask = np.roll(vertebra, (0, 0), (0, 1)).astype(np.uint8) if labels else np.zeros((64, 64), np.uint8)
        case = as_case(f"chest-{index}", image, mask, 5.0, cohort)
        cohort.write(case if labels else replace(case, labels=None))
    cohort.finish()
    return Cohort.open(root)


@pytest.fixture(scope="module")
def thorax(tmp_path_factory):
    cohort = chest_cohort(tmp_path_factory.mktemp("thorax") / "cohort")
    return cohort, ShapeSpace.fit(cohort, points=16)


def test_the_record_states_what_was_learned(organs, space):
    record = space.record
    assert record.cases == 14
    assert record.size == (64, 64)
    assert record.extent_mm is None
    assert record.cohort == organs.content_hash()
    assert dict(space.label_names) == NAMES
    assert dict(space.context_names) == {}
    assert [(slot.value, slot.slices) for slot in record.slots] == [(1, 14), (2, 11)]
    assert {pattern.slots: pattern.slices for pattern in record.patterns} == {(0, 1): 11, (0,): 3}
    assert sum(record.explained) >= 0.98
    assert record.rejection.drawn == 200
    gray = [record.gray_values[name][0] for name in ("background", "organ", "vessel")]
    assert gray == pytest.approx([100, 60, 120], abs=0.5)


def test_the_same_seed_gives_the_same_anatomy_at_any_size(space):
    for seed in range(6):
        fine, again, coarse = (space.sample(seed, size) for size in ((256, 256), (256, 256), (64, 64)))
        assert fine.regions.tobytes() == again.regions.tobytes()
        assert fine.attempts == coarse.attempts
        blocks = (fine.regions == 1).reshape(64, 4, 64, 4).mean(axis=(1, 3)) > 0.5
        assert dice(blocks, coarse.regions == 1) > 0.97
    assert space.sample(0, (64, 64)).regions.tobytes() != space.sample(1, (64, 64)).regions.tobytes()


def test_drawn_maps_resemble_those_of_training(organs, space):
    drawn = [space.sample(seed, (64, 64)).labels for seed in range(40)]
    areas = np.array([(labels == 1).sum() for labels in drawn])
    real = np.array([(case.labels == 1).sum() for case in organs])
    assert 0.75 * real.min() < areas.min() <= areas.max() < 1.25 * real.max()
    assert areas.std() > 0.4 * real.std()
    with_vessel = np.mean([(labels == 2).any() for labels in drawn])
    assert 0.55 < with_vessel < 0.98


def test_without_spread_the_mean_anatomy_is_drawn(space):
    drawn = {space.sample(seed, (64, 64), 0.0).regions.tobytes() for seed in range(20)}
    assert len(drawn) == len(space.record.patterns)


def test_body_and_lung_lie_below_the_labels(thorax):
    cohort, space = thorax
    assert dict(space.context_names) == {"body": 2, "lung": 3}
    drawn = space.sample(3, (64, 64))
    assert isinstance(drawn, AnatomyMap)
    assert set(np.unique(drawn.labels)) == {0, 1}
    assert set(np.unique(drawn.regions)) == {0, 1, 2, 3}
    assert np.array_equal(drawn.regions == 1, drawn.labels == 1)
    regions = space.regions_of(cohort["chest-0"])
    assert np.array_equal(regions == 1, cohort["chest-0"].require_labels()[:, :, 0] == 1)
    assert dice(regions == 3, drawn.regions == 3) > 0.5
    assert space.record.extent_mm == pytest.approx((320, 320))


def test_a_guidance_image_has_the_gray_value_of_each_class(thorax):
    cohort, space = thorax
    regions = space.regions_of(cohort["chest-0"])
    image = space.guidance_image(regions)
    assert image.shape == (1, 64, 64)
    assert image.dtype == np.float32
    for value, gray in ((0, -1000), (3, -800)):
        assert image[0][regions == value] == pytest.approx(gray, abs=40)
    scan = cohort["chest-0"].require_image()[0, :, :, 0]
    assert np.corrcoef(image.ravel(), scan.ravel())[0, 1] > 0.94
    drawn = space.sample(1, (32, 48))
    assert np.array_equal(space.guidance_image(drawn), space.guidance_image(drawn.regions))


def test_gray_values_can_be_given(thorax):
    space = thorax[1].with_gray_values({"vertebra": (300,)})
    drawn = space.sample(1, (64, 64))
    assert set(space.guidance_image(drawn)[0][drawn.labels == 1]) == {300}
    assert space.content_hash != thorax[1].content_hash
    with pytest.raises(RequestError, match="--gray: no class 'hart'; there are background, vertebra, body, lung"):
        space.with_gray_values({"hart": (3,)})
    with pytest.raises(RequestError, match=r"vertebra = 3, 4; one number for each of 1 channels, from -1e.09 to 1e.09"):
        space.with_gray_values({"vertebra": (3, 4)})
    for value in (1e300, -2e9, float("nan"), float("inf")):
        with pytest.raises(RequestError, match=r"--gray: vertebra = .*; one number for each of 1 channels, from"):
            space.with_gray_values({"vertebra": (value,)})


def test_each_channel_has_its_own_gray_values(tmp_path):
    cohort = Cohort.create(tmp_path / "c", channel_names=("T1", "T2"), label_names=NAMES, file_ending=".nii.gz")
    rng = np.random.default_rng(0)
    for index in range(4):
        labels = organ_labels(rng)
        image = np.stack([labels * 10.0 + 5, 100.0 - labels])[..., None].astype(np.float32)
        grid = Geometry((64, 64, 1), np.eye(4))
        cohort.write(Case(f"c{index}", image, labels[..., None], grid, ("T1", "T2"), NAMES))
    cohort.finish()
    space = ShapeSpace.fit(Cohort.open(tmp_path / "c"), points=8)
    assert space.record.gray_values["organ"] == pytest.approx((15, 99))
    drawn = space.sample(0, (32, 32))
    assert set(map(tuple, space.guidance_image(drawn)[:, drawn.labels == 2].T)) == {(25, 98)}


def test_without_labels_the_maps_are_thresholds_alone(tmp_path):
    space = ShapeSpace.fit(chest_cohort(tmp_path / "c", labels=False), points=16)
    assert dict(space.context_names) == {"body": 1, "lung": 2}
    drawn = space.sample(0, (64, 64))
    assert not drawn.labels.any()
    assert set(np.unique(drawn.regions)) == {0, 1, 2}


def test_context_can_be_chosen(tmp_path):
    cohort = chest_cohort(tmp_path / "c")
    assert dict(ShapeSpace.fit(cohort, points=8, context="none").context_names) == {}
    assert list(ShapeSpace.fit(cohort, points=8, context="body, bone").context_names) == ["body", "bone"]
    with pytest.raises(RequestError, match="--context: 'liver'; auto, none, or of body, lung, bone"):
        ShapeSpace.fit(cohort, context="liver")


def test_labels_alone_have_shapes_and_no_gray_values(tmp_path):
    space = ShapeSpace.fit(organ_cohort(tmp_path / "c", 4, images=False), points=8)
    assert space.record.channel_names == ()
    with pytest.raises(RequestError, match="no gray value of background, organ"):
        space.guidance_image(space.sample(0, (32, 32)))
    given = space.with_gray_values(dict.fromkeys(NAMES, (7.0,)))
    assert given.guidance_image(space.sample(0, (32, 32))).max() == 7


def test_holes_are_drawn(tmp_path):
    cohort = Cohort.create(tmp_path / "c", channel_names=(), label_names=NAMES, file_ending=".png")
    for index in range(4):
        labels = np.zeros((64, 64), np.uint8)
        labels[10 + index : 50, 10:50] = 1
        labels[25:35, 25:35] = 0
        cohort.write(as_case(f"c{index}", None, labels, None, cohort))
    cohort.finish()
    space = ShapeSpace.fit(Cohort.open(tmp_path / "c"), points=16)
    assert [slot.hole for slot in space.record.slots] == [False, True]
    labels = space.sample(0, (64, 64)).labels
    assert labels[30, 30] == 0
    assert labels[20, 20] == labels[45, 45] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"points": 7}, "--points: 7; 8 to 512; choose another number"),
        ({"points": 513}, "--points: 513; 8 to 512"),
        ({"variance": 0.0}, "--variance: 0; a share above 0, at most 1"),
        ({"variance": float("nan")}, "--variance: nan; a share above 0"),
    ],
)
def test_options_that_cannot_be_used_are_refused(organs, options, said):
    with pytest.raises(RequestError, match=said):
        ShapeSpace.fit(organs, **options)


def test_too_few_cases_are_refused(organs):
    with pytest.raises(CohortError, match="2 cases to learn from; at least 3 slices; add cases"):
        ShapeSpace.fit(organs.subset(organs.ids[:2]))


def test_cases_without_any_structure_are_refused(tmp_path):
    cohort = new_cohort(tmp_path / "c")
    for index in range(3):
        blank = np.zeros((16, 16, 1), np.uint8)
        image = np.zeros((1, 16, 16, 1), np.float32)
        grid = Geometry.plain((16, 16, 1))
        names = cohort.channel_names, cohort.label_names
        cohort.write(Case(f"c{index}", image, blank, grid, *names, np.dtype(np.uint8)))
    with pytest.raises(CohortError, match="no class has a contour in 3 of 3 slices"):
        ShapeSpace.fit(cohort)


def test_volumes_are_refused(tmp_path):
    cohort = new_cohort(tmp_path / "c", ".nii.gz", ())
    for index in range(3):
        labels = np.ones((8, 8, 9), np.uint8)
        cohort.write(Case(f"c{index}", None, labels, Geometry((8, 8, 9), np.eye(4)), (), cohort.label_names))
    with pytest.raises(GeometryError, match="case c0: a volume of 8 x 8 x 9; shape spaces are made of single slices"):
        ShapeSpace.fit(cohort)


def test_regions_of_a_case_without_image_are_refused_where_context_is_needed(thorax):
    cohort, space = thorax
    with pytest.raises(ContentError, match="has labels and no image"):
        space.regions_of(replace(cohort["chest-0"], image=None))


def test_regions_of_a_drawn_case_are_its_labels(thorax, tmp_path):
    space = thorax[1]
    drawn = write_anatomies(space, tmp_path / "out", 1, 0)["anatomy-00000"]
    assert drawn.image is None
    assert np.array_equal(space.regions_of(drawn), drawn.require_labels()[:, :, 0])


def test_labels_are_matched_by_name(thorax):
    cohort, space = thorax
    case = cohort["chest-0"]
    renumbered = replace(case, labels=case.require_labels() * 2, label_names={"background": 0, "rib": 1, "vertebra": 2})
    assert np.array_equal(space.regions_of(renumbered), space.regions_of(case))
    foreign = replace(case, label_names={"background": 0, "spine": 1})
    with pytest.raises(ContentError, match="case chest-0: label 'spine'; there are background, vertebra, body, lung"):
        space.regions_of(foreign)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((-1, (64, 64)), "seed -1; seeds are 0 or more"),
        ((0, (4, 64)), "size 4 x 64; 8 to 4096 pixels"),
        ((0, (64, 64), 9.0), "spread 9; 0 to 5 standard deviations"),
        ((0, (64, 64), float("nan")), "spread nan"),
    ],
)
def test_draws_that_cannot_be_made_are_refused(space, arguments, said):
    with pytest.raises(RequestError, match=said):
        space.sample(*arguments)


def test_a_space_of_illegal_anatomies_says_so_after_a_bounded_number_of_attempts(space, monkeypatch):
    monkeypatch.setattr(Relations, "broken", lambda *_: True)
    with pytest.raises(RequestError, match=f"no legal anatomy in {MOST_ATTEMPTS} attempts with seed 0 and spread 2"):
        space.sample(0, (64, 64))


@pytest.mark.slow
def test_bytes_do_not_depend_on_threads(space, tmp_path):
    space.save(tmp_path / "s.safetensors")
    script = (
        "import hashlib\nfrom medsmith.anatomy import ShapeSpace\n"
        f"space = ShapeSpace.load({str(tmp_path / 's.safetensors')!r})\n"
        "maps = [space.sample(seed, (128, 128)) for seed in range(10)]\n"
        "print([hashlib.sha256(m.regions.tobytes()).hexdigest() for m in maps])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(said) == 1
