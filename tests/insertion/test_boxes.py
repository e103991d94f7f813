"""Every box obeys the rule of its place, and a refusal names a size that fits."""

import re
from collections import Counter

import nibabel as nib
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from insertion_scans import NAMES, ORIENTATIONS, SPACINGS, body, grid, oriented
from medsmith.errors import GeometryError, RequestError
from medsmith.insertion import search_region
from medsmith.insertion.boxes import Box, place_boxes
from medsmith.insertion.organ_map import OrganMap, organ_map_from_labels
from medsmith.insertion.regions import allowed_region, location_of
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import Cavity
from narrowing import present

SHAPE = (44, 40, 36)
LUMEN: Cavity = "within the lumen of a hollow organ"
WALL: Cavity = "wall thickening"
INSIDE: Cavity = "within the parenchymal organ"
PROTRUDING: Cavity = "protruding from the parenchymal organ"
MEMBERS = {"kidney": ("kidney_left", "kidney_right"), None: ("soft_tissue",)}
LEAST = {INSIDE: 0.9, PROTRUDING: 1.0, LUMEN: 1.0, WALL: 0.75}


def organ_map(spacing=(2.0, 2.0, 2.5), codes="RAS", labels=None) -> OrganMap:
    labels = body(SHAPE) if labels is None else labels
    geometry, to_file = oriented(grid(labels.shape, spacing), codes)
    return organ_map_from_labels(nib.orientations.apply_orientation(labels, to_file), geometry, NAMES, "phantom")


def voxels(labels, names):
    return np.isin(labels, [NAMES[name] for name in names])


def place_of(report):
    return report.cavity or (INSIDE if report.organ not in ("colon", "gallbladder") else WALL)


def test_a_lesion_whose_ends_would_be_cut_off_is_refused_and_the_size_that_is_named_spans_its_box():
    labels = np.full((48, 48, 40), NAMES["bone"], np.uint8)
    labels[4:-4, 4:-4, 7:33] = NAMES["colon"]
    scan = organ_map((1.0, 1.0, 1.0), labels=labels)

    def put(size):
        (box,) = place_boxes((LesionReport(organ="colon", size_mm=size),), scan, np.random.default_rng(0))
        part = allowed_region(scan, LesionReport(organ="colon"), box.slices) & inscribed(box, labels.shape)[box.slices]
        return box, np.ptp(np.argwhere(part), axis=0) + 1

    with pytest.raises(RequestError, match=r"no room for 20 x 20 x 34 mm in colon \(wall\)") as refused:
        put((20.0, 20.0, 34.0))  # .91 of its ellipsoid lie in the 26 mm of the colon
    named = re.search(r"that fits is ([\d.]+) x ([\d.]+) x ([\d.]+) mm", refused.value.line)
    box, spans = put(tuple(float(edge) for edge in present(named).groups()))
    assert (spans >= np.array(box.shape) - np.maximum(1, 0.1 * np.array(box.shape))).all()


def inscribed(box, shape):
    """Voxels of the scan whose centers lie in the box's ellipsoid."""
    index = np.meshgrid(*[np.arange(count) for count in shape], indexing="ij", sparse=True)
    return sum(((i - c) / (n / 2)) ** 2 for i, c, n in zip(index, box.center, box.shape, strict=True)) <= 1


def check(box, report, labels, spacing):
    """The rules of docs/insertion.md, on the whole scan, by other means than the code's."""
    assert all(low >= 0 and high <= count for low, high, count in zip(box.low, box.high, labels.shape, strict=True))
    for count, size, edge in zip(box.shape, report.size_mm, spacing, strict=True):
        assert count == 1 or abs(count * edge - size) <= edge / 2 + 1e-9
    place = place_of(report)
    organ = voxels(labels, MEMBERS.get(report.organ, (report.organ,)))
    center = tuple(low + count // 2 for low, count in zip(box.low, box.shape, strict=True))
    assert organ[center]
    depth = distance_transform_edt(organ, sampling=spacing)
    allowed = organ
    if place == PROTRUDING:
        padded = np.pad(organ, 1, mode="edge")
        around = [np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1] for step in (-1, 1) for axis in range(3)]
        assert not all(neighbour[center] for neighbour in around)
        allowed = organ | voxels(labels, ("soft_tissue", "fat", "background"))
        assert 0.3 <= 1 - organ[inscribed(box, labels.shape)].mean() <= 0.7
    if place == LUMEN:
        assert depth[center] > min(5.0, depth.max() / 2)
    if place == WALL:
        assert depth[center] <= max(5.0, min(n * mm for n, mm in zip(box.shape, spacing, strict=True)) / 2) + 1e-9
        near = distance_transform_edt(~organ, sampling=spacing) <= 5.0
        allowed = organ | (near & voxels(labels, ("soft_tissue", "fat", "background")))
    if report.organ is None:
        allowed = organ | voxels(labels, ("fat",))
    assert allowed[inscribed(box, labels.shape)].mean() >= LEAST[place] - 1e-9


