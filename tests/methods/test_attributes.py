"""What methods can be asked for: the requests of a draw differ in the attribute alone, and the measures are right."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import micro
import steered_runs
from medsmith.cases.case_ref import CaseRef
from medsmith.cases.cohort import Cohort
from medsmith.errors import RequestError
from medsmith.geometry import Geometry
from medsmith.methods.attributes import Draw
from medsmith.methods.lesiondiffusion.attributes import lesion_attributes
from medsmith.methods.mddpm.attributes import guide_attributes
from medsmith.phantoms.families import phantom

pytestmark = pytest.mark.usefixtures("no_fsync")
LESIONS = {attribute.name: attribute for attribute in lesion_attributes()}
FIELDS = {"size": "size_mm", "CT value": "ct_value_hu", "location": "cavity", "ring enhancement": "density",
          "mixed density": "density", "areas of decreased density": "features",
          "areas of increased density": "features", "spiculated margins": "features"}  # fmt: skip
GUIDES = {attribute.name: attribute for attribute in guide_attributes()}


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Two scans with a liver and lungs of 144 mL each, of which the second has a kidney of as much."""
    folder = tmp_path_factory.mktemp("scans") / "scans"
    names = {"background": 0, "liver": 1, "kidney_left": 2, "kidney_right": 3, "lung": 4}
    cohort = Cohort.create(folder, channel_names=("CT",), label_names=names, file_ending=".nii.gz")
    for number in range(2):
        labels = np.zeros((12, 12, 12), np.uint8)
        labels[:6, :6, :4] = 1  # 144 voxels of 1 mL
        labels[6:, 6:, : 4 * number] = 2
        labels[:6, 6:, :4] = 4
        image = np.full((1, 12, 12, 12), 50, np.float32)
        geometry = Geometry((12, 12, 12), np.diag([10.0, 10.0, 10.0, 1.0]))
        case = steered_runs.slice_of(0)
        cohort.write(replace(case, id=f"s{number}", image=image, labels=labels, geometry=geometry,
                             channel_names=("CT",), label_names=names, stored=np.dtype(np.int16)))  # fmt: skip
    cohort.finish()
    return folder


@pytest.mark.parametrize("name", LESIONS)
def test_reports_of_a_draw_differ_in_the_attribute_alone(scans, name):
    attribute = LESIONS[name]
    requests = attribute.requests(Draw(3, scans))
    assert len(requests) == len(attribute.levels) == len(set(attribute.levels))
    assert len({request.model_copy(update={"lesions": ()}) for request in requests}) == 1
    reports = [request.lesions[0].model_dump() for request in requests]
    changed = {key for report in reports for key in report if report[key] != reports[0][key]}
    field = FIELDS.get(name, name.replace(" ", "_"))
    assert changed == {field}
    assert requests[0].attempts == 1
    assert requests[0].templates == CaseRef(cohort=scans, case="s1")


def test_templates_and_their_large_organs_take_turns(scans):
    asked = [LESIONS["density"].requests(Draw(number, scans))[0] for number in range(4)]
    assert [request.templates.case for request in asked] == ["s0", "s1", "s0", "s1"]
    assert [request.lesions[0].organ for request in asked] == ["liver", "liver", "liver", "kidney"]


def test_scans_without_room_are_refused_in_one_line(scans):
    with pytest.raises(RequestError, match=r"^templates: none given; lesions are inserted into scans; name a cohort"):
        LESIONS["shape"].requests(Draw(0))
    slices = scans.parent / "slices"
    phantom("chest", slices, count=1, size=32, seed=0)
    with pytest.raises(RequestError, match="none of liver, kidney is labeled with 90 mL; lesions of 16 to 28 mm need"):
        LESIONS["density"].requests(Draw(0, slices))


def record_of(scans, **measured):
    case = Cohort.open(scans)["s0"]
    return replace(case, provenance={"lesions": [{"box": [[2, 2, 0], [5, 5, 3]], **measured}]})


