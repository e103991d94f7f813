"""From a field to a lesion in a scan, with painters whose paint is known."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from medsmith.case import Geometry
from medsmith.conditioning.schema import LesionReport
from medsmith.insertion.box import Box
from medsmith.insertion.organ_map import OrganMap
from medsmith.measuring.density import DensityMeasures
from medsmith.methods.lesiondiffusion.config import FrameConfig, MaskConfig
from medsmith.methods.lesiondiffusion.drawing import Artist, EllipsoidShaper
from medsmith.methods.lesiondiffusion.inserting import BLEND_MM, Scan, insert_lesion, level
from medsmith.methods.lesiondiffusion.judging import stands_out
from medsmith.methods.lesiondiffusion.shaping import LEVELS, ellipsoid, stretched, voxels_of
from medsmith.methods.lesiondiffusion.site import _closed, cube_about, look_around

LIVER, LESION = 1, 9
REACH = 2.0
CUBES = (FrameConfig(), FrameConfig(finest_mm=1.0))


@dataclass(frozen=True)
class Fill:
    """Paints the lesion with one value, softly at its border; remembers the seeds it was given."""

    hu: float
    seeds: list[int] = field(default_factory=list)

    def __call__(self, image, share, frame, report, seed):  # noqa: ARG002
        self.seeds.append(seed)
        return (image * (1 - share) + self.hu * share).astype(np.float32)


@dataclass(frozen=True)
class Keep:
    """Paints nothing."""

    def __call__(self, image, share, frame, report, seed):  # noqa: ARG002
        return image


def scan(seed=0, spacing=(1.0, 1.0, 1.0), edge=56, noise=10.0):
    rng = np.random.default_rng(seed)
    image = np.rint(60 + noise * rng.standard_normal((edge,) * 3)).astype(np.float32)
    labels = np.zeros(image.shape, np.uint8)
    labels[4:-4, 4:-4, 4:-4] = LIVER
    geometry = Geometry(image.shape, np.diag([*spacing, 1.0]))
    organ_map = OrganMap(labels.copy(), {"liver": LIVER}, geometry, "test")
    return Scan(image, labels, organ_map, LESION, np.dtype(np.int16))


def artist(paint, reach=REACH):
    return Artist(EllipsoidShaper(), paint, CUBES, reach, (0.0,))


def report(edges, **said):
    return LesionReport(organ="liver", size_mm=edges, cavity="within the parenchymal organ", **said)


@settings(max_examples=25, deadline=None)
@given(
    edges=st.tuples(*[st.integers(12, 30)] * 3),
    spacing=st.tuples(*[st.sampled_from([0.8, 1.0, 1.3])] * 3),
    seed=st.integers(0, 999),
)
def test_a_field_is_stretched_to_its_box(edges, spacing, seed):
    geometry = Geometry((64, 64, 64), np.diag([*spacing, 1.0]))
    low = tuple(32 - edge // 2 for edge in edges)
    box = Box(low, tuple(a + b for a, b in zip(low, edges, strict=True)))
    frame = cube_about(box, geometry, FrameConfig())
    made = stretched(ellipsoid(frame, box, np.random.default_rng(seed)), frame, box)
    region = frame.region
    allowed = np.ones([part.stop - part.start for part in region], dtype=bool)
    mask = voxels_of(made, frame, box, allowed, (0.0,))
    for axis, (part, low_edge, high_edge) in enumerate(zip(region, box.low, box.high, strict=True)):
        (hits,) = np.nonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        slack = 1 + frame.spacing_mm / spacing[axis]
        assert abs(part.start + hits[0] - low_edge) <= slack
        assert abs(part.start + hits[-1] + 1 - high_edge) <= slack


def test_of_several_levels_the_one_of_the_ellipsoids_volume_is_taken():
    geometry = Geometry((40, 40, 40), np.eye(4))
    box = Box((10, 10, 10), (30, 30, 30))
    frame = cube_about(box, geometry, FrameConfig())
    centre = (frame.size - 1) / 2
    place = np.stack(np.meshgrid(*[np.arange(frame.size) - centre] * 3, indexing="ij")) * frame.spacing_mm
    cone = (1 - np.linalg.norm(place, axis=0) / 12.0).astype(np.float32)
    allowed = np.ones([part.stop - part.start for part in frame.region], dtype=bool)
    wanted = np.pi / 6 * 20**3
    volumes = {level: voxels_of(cone, frame, box, allowed, (level,)).sum() for level in LEVELS}
    chosen = voxels_of(cone, frame, box, allowed, LEVELS).sum()
    assert abs(chosen - wanted) == min(abs(volume - wanted) for volume in volumes.values())
    assert chosen != volumes[LEVELS[0]]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.5)])
def test_nothing_changes_outside_the_margin_and_the_lesion_is_the_label(spacing):
    made = scan(spacing=spacing)
    image, labels = made.image.copy(), made.labels.copy()
    box = Box((20, 20, 24), (34, 36, 32))
    record = insert_lesion(made, report((12.0, 12.0, 12.0)), box, artist(Fill(140.0)), seed=3, draws=1)
    lesion = made.labels == LESION
    assert int(lesion.sum()) == record["voxels"] > 100
    assert np.array_equal(made.labels[~lesion], labels[~lesion])
    assert (labels[lesion] == LIVER).all()
    far = distance_transform_edt(~lesion, sampling=spacing) > REACH + BLEND_MM + max(spacing)
    assert np.array_equal(made.image[far], image[far])
    core = distance_transform_edt(lesion, sampling=spacing) > 3
    assert made.image[core].mean() == pytest.approx(140, abs=5)
    assert np.array_equal(made.image, np.rint(made.image))


@dataclass(frozen=True)
class Blurred:
    """Paints 140 HU where the share is, with an edge that fades over two voxels of the cube on either side."""

    def __call__(self, image, share, frame, report, seed):  # noqa: ARG002
        soft = gaussian_filter(share, 1.6 / frame.spacing_mm)
        return (image + soft * (140.0 - image)).astype(np.float32)


def test_a_sharp_lesion_is_cut_by_its_mask_and_a_soft_one_is_not():
    box, size = Box((16, 16, 16), (40, 40, 40)), (24.0, 24.0, 24.0)
    widths, outside = {}, {}
    for surface in ("well-defined margin", "ill-defined margin"):
        made = scan(noise=3.0)
        before = made.image.copy()
        record = insert_lesion(made, report(size, surface=surface), box, artist(Blurred()), seed=3, draws=1)
        widths[surface] = record["got"]["measured"]["margin_width_mm"]
        far = distance_transform_edt(made.labels != LESION) > 1.8
        outside[surface] = int((made.image != before)[far].sum())
    assert widths["well-defined margin"] < 2.3 < 3.0 < widths["ill-defined margin"]
    assert outside["well-defined margin"] == 0 < outside["ill-defined margin"]


@pytest.mark.parametrize("edge", [5.0, 24.0])
def test_a_lesion_has_the_ct_value_that_is_asked_for(edge):
    made, side = scan(noise=3.0), int(edge)
    box = Box((16, 16, 16), (16 + side,) * 3)
    insert_lesion(made, report((edge,) * 3, ct_value_hu=31.0), box, artist(Fill(140.0)), seed=3, draws=1)
    depth = distance_transform_edt(made.labels == LESION)
    assert made.image[depth > (1.75 if edge > 10 else 0)].mean() == pytest.approx(31, abs=0.6)


def test_the_level_fades_over_the_margin():
    mask = np.zeros((24, 24, 24), bool)
    mask[8:16, 8:16, 8:16] = True
    image = np.where(mask, 100.0, 40.0).astype(np.float32)
    added = np.asarray(level(image, mask, (1.0, 1.0, 1.0), 60.0, 3.0))
    assert np.allclose(added[mask], -40)
    beside = added[16:20, 12, 12]
    assert beside[-2:] == pytest.approx([0, 0])
    assert (np.diff(beside) >= 0).all()
    assert level(image, mask, (1.0, 1.0, 1.0), None, 3.0) == 0


def test_a_lesion_is_as_grainy_as_its_scan():
    made = scan(noise=12.0, spacing=(0.5, 0.5, 0.5), edge=70)
    box = Box((15, 15, 15), (55, 55, 55))
    insert_lesion(made, report((20.0, 20.0, 20.0)), box, artist(Fill(120.0)), seed=3, draws=1)
    core = distance_transform_edt(made.labels == LESION) > 6
    assert made.image[core].std() == pytest.approx(12, rel=0.15)


def test_an_earlier_lesion_is_not_painted_over():
    made = scan()
    first = Box((14, 14, 14), (34, 34, 34))
    insert_lesion(made, report((20.0, 20.0, 20.0)), first, artist(Fill(140.0)), seed=1, draws=1)
    there = made.labels == LESION
    second = Box((30, 30, 30), (44, 44, 44))
    record = insert_lesion(made, report((14.0, 14.0, 14.0)), second, artist(Fill(20.0)), seed=2, draws=1)
    assert int((made.labels == LESION).sum()) == int(there.sum()) + record["voxels"]


def test_a_miss_is_drawn_again_and_the_record_says_asked_got_and_passed():
    paint = Fill(140.0)
    asked = report((16.0, 16.0, 16.0), density="hypodense")
    record = insert_lesion(scan(), asked, Box((20, 20, 20), (36, 36, 36)), artist(paint), seed=1, draws=4)
    assert (record["draws"], record["passed"], record["visible"]) == (4, False, True)
    assert len(set(paint.seeds)) == 4
    verdicts = {verdict["attribute"]: verdict for verdict in record["verdicts"]}
    assert record["got"]["ct_value_hu"] == pytest.approx(140, abs=5)
    assert verdicts["density"] == {"attribute": "density", "asked": "hypodense", "got": "hyperdense", "passed": False}
    good = report((16.0, 16.0, 16.0), ct_value_hu=140.0, density="hyperdense")
    record = insert_lesion(scan(), good, Box((20, 20, 20), (36, 36, 36)), artist(Fill(140.0)), seed=1, draws=4)
    assert (record["draws"], record["passed"]) == (1, True), record["verdicts"]


def test_a_lesion_that_nobody_sees_does_not_pass_unless_it_was_to_be_isodense():
    box = Box((20, 20, 20), (36, 36, 36))
    hidden = insert_lesion(scan(), report((16.0, 16.0, 16.0)), box, artist(Keep()), seed=1, draws=2)
    assert (hidden["visible"], hidden["passed"]) == (False, False)
    meant = report((16.0, 16.0, 16.0), density="isodense")
    assert insert_lesion(scan(), meant, box, artist(Keep()), seed=1, draws=2)["visible"]


def test_what_stands_out_follows_roses_criterion():
    def measured(contrast, noise):
        return DensityMeasures(0, 0, 0, 0, contrast, noise, 0.0, None, None)

    assert stands_out(measured(10.0, 20.0), 100)
    assert not stands_out(measured(10.0, 20.0), 99)
    assert stands_out(measured(-10.0, 20.0), 100)


def test_texture_stands_out_by_five_standard_errors_of_the_noises_variance():
    def measured(heterogeneity):
        return DensityMeasures(0, 0, 0, 0, 0.0, 10.0, heterogeneity, None, None)

    rng = np.random.default_rng(0)
    variances = (10.0 * rng.standard_normal((4000, 200))).var(axis=1)
    least = np.sqrt(5 * variances.std())
    assert stands_out(measured(1.03 * least), 200)
    assert not stands_out(measured(0.97 * least), 200)


def test_the_same_seed_gives_the_same_scan():
    box, asked = Box((20, 20, 20), (36, 36, 36)), report((16.0, 16.0, 16.0))
    first, again, other = scan(), scan(), scan()
    for each, seed in ((first, 5), (again, 5), (other, 6)):
        insert_lesion(each, asked, box, artist(Fill(140.0)), seed=seed, draws=1)
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.labels, other.labels)


def test_the_site_shows_the_organ_whole_and_does_not_show_the_lesion():
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[5:35, 5:35, 5:35] = 1
    labels[26:35, :, :] = 2
    lesion = np.zeros(labels.shape, bool)
    lesion[15:25, 16:24, 15:22] = True
    names = {"background": 0, "liver": 1, "stomach": 2, "lesion": 3, "bone": 4}
    box = Box((15, 16, 15), (25, 24, 22))
    frame = cube_about(box, Geometry(labels.shape, np.eye(4)), FrameConfig())

    def site(volume, organ="liver"):
        return look_around(volume, names, frame, frame.inside(box), organ, MaskConfig())

    healthy, sick = site(labels), site(np.where(lesion, 3, labels).astype(np.uint8))
    assert np.array_equal(healthy.organ, sick.organ)
    assert np.array_equal(healthy.around, sick.around)
    assert healthy.around[1].any()
    assert not healthy.around[0].any()
    assert site(labels, organ="pancreas").organ.all()


def test_a_closing_is_a_dilation_and_an_erosion_by_a_ball():
    rng = np.random.default_rng(1)
    mask = binary_dilation(rng.random((18, 18, 18)) > 0.995, iterations=2)
    radius = 3
    ball = np.linalg.norm(np.indices((7, 7, 7)) - 3, axis=0) <= radius
    padded = np.pad(mask, 2 * radius, mode="edge")
    grown = binary_dilation(padded, ball)
    closed = ~binary_dilation(~grown, ball)
    inner = slice(2 * radius, -2 * radius)
    assert np.array_equal(_closed(mask, radius)[4:-4, 4:-4, 4:-4], closed[inner, inner, inner][4:-4, 4:-4, 4:-4])