REPORTS = st.builds(
    lambda place, size: LesionReport(organ=place[0], cavity=place[1], size_mm=size),
    st.sampled_from(
        [
            (None, None),
            ("liver", None),
            ("liver", INSIDE),
            ("liver", PROTRUDING),
            ("kidney", INSIDE),
            ("kidney", PROTRUDING),
            ("kidney_left", None),
            ("colon", None),
            ("colon", WALL),
            ("colon", LUMEN),
            ("gallbladder", LUMEN),
        ]
    ),
    st.tuples(*[st.floats(2.0, 30.0)] * 3),
)


def sizes_in(message):
    """The sizes that an error line names: asked for, and the largest that fits."""
    return [tuple(float(edge) for edge in found) for found in re.findall(r"([\d.]+) x ([\d.]+) x ([\d.]+) mm", message)]


def check_request(reports, spacing, codes, seed):
    """A request is granted by the rules, or refused with a size that is granted."""
    scan = organ_map(spacing, codes)
    labels = body(SHAPE)
    try:
        boxes = place_boxes(reports, scan, np.random.default_rng(seed))
    except RequestError as error:
        check_refusal(error, reports, scan, labels, spacing)
        return "refused"
    for box, report in zip(boxes, reports, strict=True):
        check(box, report, labels, spacing)
    taken = np.zeros(SHAPE, dtype=int)
    for box in boxes:
        taken[box.slices] += 1
    assert taken.max() == 1
    return "granted"


def check_refusal(error, reports, scan, labels, spacing):
    number = int(present(re.match(r"lesion (\d)", error.subject))[1]) - 1
    report = reports[number]
    assert (report.organ or "soft tissue") in error.found
    assert "liver" in error.line
    sizes = sizes_in(error.line)
    assert sizes[0] == pytest.approx(report.size_mm, abs=0.01)
    if "beside" in error.found or "nothing fits" in error.limit:
        return
    smaller = report.model_copy(update={"size_mm": sizes[1]})
    assert all(now <= edge + step for now, edge, step in zip(sizes[1], report.size_mm, spacing, strict=True))
    (box,) = place_boxes([smaller], scan, np.random.default_rng(5))
    check(box, smaller, labels, spacing)


REQUESTS = (
    st.lists(REPORTS, min_size=1, max_size=3),
    st.sampled_from((*SPACINGS, (2.0, 2.0, 2.5), (3.0, 2.5, 4.0))),
    st.sampled_from(ORIENTATIONS),
    st.integers(0, 2**32),
)


def check_many(requests):
    """Checks this many random requests; what became of them."""
    verdicts: Counter[str] = Counter()

    @settings(max_examples=requests, deadline=None, derandomize=True, phases=(Phase.generate,))
    @given(*REQUESTS)
    def check_all(reports, spacing, codes, seed):
        verdicts[check_request(reports, spacing, codes, seed)] += 1

    check_all()
    return verdicts


