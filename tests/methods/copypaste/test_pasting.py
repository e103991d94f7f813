"""Copy-paste: where structures come to lie, their size, edge and gray values, and whose they are."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from medsmith.data.deformation import DeformationConfig
from medsmith.methods.copypaste.paste import feather
from medsmith.methods.copypaste.patch import Transform, transformed
from medsmith.methods.copypaste.rings import Gray, Match
from medsmith.methods.copypaste.structures import find_structures
from organ_scans import LESION, LIVER, begun, pasted, scan

STILL = DeformationConfig(rotation=0, scale=0, shift=0, elastic=0)
TOUCHING = np.ones((3, 3, 3))


@pytest.fixture(scope="module")
def cases():
    return [scan(f"p{number}", noise=5, lesion_mm=8 + 2 * number, shift=(0, number, 0)) for number in range(3)]


@pytest.fixture(scope="module")
def method(cases):
    return begun(cases)


def template_of(case, cases):
    return next(each for each in cases if each.id == case.provenance["template"])


@pytest.mark.parametrize("dimensions", [2, 3])
def test_structures_of_others_lie_whole_in_the_organ_apart_from_each_other(dimensions):
    cases = [scan(f"p{number}", dimensions=dimensions, noise=5, lesion_mm=8 + number) for number in range(3)]
    method = begun(cases)
    for seed in range(5):
        case = pasted(method, seed, per_image=(2, 2))
        template = template_of(case, cases)
        new = (case.labels == 2) & (template.labels != 2)
        assert np.array_equal(case.labels[~new], template.labels[~new])
        assert (template.labels[new] == 1).all(), "outside the liver"
        assert ndimage.label(case.labels == 2, TOUCHING)[1] == 3
        records = case.provenance["pasted"]
        assert len(records) == 2
        assert sum(record["voxels"] for record in records) == new.sum()
        assert all(record["donor"] != template.id for record in records)
        assert all(record["within"] == ["liver"] for record in records)
        reach = 3 * min(case.geometry.spacing[:2])
        far = ndimage.distance_transform_edt(~new, sampling=case.geometry.spacing) > reach + 1e-6
        assert np.array_equal(case.image[:, far], template.image[:, far])
        assert not np.array_equal(case.image[:, new], template.image[:, new])


def test_a_seed_decides_and_seeds_differ(method, cases):
    one, again, other = (pasted(method, seed) for seed in (3, 3, 4))
    fresh = pasted(begun(cases), 3)
    for case in (again, fresh):
        assert np.array_equal(one.image, case.image)
        assert np.array_equal(one.labels, case.labels)
        assert one.provenance == case.provenance
    assert not np.array_equal(one.image, other.image)


def test_templates_are_not_changed(method, cases):
    before = [case.image.copy() for case in cases]
    pasted(method, 1)
    kept = {case.id: case for case in cases}
    made = pasted(method, 1)
    assert all(np.array_equal(case.image, image) for case, image in zip(cases, before, strict=True))
    assert np.array_equal(made.geometry.affine, kept[made.provenance["template"]].geometry.affine)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 2.0, 4.0), (0.8, 1.2, 2.5)])
def test_a_structure_keeps_its_size_in_millimeters(spacing):
    """A ball of 16 mm from a grid of 1.5 x 1.5 x 3 mm on other grids: its volume and its edges along each axis."""
    (structure,) = find_structures(scan("a", lesion_mm=16), begun([scan("a")]).config)
    for scale in (0.75, 1.0, 1.5):
        patch = transformed(structure, Transform(scale, False, STILL, 0), spacing, 6.0)
        own = (structure.labels > 0).sum() * np.prod(structure.facts.spacing)
        assert patch.inside.sum() * np.prod(spacing) == pytest.approx(own * scale**3, rel=0.08)
        extent = [np.ptp(axis) + 1 for axis in np.nonzero(patch.inside)] * np.array(spacing)
        assert np.all(np.abs(extent - np.array(structure.facts.extent) * scale) <= 1.05 * np.array(spacing) + 1e-6)
        assert not patch.inside[[0, -1]].any()
        assert not patch.inside[:, [0, -1]].any()
        assert not patch.inside[:, :, [0, -1]].any()


def test_a_mirrored_structure_is_mirrored():
    case = scan("a", lesion_mm=20)
    labels = case.labels.copy()
    labels[(labels == 2) & (np.indices(labels.shape)[0] * 1.5 > 62) & (np.indices(labels.shape)[1] * 1.5 > 42)] = 1
    (structure,) = find_structures(replace(case, labels=labels), begun([case]).config)
    plain, mirrored = (
        transformed(structure, Transform(1.0, mirrored, STILL, 0), case.geometry.spacing, 4.0)
        for mirrored in (False, True)
    )
    assert not np.array_equal(plain.inside, mirrored.inside)
    assert np.array_equal(plain.inside[::-1], mirrored.inside)
    np.testing.assert_allclose(plain.image[:, ::-1], mirrored.image, atol=1e-3)


def test_in_ct_gray_values_are_shifted_and_nothing_else():
    """A lesion 40 HU below its liver is 40 HU below a liver of another density."""
    donor, template = scan("donor", lesion_mm=14), scan("template", lesion_mm=8)
    denser = replace(template, image=np.where(template.labels == 1, template.image + 30, template.image))
    method = begun([donor, denser])
    found = 0
    for seed in range(4):
        case = pasted(method, seed, deformation=STILL)
        if case.provenance["template"] != "template":
            continue
        found += 1
        (record,) = case.provenance["pasted"]
        assert record["gray"] == [{"gain": 1.0, "offset": 30.0}]
        new = (case.labels == 2) & (denser.labels != 2)
        core = ndimage.binary_erosion(new, iterations=2)
        # The splines of a step of 40 HU overshoot by less than 6.
        assert np.abs(case.image[0][core] - (LESION + 30)).max() <= 6
        assert np.median(case.image[0][core]) == pytest.approx(LESION + 30, abs=3)
        kept = pasted(method, seed, deformation=STILL, gray="kept")
        assert np.median(kept.image[0][core]) == pytest.approx(LESION, abs=3)
    assert found


def test_in_ct_a_structure_that_was_made_smaller_has_the_noise_of_the_scan():
    """Resampling averages noise away; what is missing is added."""
    method = begun([scan(f"p{number}", noise=8, lesion_mm=26, shift=(-12, 0, 0)) for number in range(2)])
    made = pasted(method, 0, scale=(0.5, 0.5), deformation=STILL)
    kept = pasted(method, 0, scale=(0.5, 0.5), deformation=STILL, gray="kept")
    (record,) = made.provenance["pasted"]
    center = np.rint(np.array(record["at"]) * made.labels.shape - 0.5).astype(int)
    core = tuple(slice(index - half, index + half + 1) for index, half in zip(center, (2, 2, 1), strict=True))
    assert (made.labels[core] == 2).all()
    assert made.image[0][core].std() > 5
    assert kept.image[0][core].std() < 5


def test_other_gray_values_are_scaled_too_each_channel_by_itself():
    donor, template = (scan(name, channels=("T1", "T2"), noise=5, lesion_mm=14) for name in ("donor", "template"))
    brighter = replace(template, image=(template.image + 1100) * np.array([1.2, 2.0], np.float32).reshape(2, 1, 1, 1))
    method = begun([replace(donor, image=donor.image + 1100), brighter], structures=("lesion",))
    case = next(case for case in (pasted(method, seed) for seed in range(9)) if case.provenance["template"] != "donor")
    first, second = case.provenance["pasted"][0]["gray"]
    assert first["gain"] == pytest.approx(1.2, rel=0.1)
    assert second["gain"] == 1.5  # twice, but 1.5 is the limit
    assert first["offset"] == pytest.approx(0.2 * (LIVER + 1100), abs=6)


def test_a_match_is_the_line_through_both_rings():
    own, there = Gray(10.0, 2.0), Gray(110.0, 2.5)
    match = Match.between(own, there, fixed_scale=False)
    np.testing.assert_allclose(match(np.array([10.0, 14.0], np.float32)), [110.0, 115.0])
    shifted = Match.between(own, there, fixed_scale=True)
    np.testing.assert_allclose(shifted(np.array([10.0, 14.0], np.float32)), [110.0, 114.0])
    assert Match.between(own, Gray(0.0, 200.0), fixed_scale=False).gain == 1.5
    assert own.unlike(own) == 0
    assert own.unlike(there) == pytest.approx(50 + np.log(1.25))


def test_the_edge_falls_as_the_feather_says():
    """Donor and template of two constant values: what is between them outside the structure is the weight."""
    donor, template = (scan(name, lesion_mm=12) for name in ("donor", "template"))
    donor = replace(donor, image=np.where(donor.labels > 0, np.float32(160), donor.image))
    method = begun([donor, template])
    cases = (pasted(method, seed, deformation=STILL, gray="kept", feather_mm=6.0) for seed in range(9))
    case = next(case for case in cases if case.provenance["template"] == "template")
    new = (case.labels == 2) & (template.labels != 2)
    weight = feather(new, template.geometry.spacing, 6.0)
    liver = (template.labels == 1) & (weight > 0)
    deep = ndimage.distance_transform_edt(template.labels == 1, sampling=template.geometry.spacing) > 3
    expected = LIVER + weight * (160 - LIVER)
    difference = np.abs(case.image[0] - expected)[liver & deep]
    assert np.median(difference) <= 0.51
    assert (difference <= 1).mean() > 0.7  # the rest is where the donor's own liver ends
    hard = pasted(method, 0, feather_mm=0)
    changed = (hard.image != next(c for c in (donor, template) if c.id == hard.provenance["template"]).image)[0]
    assert not changed[hard.labels != 2].any()


def test_scale_is_what_is_asked(method):
    for seed in range(4):
        case = pasted(method, seed, scale=(0.5, 0.6))
        assert 0.5 <= case.provenance["pasted"][0]["transform"]["scale"] <= 0.6


def test_templates_are_those_of_other_patients_by_the_group_in_ids():
    cases = [scan(f"p{patient}_{slice_}", lesion_mm=8 + slice_) for patient in range(2) for slice_ in range(2)]
    method = begun(cases, group="^(p[0-9])_")
    for seed in range(8):
        record = pasted(method, seed).provenance
        assert record["template"][:2] != record["pasted"][0]["donor"][:2]


def test_places_of_training_are_drawn_more_often():
    """Lesions of training lie to the right; anywhere, as many lie to the left."""
    method = begun([scan(f"p{number}", noise=5, shift=(0, 3 * number, 0)) for number in range(3)])

    def mean_way(places):
        made = (pasted(method, seed, places=places, scale=(0.5, 0.5)) for seed in range(12))
        return np.mean([case.provenance["pasted"][0]["at"][0] for case in made])

    assert mean_way("as_in_training") > 0.55
    assert abs(mean_way("anywhere") - 0.5) < 0.12


def test_without_an_organ_structures_lie_in_the_body():
    names = {"background": 0, "lesion": 2}
    cases = []
    for number in range(3):
        case = scan(f"p{number}", noise=5, lesion_mm=10)
        cases.append(replace(case, labels=np.where(case.labels == 2, 2, 0).astype(np.uint8), label_names=names))
    method = begun(cases)
    for seed in range(4):
        case = pasted(method, seed, places="anywhere")
        template = template_of(case, cases)
        new = (case.labels == 2) & (template.labels != 2)
        assert (template.image[0][new] > -300).all()
        assert case.provenance["pasted"][0]["within"] == []
        # The surroundings that are most like its own are liver, not fat.
        assert np.median(template.image[0][new]) == pytest.approx(LIVER, abs=10)