def test_a_lesion_is_measured_by_its_record(scans):
    there, missing = record_of(scans, measured={"measured": {"mean_hu": 41.5}}), record_of(scans)
    first, second, third = LESIONS["CT value"].measure([there, missing, record_of(scans, measured={})])
    assert first == 41.5
    assert np.isnan([second, third]).all()
    assert LESIONS["CT value"].focus is not None
    focus = LESIONS["CT value"].focus(there)
    assert (focus.center, focus.label) == ((3, 3, 1), "synthetic_lesion")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ring enhancement", 40.0),
        ("mixed density", 12.0),
        ("areas of decreased density", 50.0),
        ("areas of increased density", 30.0),
    ],
)
def test_what_lies_inside_a_lesion_is_measured_by_its_tails(scans, name, value):
    numbers = {"mean_hu": 70.0, "low_hu": 20.0, "high_hu": 100.0, "surroundings_hu": 88.0, "rim_minus_core_hu": 40.0}
    there, missing = record_of(scans, measured={"measured": numbers}), record_of(scans, measured={"measured": {}})
    first, second = LESIONS[name].measure([there, missing])
    assert first == value
    assert np.isnan(second)


def test_guides_need_a_space_and_labeled_slices():
    with pytest.raises(RequestError, match=r"^anatomy: none given; label maps are followed by a shape space; name"):
        GUIDES["anatomy"].requests(Draw(0))
    with pytest.raises(RequestError, match=r"^templates: none given; the maps of cases are followed; name a cohort"):
        GUIDES["anatomy"].requests(Draw(0, anatomy=Path("space.safetensors")))


def test_the_maps_of_neighbors_are_followed_and_a_lesion_is_the_only_difference(scans):
    draw = Draw(1, scans, Path("space.safetensors"), scans)
    followed = [request.anatomy.labels.case for request in GUIDES["anatomy"].requests(draw)]
    assert followed == ["s1", "s0"]
    absent, present = GUIDES["lesion"].requests(draw)
    assert (len(absent.pathologies), present.pathologies[0].within) == (0, "lung")
    assert present.model_copy(update={"pathologies": ()}) == absent
    with pytest.raises(RequestError, match=r"^pathology: none given; lesions of cases are transplanted; name a cohort"):
        GUIDES["lesion"].requests(replace(draw, pathology=None))


def regions(lung, lesion=None):
    """A slice in gray values whose lung by thresholds is where it is labeled, or elsewhere."""
    names = {"background": 0, "body": 1, "lung": 2, "nodule": 3}
    case = steered_runs.slice_of(0)
    image, labels = np.full((64, 64), 2.0), np.zeros((64, 64), np.uint8)
    body = steered_runs.disk((32, 32), 28)
    image[body], labels[body] = 120, 1
    image[lung], labels[lung] = 30, 2
    if lesion is not None:
        image[lesion], labels[lesion] = 140, 3
    image[0, 0], image[-1, -1] = 0, 255
    grid = (64, 64, 1)
    return replace(case, image=image.astype(np.float32).reshape(1, *grid), labels=labels.reshape(grid),
                   label_names=names)  # fmt: skip


def test_an_image_that_follows_its_map_agrees_with_it_and_with_no_other():
    left, right = steered_runs.disk((20, 32), 8), steered_runs.disk((44, 32), 8)
    other, own = GUIDES["anatomy"].measure([regions(left), regions(right)])
    assert own > 0.95
    assert other == 0


def test_the_contrast_of_a_lesion_is_measured_at_its_place_in_both_images():
    lung, lesion = steered_runs.disk((32, 32), 14), steered_runs.disk((32, 32), 4)
    absent, present = GUIDES["lesion"].measure([regions(lung), regions(lung, lesion)])
    assert absent == pytest.approx(0)
    assert present == pytest.approx(140 - 30)


@pytest.mark.parametrize("name", ["segguided", "lldm"])
def test_maps_of_a_cohort_are_followed_in_turn(scans, name):
    method = micro.build(name)
    for number, case in ((0, "s0"), (1, "s1"), (2, "s0")):
        request = method.request_with_map(Draw(number, scans))
        assert request.labels == CaseRef(cohort=scans, case=case)
    assert method.request_with_map(Draw(0)).labels is None


def test_a_method_that_makes_maps_itself_follows_none_of_others(scans):
    method = micro.build("pig")
    method.name = "pig"
    assert method.request_with_map(Draw(0)) == method.Request()
    with pytest.raises(RequestError, match=r"^templates: pig follows no given label maps; leave them out"):
        method.request_with_map(Draw(0, scans))
    assert method.attributes() == ()
