"""From a field to a lesion in a scan, with samplers whose intensities are known."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter

from medsmith.cases.case import Case
from medsmith.cases.case_ref import CaseRef
from medsmith.cases.cohort import Cohort
from medsmith.errors import RequestError
from medsmith.geometry import Geometry
from medsmith.insertion.box import Box
from medsmith.insertion.edge import SOFT_EDGE_MM
from medsmith.insertion.frame import FrameConfig
from medsmith.insertion.organ_map import OrganMap
from medsmith.methods.lesiondiffusion.generator import EllipsoidSampler, LesionGenerator
from medsmith.methods.lesiondiffusion.insert_lesion import TargetScan, insert_lesion
from medsmith.methods.lesiondiffusion.request import LesionDiffusionRequest
from medsmith.methods.lesiondiffusion.synthesis import synthesize_from_template
from medsmith.reports.schema import LesionReport
from narrowing import present

LIVER, FAT, BONE, LESION = 1, 2, 3, 9
CUBES = (FrameConfig(), FrameConfig(finest_mm=1.0))


@dataclass(frozen=True)
class Fill:
    """Fills the lesion with one value, softly at its border; remembers the seeds it was given."""

    hu: float
    seeds: list[int] = field(default_factory=list)

    def __call__(self, image, share, frame, report, level, seed):  # noqa: ARG002
        self.seeds.append(seed)
        return (image * (1 - share) + self.hu * share).astype(np.float32)


@dataclass(frozen=True)
class Halves:
    """Fills one half of the lesion with 80 HU and the other with 200 HU."""

    def __call__(self, image, share, frame, report, level, seed):  # noqa: ARG002
        hu = np.where(np.arange(len(image)) < len(image) // 2, 80.0, 200.0)[:, None, None]
        return (image * (1 - share) + hu * share).astype(np.float32)


@dataclass(frozen=True)
class Listen:
    """Remembers the reports and the densities of the organ that it was given."""

    heard: list[LesionReport] = field(default_factory=list)
    levels: list[float | None] = field(default_factory=list)

    def __call__(self, image, share, frame, report, level, seed):  # noqa: ARG002
        self.heard.append(report)
        self.levels.append(level)
        return (image * (1 - share) + 140.0 * share).astype(np.float32)


@dataclass(frozen=True)
class Keep:
    """Leaves the cube as it is."""

    def __call__(self, image, share, frame, report, level, seed):  # noqa: ARG002
        return image


def scan(seed=0, spacing=(1.0, 1.0, 1.0), edge=56, noise=10.0):
    rng = np.random.default_rng(seed)
    image = np.rint(60 + noise * rng.standard_normal((edge,) * 3)).astype(np.float32)
    labels = np.zeros(image.shape, np.uint8)
    labels[4:-4, 4:-4, 4:-4] = LIVER
    geometry = Geometry(image.shape, np.diag([*spacing, 1.0]))
    organ_map = OrganMap(labels.copy(), {"liver": LIVER}, geometry, "test")
    return TargetScan(image, labels, organ_map, LESION, (LESION,), np.dtype(np.int16))


def generator(sampler):
    return LesionGenerator(EllipsoidSampler(), sampler, CUBES, (0.0,))


def report(edges, **said):
    return LesionReport(organ="liver", size_mm=edges, cavity="within the parenchymal organ", **said)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.5)])
def test_nothing_changes_outside_the_margin_and_the_lesion_is_the_label(spacing):
    made = scan(spacing=spacing)
    image, labels = made.image.copy(), made.labels.copy()
    box = Box((20, 20, 24), (34, 36, 32))
    record = insert_lesion(made, report((12.0, 12.0, 12.0)), box, generator(Fill(140.0)), seed=3, attempts=1)
    lesion = made.labels == LESION
    assert int(lesion.sum()) == record["voxels"] > 100
    assert np.array_equal(made.labels[~lesion], labels[~lesion])
    assert (labels[lesion] == LIVER).all()
    far = distance_transform_edt(~lesion, sampling=spacing) > SOFT_EDGE_MM / 2 + max(spacing)
    assert np.array_equal(made.image[far], image[far])
    core = distance_transform_edt(lesion, sampling=spacing) > 3
    assert made.image[core].mean() == pytest.approx(140, abs=5)
    assert np.array_equal(made.image, np.rint(made.image))


@pytest.mark.parametrize(
    ("shown", "said", "heard"),
    [
        ("enhanced CT", None, "enhanced CT"),
        ("non-contrast CT", "enhanced CT", "non-contrast CT"),
        (None, "enhanced CT", "enhanced CT"),
    ],
)
def test_the_enhancement_that_linet_reads_is_that_of_the_scan(shown, said, heard):
    listener, box = Listen(), Box((20, 20, 24), (34, 36, 32))
    asked = report((12.0, 12.0, 12.0), enhancement=said)
    insert_lesion(replace(scan(), enhancement=shown), asked, box, generator(listener), seed=3, attempts=1)
    assert listener.heard == [asked.model_copy(update={"enhancement": heard})]


def test_the_density_of_the_organ_that_linet_is_told_is_its_median_beside_the_lesion():
    listener, box = Listen(), Box((20, 20, 24), (34, 36, 32))
    made = scan(noise=0)
    made.image[made.labels == LIVER] += 7  # 67 HU in the liver, 60 HU around it
    insert_lesion(made, report((12.0, 12.0, 12.0)), box, generator(listener), seed=3, attempts=1)
    assert listener.levels == [67.0]


@dataclass(frozen=True)
class Blurred:
    """140 HU where the share is, with an edge that fades over two voxels of the cube on either side."""

    def __call__(self, image, share, frame, report, level, seed):  # noqa: ARG002
        soft = gaussian_filter(share, 1.6 / frame.spacing_mm)
        return (image + soft * (140.0 - image)).astype(np.float32)


def beside(labels_beyond, hu_beyond, first, names, hu, noise):
    """A scan of one organ of a density, and of something else from a plane on."""
    made = scan(noise=noise)
    made.image[:] = np.rint(made.image - 60 + hu)
    made.image[first:] += hu_beyond - hu
    labels = np.full_like(made.labels, LIVER)
    labels[first:] = labels_beyond
    organ_map = OrganMap(labels.copy(), names, made.organ_map.geometry, "test")
    return TargetScan(made.image, labels, organ_map, LESION, (LESION,), np.dtype(np.int16))


SURFACES = ("well-defined margin", "ill-defined margin")


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("size", [8, 24])
def test_the_mask_covers_what_is_visibly_changed_and_no_more(surface, size):
    made = scan(noise=0.0)
    before = made.image.copy()
    box = Box((16, 16, 16), (16 + size,) * 3)
    asked = report((float(size),) * 3, surface=surface, ct_value_hu=140.0)
    record = insert_lesion(made, asked, box, generator(Blurred()), seed=3, attempts=1)
    lesion, change = made.labels == LESION, made.image - before
    assert int((change[~lesion] > 40).sum()) == 0  # half the contrast
    assert int((change[lesion] < 39).sum()) == 0
    if size == 24:
        assert np.abs(change[distance_transform_edt(lesion) > (2 if surface == SURFACES[0] else 4)] - 80).max() <= 2
        width = record["measured"]["measured"]["margin_width_mm"]
        assert (width < 2.3) == (surface == SURFACES[0])
    if surface == SURFACES[0]:
        assert len(np.unique(change)) > 10  # voxels that are part lesion, part liver
        outside = distance_transform_edt(~lesion)
        assert np.abs(change[outside > 1.8]).max() <= 2  # what the scanner blurs over a second voxel
        assert not change[outside > 2.5].any()


@pytest.mark.parametrize("contrast", [-25.0, 25.0])
def test_an_ill_defined_lesion_fades_as_far_in_a_noisy_scan_as_it_should(contrast):
    made = scan(noise=12.0)
    before, box = made.image.copy(), Box((16, 16, 16), (40, 40, 40))
    asked = report((24.0,) * 3, surface="ill-defined margin", ct_value_hu=60 + contrast)
    insert_lesion(made, asked, box, generator(Fill(60 + contrast)), seed=3, attempts=1)
    lesion = made.labels == LESION
    beside = ~lesion & (distance_transform_edt(~lesion) <= 1.5)
    share = (made.image - before)[beside].mean() / contrast
    assert 0.24 < share < 0.36  # .34 without noise
    assert 10.5 < made.image[beside].std() < 14.5


@pytest.mark.parametrize(
    ("surface", "hu", "words"),
    [
        ("well-defined margin", 40.0, "isodense soft tissue mass"),
        ("ill-defined margin", -600.0, "low-density ground-glass opacity"),
    ],
)
def test_a_nodule_at_the_chest_wall_is_solid_or_ground_glass_and_leaves_the_wall_alone(surface, hu, words):
    made = beside(BONE, 60.0, 38, {"lung_left": LIVER, "bone": BONE}, hu=-850.0, noise=8.0)
    before = made.image.copy()
    asked = LesionReport(
        organ="lung_left", size_mm=(18.0,) * 3, cavity="within the parenchymal organ", surface=surface, density=words,
        density_variation="homogeneous", ct_value_hu=hu,
    )  # fmt: skip
    record = insert_lesion(made, asked, Box((24, 20, 20), (42, 38, 38)), generator(Blurred()), seed=3, attempts=1)
    verdicts = {verdict["attribute"]: verdict["passed"] for verdict in record["verdicts"]}
    assert verdicts["density"], record["verdicts"]
    assert verdicts["density_variation"], record["verdicts"]
    assert verdicts["ct_value_hu"], record["verdicts"]
    np.testing.assert_array_equal(made.image[38:], before[38:])
    lesion = made.labels == LESION
    assert not lesion[38:].any()
    inner = distance_transform_edt(lesion[37]) > 3
    assert inner.sum() > 20
    assert made.image[37][inner].mean() == pytest.approx(hu, abs=15)  # no dark seam between nodule and wall


def test_fat_and_organ_below_a_lesion_do_not_shine_through():
    made = beside(FAT, -100.0, 28, {"liver": LIVER, "fat": FAT}, hu=60.0, noise=5.0)
    asked = LesionReport(
        organ="liver", size_mm=(20.0,) * 3, cavity="protruding from the parenchymal organ", density="hypodense",
        density_variation="homogeneous", surface="well-defined margin",
    )  # fmt: skip
    record = insert_lesion(made, asked, Box((18, 18, 18), (38, 38, 38)), generator(Fill(30.0)), seed=3, attempts=1)
    assert record["passed"], record["verdicts"]
    assert record["measured"]["organ"] == "liver"
    assert record["measured"]["measured"]["surroundings_hu"] == pytest.approx(60, abs=2)
    deep = distance_transform_edt(made.labels == LESION) > 3
    halves = made.image[:28][deep[:28]], made.image[28:][deep[28:]]
    assert halves[0].mean() == pytest.approx(halves[1].mean(), abs=2)


@pytest.mark.parametrize("edge", [5.0, 24.0])
def test_a_lesion_has_the_ct_value_that_is_asked_for(edge):
    made, side = scan(noise=3.0), int(edge)
    box = Box((16, 16, 16), (16 + side,) * 3)
    insert_lesion(made, report((edge,) * 3, ct_value_hu=31.0), box, generator(Fill(140.0)), seed=3, attempts=1)
    depth = distance_transform_edt(made.labels == LESION)
    assert made.image[depth > (1.75 if edge > 10 else 1.5)].mean() == pytest.approx(31, abs=0.6 if edge > 10 else 3)


def test_a_lesion_is_as_grainy_as_its_scan():
    made = scan(noise=12.0, spacing=(0.5, 0.5, 0.5), edge=70)
    box = Box((15, 15, 15), (55, 55, 55))
    insert_lesion(made, report((20.0, 20.0, 20.0)), box, generator(Fill(120.0)), seed=3, attempts=1)
    core = distance_transform_edt(made.labels == LESION) > 6
    assert made.image[core].std() == pytest.approx(12, rel=0.15)


def test_an_earlier_lesion_is_not_painted_over():
    made = scan()
    first = Box((14, 14, 14), (34, 34, 34))
    insert_lesion(made, report((20.0, 20.0, 20.0)), first, generator(Fill(140.0)), seed=1, attempts=1)
    there = made.labels == LESION
    second = Box((30, 30, 30), (44, 44, 44))
    record = insert_lesion(made, report((14.0, 14.0, 14.0)), second, generator(Fill(20.0)), seed=2, attempts=1)
    assert int((made.labels == LESION).sum()) == int(there.sum()) + record["voxels"]


def test_a_miss_is_drawn_again_and_the_record_says_asked_got_and_passed():
    paint = Fill(140.0)
    requested = report((16.0, 16.0, 16.0), density="hypodense", ct_value_hu=140.0)
    record = insert_lesion(scan(), requested, Box((20, 20, 20), (36, 36, 36)), generator(paint), seed=1, attempts=4)
    assert (record["attempts"], record["passed"], record["visible"]) == (4, False, True)
    assert len(set(paint.seeds)) == 4
    verdicts = {verdict["attribute"]: verdict for verdict in record["verdicts"]}
    assert record["measured"]["ct_value_hu"] == pytest.approx(140, abs=1)
    assert verdicts["density"] == {
        "attribute": "density",
        "requested": "hypodense",
        "measured": "hyperdense",
        "passed": False,
    }
    good = report((16.0, 16.0, 16.0), ct_value_hu=140.0, density="hyperdense")
    record = insert_lesion(scan(), good, Box((20, 20, 20), (36, 36, 36)), generator(Fill(140.0)), seed=1, attempts=4)
    assert (record["attempts"], record["passed"]) == (1, True), record["verdicts"]


def test_what_nobody_asked_for_is_tried_and_does_not_refuse():
    asked = report((16.0, 16.0, 16.0), density="hypodense", ct_value_hu=140.0)
    box = Box((20, 20, 20), (36, 36, 36))
    record = insert_lesion(scan(), asked, box, generator(Fill(140.0)), seed=1, attempts=2, drawn=("density",))
    assert (record["attempts"], record["passed"], record["drawn"]) == (2, True, ["density"])
    assert [verdict["attribute"] for verdict in record["verdicts"] if not verdict["passed"]] == ["density"]


def test_a_denied_feature_that_is_measured_does_not_pass():
    """Half of the lesion is 120 HU denser than the other: areas of decreased density, though weakened."""
    denied = ("presence of decreased density areas",)
    box = Box((16, 16, 16), (40, 40, 40))
    asked = report((24.0, 24.0, 24.0))
    found = insert_lesion(scan(noise=3.0), asked, box, generator(Halves()), seed=1, attempts=2, denied=denied)
    assert (found["attempts"], found["passed"]) == (2, False)
    assert {"attribute": "without", "requested": denied[0], "measured": denied[0], "passed": False} in found["verdicts"]
    plain = insert_lesion(scan(noise=3.0), asked, box, generator(Fill(140.0)), seed=1, attempts=2, denied=denied)
    assert plain["verdicts"][-1]["passed"]


def scan_case(made, names):
    return Case("scan", made.image[None], made.labels, made.organ_map.geometry, ("CT",), names, np.dtype(np.int16))


@pytest.mark.parametrize(
    ("lesion", "line"),
    [
        (
            LesionReport(organ="kidney_left", size_mm=(55.0,) * 3, shape=("cystic",), lesion_type="kidney cyst",
                         cavity="within the parenchymal organ"),
            "lesion 1: no room for 55 x 55 x 55 mm",
        ),
        (
            LesionReport(organ="kidney_left", size_mm=(12.0,) * 3, density="hypodense", ct_value_hu=120.0),
            "'hypodense' contradicts a mean of 120 HU; the left kidney of this scan has 60 HU",
        ),
    ],
)  # fmt: skip
def test_what_the_scan_cannot_hold_is_refused_before_anything_is_drawn(tmp_path, lesion, line):
    made, names = scan(edge=80), {"background": 0, "kidney_left": LIVER}
    made.labels[:] = np.where(np.linalg.norm(np.indices(made.labels.shape) - 39.5, axis=0) <= 22.5, LIVER, 0)
    made.image[:3] = -1000  # air
    cohort = Cohort.create(tmp_path / "scans", channel_names=("CT",), label_names=names, file_ending=".nii.gz")
    cohort.write(scan_case(made, names))
    cohort.finish()
    request = LesionDiffusionRequest(templates=CaseRef(cohort=tmp_path / "scans"), lesions=(lesion,))
    paint = Fill(20.0)
    with pytest.raises(RequestError) as refused:
        synthesize_from_template(request, (names, "lesion"), generator(paint), seed=1)
    assert line in refused.value.line
    assert not paint.seeds


def test_the_record_of_a_lesion_says_that_its_lobe_is_not_in_the_map(tmp_path):
    made, names = scan(edge=80), {"background": 0, "lung_left": LIVER}
    made.image[:3] = -1000  # air
    cohort = Cohort.create(tmp_path / "scans", channel_names=("CT",), label_names=names, file_ending=".nii.gz")
    cohort.write(scan_case(made, names))
    cohort.finish()
    asked = LesionReport(organ="lung_lower_lobe_left", size_mm=(12.0,) * 3, density="isodense soft tissue mass")
    request = LesionDiffusionRequest(templates=CaseRef(cohort=tmp_path / "scans"), lesions=(asked,), attempts=1)
    case = synthesize_from_template(request, (names, "lesion"), generator(Fill(40.0)), seed=1)
    (record,) = present(case.provenance)["lesions"]
    told = "lower lobe of the left lung: placed anywhere in the left lung; the organ map has no lobes"
    assert (record["note"], record["requested"]["organ"]) == (told, "lung_left")


def test_a_lesion_that_nobody_sees_does_not_pass_unless_it_was_to_be_isodense():
    box = Box((20, 20, 20), (36, 36, 36))
    hidden = insert_lesion(scan(), report((16.0, 16.0, 16.0)), box, generator(Keep()), seed=1, attempts=2)
    assert (hidden["visible"], hidden["passed"]) == (False, False)
    for density in ("isodense", "isodense soft tissue mass"):
        meant = report((16.0, 16.0, 16.0), density=density)
        assert insert_lesion(scan(), meant, box, generator(Keep()), seed=1, attempts=2)["visible"]


def test_the_same_seed_gives_the_same_scan():
    box, requested = Box((20, 20, 20), (36, 36, 36)), report((16.0, 16.0, 16.0))
    first, again, other = scan(), scan(), scan()
    for each, seed in ((first, 5), (again, 5), (other, 6)):
        insert_lesion(each, requested, box, generator(Fill(140.0)), seed=seed, attempts=1)
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.labels, other.labels)