@pytest.mark.parametrize("requests", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_requests_are_granted_by_the_rules_or_refused_with_a_size_that_fits(requests):
    verdicts = check_many(requests)
    assert verdicts["granted"] > 0.2 * requests
    assert verdicts["refused"] > 0.05 * requests


@pytest.mark.slow
def test_a_thinned_search_obeys_the_same_rules(monkeypatch):
    monkeypatch.setattr(search_region, "SEARCH_VOXELS", 2000)
    verdicts = check_many(50)
    assert verdicts["granted"] > 8
    assert verdicts["refused"] > 5


@pytest.mark.parametrize("spacing", SPACINGS)
def test_boxes_are_as_large_in_mm_under_every_spacing_and_orientation(spacing):
    shape = tuple(int(90 / edge) for edge in spacing)
    report = LesionReport(organ="liver", size_mm=(9.0, 13.0, 17.0))
    for codes in ORIENTATIONS[:: 1 if spacing == SPACINGS[0] else 12]:
        scan = organ_map(spacing, codes, body(shape))
        (box,) = place_boxes([report], scan, np.random.default_rng(3))
        edges = np.array(box.shape) * spacing
        assert (np.abs(edges - report.size_mm) <= np.array(spacing) / 2 + 1e-9).all()


def test_the_same_seed_places_the_same_boxes_and_others_differ():
    reports = [LesionReport(organ="liver", size_mm=(9, 9, 9)), LesionReport(organ="kidney", size_mm=(8, 8, 8))]
    placed = [place_boxes(reports, organ_map(codes=codes), np.random.default_rng(1)) for codes in ("RAS", "LPI", "SAR")]
    assert placed[0] == placed[1] == placed[2]
    others = {place_boxes(reports, organ_map(), np.random.default_rng(seed)) for seed in range(20)}
    assert len(others) == 20


def test_every_place_that_holds_the_ellipsoid_is_drawn_alike():
    labels = np.full((12, 9, 9), NAMES["air"], dtype=np.uint8)
    labels[2:10, 3:6, 3:6] = NAMES["liver"]
    scan = organ_map((1.0, 1.0, 1.0), labels=labels)
    report = LesionReport(organ="liver", size_mm=(3.0, 3.0, 3.0))
    rng = np.random.default_rng(0)
    lows = Counter(place_boxes([report], scan, rng)[0].low for _ in range(400))
    assert set(lows) == {(x, 3, 3) for x in range(2, 8)}
    assert all(40 < count < 95 for count in lows.values())


def test_three_boxes_in_an_organ_with_room_for_three():
    labels = np.full((24, 10, 10), NAMES["air"], dtype=np.uint8)
    labels[2:20, 2:8, 2:8] = NAMES["liver"]
    scan = organ_map((1.0, 1.0, 1.0), labels=labels)
    report = LesionReport(organ="liver", size_mm=(5.0, 5.0, 5.0))
    boxes = place_boxes([report] * 3, scan, np.random.default_rng(0))
    assert not any(boxes[i].overlaps(boxes[j]) for i in range(3) for j in range(i))
    with pytest.raises(
        RequestError, match=r"lesion [123]: no room for 17 x 5 x 5 mm in liver \(within\) beside the other lesions; "
    ):
        place_boxes([report.model_copy(update={"size_mm": (17.0, 5.0, 5.0)})] * 3, scan, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (LesionReport(organ="spleen", size_mm=(5, 5, 5)), "lesion 1: no spleen in the organ map .*it has .*, colon"),
        (LesionReport(organ="air", size_mm=(5, 5, 5)), "lesion 1: no lesion lies in air; it has (?!.*air).*colon"),
        (LesionReport(organ="liver"), "lesion 1: says no size"),
        (LesionReport(organ="liver", cavity=LUMEN, size_mm=(5, 5, 5)), "lumen of a hollow organ' in liver, a paren"),
        (LesionReport(organ="colon", cavity=INSIDE, size_mm=(5, 5, 5)), "parenchymal organ' in colon, a hollow organ"),
    ],
)
def test_what_cannot_be_placed_is_refused_by_message(report, message):
    with pytest.raises(RequestError, match=message):
        place_boxes([report], organ_map(), np.random.default_rng(0))


def test_numbers_of_lesions():
    with pytest.raises(RequestError, match="4 lesions; 1 to 3 in a scan"):
        place_boxes([LesionReport()] * 4, organ_map(), np.random.default_rng(0))


def test_soft_tissue_that_is_nowhere():
    labels = body(SHAPE)
    labels[labels == NAMES["soft_tissue"]] = 0
    with pytest.raises(RequestError, match="no soft tissue in the organ map"):
        place_boxes([LesionReport(size_mm=(5, 5, 5))], organ_map(labels=labels), np.random.default_rng(0))


