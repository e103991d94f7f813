"""A lesion of one case put at a place of another: where, how large, how turned, how gray."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.data.fingerprint import take_fingerprint
from medsmith.errors import RequestError
from medsmith.geometry import Geometry
from medsmith.methods.mddpm.matching import GrayTarget
from medsmith.methods.mddpm.pathology import load_source
from medsmith.methods.mddpm.request import Pathology
from medsmith.methods.mddpm.transplant import PlacementError, Transplant

EDGE = 64
NAMES = {"background": 0, "lung": 1, "nodule": 2}


def ellipse(shape, center, radii):
    x, y = np.meshgrid(*[np.arange(n) + 0.5 for n in shape], indexing="ij")
    return ((x - center[0]) / radii[0]) ** 2 + ((y - center[1]) / radii[1]) ** 2 <= 1


def case_with_nodule(id, shape=(128, 128), center=(40.0, 80.0), radii=(12.0, 6.0), spacing=None):
    image = np.full((*shape, 1), 30.0, np.float32)
    labels = np.zeros((*shape, 1), np.uint8)
    nodule = ellipse(shape, center, radii)
    labels[..., 0][nodule] = 2
    image[..., 0][nodule] = 200
    image[0, 0], image[-1, -1] = 0, 255  # the whole range, so that gray values of all cases agree
    geometry = Geometry.plain((*shape, 1)) if spacing is None else Geometry((*shape, 1), np.diag([*spacing, 1.0, 1.0]))
    return Case(id, image[None], labels, geometry, ("gray",), NAMES, np.dtype(np.uint8))


def cohort_of(folder, *cases):
    ending = ".nii.gz" if cases[0].geometry.spacing_known else ".png"
    cohort = Cohort.create(folder, channel_names=("gray",), label_names=NAMES, file_ending=ending)
    for case in cases:
        cohort.write(case)
    cohort.finish()
    return Cohort.open(folder)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return cohort_of(tmp_path_factory.mktemp("nodules") / "c", case_with_nodule("case_0"))


FLAT = torch.linspace(-1, 1, 257)[None]


def transplant(cohort, facts=None, size=(EDGE, EDGE), **asked):
    facts = facts or take_fingerprint(cohort, ".png", "0" * 64)
    pathology = Pathology.model_validate(
        {"case": {"cohort": cohort.root, "case": "case_0"}, "label": "nodule", **asked}
    )
    source = load_source(pathology, facts, GrayTarget(FLAT), 0, "pathologies.0")
    return Transplant.of(source, pathology, facts, size, "pathologies.0")


def placed(cohort, organ=None, seed=1, **asked):
    return transplant(cohort, **asked).place(organ, seed)


def centroid(mask):
    return (np.argwhere(mask).mean(0) + 0.5) / np.array(mask.shape)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.25, 0.75), st.floats(0.25, 0.75), st.floats(0.9, 1.8), st.floats(-180, 180))
def test_place_size_and_angle_are_the_requests(cohort, x, y, scale, rotate):
    """An ellipse with axes 2 : 1 along x: its moments say where it is, how large and how it is turned."""
    mask = placed(cohort, at=(x, y), scale=scale, rotate=rotate, gray="keep").mask
    assert np.abs(centroid(mask) - (x, y)).max() < 0.6 / EDGE
    area = math.pi * 6 * 3 * scale**2  # on the grid of half the resolution
    assert mask.sum() == pytest.approx(area, rel=0.12, abs=4)
    points = np.argwhere(mask)
    values, vectors = np.linalg.eigh(np.cov((points - points.mean(0)).T))
    assert 1.5 < math.sqrt(values[1] / values[0]) < 2.6
    angle = math.degrees(math.atan2(vectors[1, 1], vectors[0, 1]))
    assert min(abs((angle - rotate + 90) % 180 - 90), 180) < 10


def test_unchanged_it_is_the_case_on_the_networks_grid(cohort):
    found = placed(cohort, gray="keep")
    own = cohort["case_0"].require_image()[0, :, :, 0]
    expected = own.reshape(EDGE, 2, EDGE, 2).mean((1, 3)) / 127.5 - 1
    inner = slice(2, -2)
    assert np.abs(found.image[0].numpy() - expected)[inner, inner].mean() < 0.02
    assert np.abs(found.at - (40 / 128, 80 / 128)).max() < 1e-9


def test_the_image_moves_with_the_mask(cohort):
    found = placed(cohort, at=(0.6, 0.3), rotate=30, scale=1.2, gray="keep")
    inside, around = found.mask, ndimage.binary_dilation(found.mask, iterations=6)
    core = ndimage.binary_erosion(inside)
    assert found.image[0].numpy()[core].mean() == pytest.approx(200 / 127.5 - 1, abs=0.02)
    ring = around & ~ndimage.binary_dilation(inside, iterations=2)
    assert found.image[0].numpy()[ring].mean() == pytest.approx(30 / 127.5 - 1, abs=0.02)


def test_millimetres_are_kept_where_spacing_is_known(tmp_path):
    """The source has half the field of view of the training images: its nodule covers half as many of their voxels."""
    source = cohort_of(tmp_path / "small", case_with_nodule("case_0", spacing=(1.0, 1.0)))
    large = cohort_of(tmp_path / "large", case_with_nodule("case_0", spacing=(2.0, 2.0)))
    facts = take_fingerprint(large, ".nii.gz", "0" * 64)
    small_facts = take_fingerprint(source, ".nii.gz", "0" * 64)
    ours = transplant(source, facts, at=(0.5, 0.5), gray="keep").place(None, 1).mask
    same = transplant(source, small_facts, at=(0.5, 0.5), gray="keep").place(None, 1).mask
    assert ours.sum() == pytest.approx(same.sum() / 4, rel=0.15)


def test_gray_values_take_on_the_histogram_of_the_reference(tmp_path):
    rng = np.random.default_rng(0)
    case = case_with_nodule("case_0")
    case.image[:] = np.rint(np.clip(case.image + rng.normal(0, 20, case.image.shape), 0, 255))
    cohort = cohort_of(tmp_path / "c", case)
    facts = take_fingerprint(cohort, ".png", "0" * 64)
    reference = torch.from_numpy(rng.normal(-0.5, 0.1, (1, EDGE, EDGE)).astype(np.float32))
    kinds = {}
    for gray in ("auto", "match", "keep"):
        asked = {"case": {"cohort": cohort.root, "case": "case_0"}, "label": "nodule", "gray": gray}
        kinds[gray] = load_source(Pathology.model_validate(asked), facts, GrayTarget(reference), 0, "p").image
    assert torch.equal(kinds["auto"], kinds["match"])
    assert kinds["match"].mean() == pytest.approx(-0.5, abs=0.05)
    assert kinds["match"].max() <= reference.max()
    assert kinds["keep"].max() == 1


def test_the_largest_part_of_several_is_taken(tmp_path):
    case = case_with_nodule("case_0")
    case.labels[2:5, 2:5, 0] = 2
    found = placed(cohort_of(tmp_path / "c", case), gray="keep")
    assert np.abs(found.at - (40 / 128, 80 / 128)).max() < 1e-9


def test_the_seed_finds_a_place_inside_the_organ(cohort):
    organ = ellipse((EDGE, EDGE), (20, 40), (14, 12))
    places = [placed(cohort, organ, seed, within="lung", gray="keep") for seed in range(6)]
    for found in places:
        assert (found.mask & organ).sum() >= 0.75 * found.mask.sum()
    assert len({tuple(found.at) for found in places}) > 3
    assert np.array_equal(places[0].at, placed(cohort, organ, 0, within="lung", gray="keep").at)


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"at": (0.9, 0.9)}, "pathologies.0: at 0.90, 0.90, 0% of the lesion lie in the lung; at least 75%; choose"),
        (
            {"at": (1.0, 0.5), "within": None},
            "pathologies.0: at 1.00, 0.50 the lesion reaches beyond the image",
        ),
        ({"scale": 0.1, "within": None}, "pathologies.0: the lesion covers at most"),
        ({"scale": 9.0}, "pathologies.0: the lesion fits nowhere in the lung: at best"),
        ({"at": (0.5, 0.5, 0.5)}, "pathologies.0: at has 3 values; the images are 2-D"),
        ({"label": "cyst"}, "pathologies.0.label: "),
        ({"label": None}, "pathologies.0.label: no label named; it has lung, nodule; name one of these"),
        ({"label": "lung"}, "pathologies.0.case: case 'case_0' has no voxel of 'lung'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(cohort, asked, line):
    asked = {"within": "lung", **asked}
    organ = None if asked["within"] is None else ellipse((EDGE, EDGE), (20, 40), (14, 12))
    with pytest.raises((RequestError, PlacementError)) as refusal:
        placed(cohort, organ, **asked)
    error = refusal.value.error if isinstance(refusal.value, PlacementError) else refusal.value
    assert isinstance(error, RequestError)
    assert error.line.startswith(line)
    assert "\n" not in error.line


@pytest.mark.parametrize("label", [None, "cyst"])
def test_a_label_that_is_missing_names_its_option_and_a_missing_case_comes_first(cohort, label):
    with pytest.raises(RequestError) as refusal:
        transplant(cohort, label=label)
    assert refusal.value.line.endswith("it has lung, nodule; name one of these (--lesion-label)")
    with pytest.raises(RequestError) as refusal:
        transplant(cohort, label=label, case={"cohort": cohort.root, "case": "case_7"})
    assert refusal.value.line == f"{cohort.root}: no case 'case_7'; has case_0; name one of these"


@settings(max_examples=15, deadline=None)
@given(st.floats(3.0, 16.0), st.floats(0.25, 0.75), st.floats(0.25, 0.75))
def test_a_lesion_well_inside_is_never_said_to_reach_beyond(tmp_path_factory, radius, x, y):
    """Whatever its size in voxels and its place between them."""
    case = case_with_nodule("case_0", radii=(radius, radius))
    found = placed(cohort_of(tmp_path_factory.mktemp("r") / "c", case), at=(x, y), gray="keep")
    assert found.mask.sum() > 0


def test_a_lesion_of_a_picture_is_refused_where_images_are_oriented(tmp_path):
    """It would lie upside down and mirrored."""
    known = cohort_of(tmp_path / "known", case_with_nodule("case_0", spacing=(2.0, 2.0)))
    picture = cohort_of(tmp_path / "picture", case_with_nodule("case_0"))
    facts = take_fingerprint(known, ".nii.gz", "0" * 64)
    line = r"pathologies.0.case: case 'case_0' of .* has no orientation; the training images have one; make it from"
    with pytest.raises(RequestError, match=line):
        transplant(picture, facts)


def test_a_cohort_alone_gives_a_case_that_has_the_lesion(tmp_path):
    """Whichever case the seed falls on: phantoms and patients without a nodule are passed over."""
    empty = [replace(case_with_nodule(f"case_{n}"), labels=np.zeros((128, 128, 1), np.uint8)) for n in range(3)]
    cohort = cohort_of(tmp_path / "c", *empty, case_with_nodule("case_3"))
    facts = take_fingerprint(cohort, ".png", "0" * 64)
    pathology = Pathology.model_validate({"case": cohort.root, "label": "nodule", "gray": "keep"})
    sources = [load_source(pathology, facts, GrayTarget(FLAT), index, "pathologies.0") for index in range(4)]
    assert all(source.mask.any() for source in sources)
    assert load_source(pathology, facts, GrayTarget(FLAT), 0, "pathologies.0", (64, 64)).mask.any()
    with pytest.raises(RequestError, match="has no case with enough voxels of 'nodule'"):
        load_source(pathology, facts, GrayTarget(FLAT), 0, "pathologies.0", (8, 8))
    named = Pathology.model_validate({"case": {"cohort": cohort.root, "case": "case_3"}, "label": "nodule"})
    assert load_source(named, facts, GrayTarget(FLAT), 0, "pathologies.0", (8, 8)).mask.any()
    without = cohort_of(tmp_path / "without", *empty)
    nowhere = Pathology.model_validate({"case": without.root, "label": "nodule"})
    with pytest.raises(RequestError, match=r"pathologies.0.case: .* has no case with enough voxels of 'nodule'"):
        load_source(nowhere, facts, GrayTarget(FLAT), 1, "pathologies.0")