def test_where_a_report_says_nothing_the_usual_place_is_meant():
    assert location_of(LesionReport()) == "within"
    assert location_of(LesionReport(organ="kidney")) == "within"
    assert location_of(LesionReport(organ="colon")) == "wall"
    assert location_of(LesionReport(organ="gallbladder", lesion_type="gallstone")) == "lumen"
    assert location_of(LesionReport(organ="urinary_bladder", features=("stone",))) == "lumen"
    assert location_of(LesionReport(organ="liver", cavity=PROTRUDING)) == "protruding"


def test_lesions_that_are_there_are_left_alone():
    labels = np.full((30, 12, 12), NAMES["air"], dtype=np.uint8)
    labels[2:28, 2:10, 2:10] = NAMES["liver"]
    labels[2:20, 2:10, 2:10] = NAMES["lesion"]
    scan = organ_map((1.0, 1.0, 1.0), labels=labels)
    for seed in range(20):
        (box,) = place_boxes([LesionReport(organ="liver", size_mm=(5, 5, 5))], scan, np.random.default_rng(seed))
        assert box.low[0] >= 20


def test_the_allowed_region_of_each_place():
    scan = organ_map((2.0, 2.0, 2.5))
    labels = body(SHAPE)
    x, y, z = (slice(0, count) for count in SHAPE)
    soft = voxels(labels, ("soft_tissue", "fat"))
    liver, colon = voxels(labels, ("liver",)), voxels(labels, ("colon",))
    near = distance_transform_edt(~colon, sampling=(2.0, 2.0, 2.5)) <= 5.0
    expected: dict[tuple[str | None, Cavity | None], np.ndarray] = {
        (None, None): soft,
        ("liver", INSIDE): liver,
        ("liver", PROTRUDING): liver | soft,
        ("colon", LUMEN): colon,
        ("colon", WALL): colon | (near & soft),
    }
    part = slice(11, 30), slice(9, 33), slice(3, 25)
    for (organ, cavity), mask in expected.items():
        report = LesionReport(organ=organ, cavity=cavity)
        np.testing.assert_array_equal(allowed_region(scan, report, (x, y, z)), mask)
        np.testing.assert_array_equal(allowed_region(scan, report, part), mask[part])


def test_what_an_organ_map_has():
    scan = organ_map()
    assert set(scan.present) == set(NAMES) - {"background", "lesion"}
    assert scan.lesions == (NAMES["lesion"],)
    with pytest.raises(GeometryError, match=r"labels \(3, 3, 3\) on a grid"):
        OrganMap(np.zeros((3, 3, 3), np.uint8), {}, grid((4, 4, 4)), "nobody")


def test_a_box_without_voxels_is_a_mistake():
    with pytest.raises(ValueError, match="holds no voxel"):
        Box((1, 2, 3), (4, 2, 9))
    assert Box((0, 0, 0), (4, 4, 4)).overlaps(Box((3, 3, 3), (5, 5, 5)))
    assert not Box((0, 0, 0), (4, 4, 4)).overlaps(Box((4, 0, 0), (5, 5, 5)))


@pytest.mark.parametrize("edge", [4.0, 8.0, 9.0, 12.0])
def test_a_lesion_of_one_or_two_thick_slices_finds_room(edge):
    labels = np.full((40, 40, 8), NAMES["bone"], np.uint8)
    labels[4:-4, 4:-4, 1:-1] = NAMES["liver"]
    scan = organ_map((0.7, 0.7, 5.0), labels=labels)
    (box,) = place_boxes((LesionReport(organ="liver", size_mm=(edge,) * 3),), scan, np.random.default_rng(0))
    assert box.shape == tuple(round(edge / voxel) for voxel in (0.7, 0.7, 5.0))


@pytest.mark.parametrize(("edge", "said"), [(0.5, "0.5"), (0.0001, "0.0001")])
def test_a_lesion_of_half_a_voxel_is_refused(edge, said):
    report = LesionReport(organ="liver", size_mm=(edge,) * 3)
    with pytest.raises(RequestError) as refused:
        place_boxes((report,), organ_map((1.0, 1.0, 2.0)), np.random.default_rng(0))
    size = " x ".join([said] * 3)
    assert refused.value.line.startswith(f"lesion 1: {size} mm in voxels of 1 x 1 x 2 mm; a scan shows nothing of half")
