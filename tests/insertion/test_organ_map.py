"""Organ maps from every source: a template, a file, TotalSegmentator, densities alone."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from insertion_scans import NAMES, ORIENTATIONS, body, grid, oriented
from medsmith.cases.canonical import canonical_geometry, canonical_view
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import ContentError, FileError, GeometryError, RequestError
from medsmith.geometry import Geometry
from medsmith.insertion.boxes import place_boxes
from medsmith.insertion.coarse_map import block_means, coarse_map
from medsmith.insertion.completing import completed
from medsmith.insertion.organ_file import read_organ_map
from medsmith.insertion.organ_map import OrganMap, organ_map_from_case
from medsmith.insertion.totalsegmentator import segment
from medsmith.reports.organs import V1, V2, labels_of
from medsmith.reports.schema import LesionReport

SPACING = (3.0, 3.0, 4.0)


def chest(shape=(110, 80, 60), noise=15.0):
    """A CT of a chest: fat around muscle, two lungs with a vessel, a spine with marrow, a couch, air around."""
    places = np.meshgrid(*[(np.arange(count) + 0.5) / count for count in shape], indexing="ij", sparse=True)

    def inside(center, radii):
        return sum(((place - c) / r) ** 2 for place, c, r in zip(places, center, radii, strict=True)) <= 1

    truth = np.full(shape, "air", dtype="<U12")
    truth[inside((0.5, 0.55, 0.5), (0.44, 0.38, 5))] = "fat"
    truth[inside((0.5, 0.55, 0.5), (0.4, 0.33, 5))] = "soft_tissue"
    truth[inside((0.28, 0.57, 0.5), (0.14, 0.22, 0.4))] = "lung_left"
    truth[inside((0.72, 0.57, 0.5), (0.14, 0.22, 0.4))] = "lung_right"
    truth[inside((0.5, 0.32, 0.5), (0.05, 0.07, 5))] = "bone"
    density = {"air": -1000, "fat": -100, "soft_tissue": 45, "lung_left": -820, "lung_right": -820, "bone": 600}
    hu = np.vectorize(density.__getitem__)(truth).astype(np.float32)
    hu[inside((0.5, 0.32, 0.5), (0.025, 0.035, 5))] = 120  # marrow
    hu[inside((0.3, 0.57, 0.5), (0.012, 0.012, 0.25))] = 40  # a vessel in the left lung
    hu[10:-10, 3:5] = -150  # the couch
    return hu + np.random.default_rng(0).normal(0, noise, shape).astype(np.float32), truth


@pytest.fixture(scope="module")
def scan():
    hu, truth = chest()
    return hu, truth, grid(hu.shape, SPACING)


def test_densities_alone_tell_lungs_bone_soft_tissue_fat_and_air(scan):
    hu, truth, geometry = scan
    found = coarse_map(hu, geometry)
    assert found.coarse == tuple(found.names)
    assert "coarse" in found.source
    for name in ("air", "fat", "soft_tissue", "bone", "lung_left", "lung_right"):
        got, wanted = found.labels == found.names[name], truth == name
        dice = 2 * (got & wanted).sum() / (got.sum() + wanted.sum())
        assert dice > 0.93, (name, dice)
    assert labels_of("lung", found.names) == (found.names["lung_left"], found.names["lung_right"])


def test_thin_and_thick_voxels_give_the_same_map():
    thin, _ = chest((220, 160, 60))
    labels = coarse_map(thin, grid(thin.shape, (1.0, 1.0, 4.0))).labels
    assert (labels.reshape(110, 2, 80, 2, 60) == labels[::2, ::2].reshape(110, 1, 80, 1, 60)).all()


def test_block_means_are_means_over_blocks():
    image = np.random.default_rng(0).normal(size=(7, 6, 5)).astype(np.float32)
    means = block_means(image, (3, 2, 2))
    assert means.shape == (3, 3, 3)
    assert means[1, 2, 0] == pytest.approx(image[3:6, 4:6, :2].mean(), abs=1e-6)
    assert means[2, 1, 2] == pytest.approx(image[6:, 2:4, 4:].mean(), abs=1e-6)


def test_the_left_lung_is_the_patients_left_in_every_orientation(scan):
    hu, _, canonical = scan
    for codes in ("RAS", "LPS", "SAL", "IPR"):
        geometry, to_file = oriented(canonical, codes)
        stored = nib.orientations.apply_orientation(hu, to_file)
        found = coarse_map(canonical_view(stored, geometry), canonical_geometry(geometry))
        left = np.argwhere(found.labels == found.names["lung_left"]).mean(axis=0)
        right = np.argwhere(found.labels == found.names["lung_right"]).mean(axis=0)
        assert left[0] < right[0]


def test_one_lung_of_a_cropped_chest_has_no_side(scan):
    hu, truth, _ = scan
    crop = hu[:45, 25:70]
    found = coarse_map(crop, grid(crop.shape, SPACING))
    assert "lung_left" not in found.names
    assert (found.labels == found.names["lung"])[truth[:45, 25:70] == "lung_left"].mean() > 0.9


def test_lungs_that_touch_are_cut_in_the_middle(scan):
    hu, _, geometry = scan
    joined = hu.copy()
    joined[40:70, 44:50, 20:40] = -820
    found = coarse_map(joined, geometry)
    across = [
        np.flatnonzero((found.labels == found.names[side]).any(axis=(1, 2))) for side in ("lung_left", "lung_right")
    ]
    assert across[0].max() < 55 <= across[1].min()


def test_what_is_no_ct_is_refused():
    with pytest.raises(ContentError, match="densities up to -900; tissue is denser than -300 HU"):
        coarse_map(np.full((20, 20, 20), -900, dtype=np.float32), grid((20, 20, 20)))


def test_a_report_that_names_no_organ_means_the_soft_tissue_of_the_coarse_map(scan):
    hu, _, geometry = scan
    found = coarse_map(hu, geometry)
    (box,) = place_boxes([LesionReport(size_mm=(12.0, 12.0, 12.0))], found, np.random.default_rng(0))
    assert (found.labels[box.slices] == found.names["soft_tissue"]).mean() > 0.6
    with pytest.raises(RequestError, match=r"no kidney in the organ map \(coarse map by density\); it has soft_tissue"):
        place_boxes([LesionReport(organ="kidney", size_mm=(12.0, 12.0, 12.0))], found, np.random.default_rng(0))


def test_a_map_is_completed_and_what_was_labeled_is_kept(scan):
    hu, truth, geometry = scan
    labels = np.zeros(hu.shape, dtype=np.uint8)
    labels[truth == "lung_left"] = 1
    labels[50:56, 50:56, 20:30] = 2
    drawn = OrganMap(labels, {"left lung": 1, "gross tumour volume": 2}, geometry, "labels of the template")
    whole = completed(drawn, hu)
    assert not labels[truth == "fat"].any()
    np.testing.assert_array_equal(whole.labels[labels > 0], labels[labels > 0])
    assert (whole.labels > 0).all()
    assert whole.names["left lung"] == 1
    assert set(whole.coarse) == {"air", "fat", "soft_tissue", "bone"}
    assert labels_of("lung", whole.names) == (1,)
    assert (whole.labels == whole.names["air"])[truth == "lung_right"].mean() > 0.9
    assert "labels of the template; the rest a coarse map" in whole.source
    assert whole.lesions == (2,)


def test_a_completed_map_uses_names_that_are_there(scan):
    hu, truth, geometry = scan
    labels = np.zeros(hu.shape, dtype=np.uint8)
    labels[:, :, :10][truth[:, :, :10] == "bone"] = 7
    whole = completed(OrganMap(labels, {"bone": 7}, geometry, "labels"), hu)
    assert whole.names["bone"] == 7
    assert "bone" not in whole.coarse
    assert (whole.labels == 7)[truth == "bone"].mean() > 0.9


def test_no_values_left_to_complete_a_map(scan):
    hu, _, geometry = scan
    names = {f"organ {value}": value for value in range(1, 254)}
    with pytest.raises(ContentError, match="253 labels; at most"):
        completed(OrganMap(np.zeros(hu.shape, np.uint8), names, geometry, "labels"), hu)


def test_the_labels_of_a_template_are_seen_canonical_without_a_copy():
    for codes in ORIENTATIONS[::7]:
        geometry, to_file = oriented(grid((12, 10, 9)), codes)
        labels = nib.orientations.apply_orientation(body((12, 10, 9)), to_file)
        image = np.zeros((1, *labels.shape), dtype=np.float32)
        found = organ_map_from_case(Case("a", image, labels, geometry, ("CT",), NAMES))
        np.testing.assert_array_equal(found.labels, body((12, 10, 9)))
        assert np.shares_memory(found.labels, labels)
        assert "background" not in found.names


def write_labels(path: Path, labels, geometry: Geometry, table=None) -> Path:
    image = nib.Nifti1Image(labels, geometry.affine)
    if table:
        rows = "".join(f'<Label Key="{value}" Red="0"><![CDATA[{name}]]></Label>' for value, name in table.items())
        text = (
            f"<CaretExtension><VolumeInformation><LabelTable>{rows}</LabelTable></VolumeInformation></CaretExtension>"
        )
        image.header.extensions.append(nib.nifti1.Nifti1Extension(0, text.encode()))
    nib.save(image, path)
    return path


SCAN = Path("scan.nii.gz")


@pytest.fixture
def organs():
    labels = np.zeros((20, 18, 16), dtype=np.uint8)
    labels[4:10, 4:10, 4:10] = 5
    labels[12:18, 4:10, 4:10] = 2
    return labels, grid(labels.shape, (1.5, 1.5, 2.0))


@pytest.mark.parametrize(("version", "table"), [("v1", V1), ("v2", V2)])
def test_a_file_in_the_numbers_of_either_version(tmp_path, organs, version, table):
    labels, geometry = organs
    found = read_organ_map(write_labels(tmp_path / "o.nii.gz", labels, geometry), SCAN, geometry, version)
    assert found.names == {table[2]: 2, table[5]: 5}
    np.testing.assert_array_equal(found.labels, labels)
    assert f"TotalSegmentator {version}" in found.source
    assert found.coarse == ()


def test_the_table_in_the_file_is_believed_first(tmp_path, organs):
    labels, geometry = organs
    path = write_labels(tmp_path / "o.nii.gz", labels, geometry, {1: "spleen", 2: "heart", 5: "brain"})
    assert read_organ_map(path, SCAN, geometry, "v1").names == {"heart": 2, "brain": 5}


def test_a_map_stored_in_another_orientation_is_the_same_map(tmp_path, organs):
    labels, canonical = organs
    for codes in ("RAS", "LPS", "SAR"):
        geometry, to_file = oriented(canonical, codes)
        path = write_labels(tmp_path / f"{codes}.nii.gz", nib.orientations.apply_orientation(labels, to_file), geometry)
        np.testing.assert_array_equal(read_organ_map(path, SCAN, canonical).labels, labels)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda labels, g: (labels[:-1], g), GeometryError, r"shape \(19, 18, 16\), while scan.nii.gz has \(20, 18"),
        (lambda labels, g: (labels, g.resampled((20, 18, 8))), GeometryError, "mm away from scan.nii.gz"),
        (lambda labels, g: (labels * 0, g), ContentError, "no organ is labeled"),
        (lambda labels, g: (labels * 40, g), ContentError, r"label values 200; not in TotalSegmentator v2 \(1 to 117"),
        (lambda labels, g: (labels + np.float32(0.4), g), ContentError, "is not a whole number"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_by_message(tmp_path, organs, change, error, message):
    labels, geometry = organs
    path = write_labels(tmp_path / "o.nii.gz", *change(labels, geometry))
    with pytest.raises(error, match=message):
        read_organ_map(path, SCAN, geometry)


def test_a_map_that_is_not_there(tmp_path, organs):
    with pytest.raises(FileError, match="does not exist"):
        read_organ_map(tmp_path / "none.nii.gz", SCAN, organs[1])


def install(folder: Path, monkeypatch, script: str) -> None:
    """Puts a program of TotalSegmentator's name first on the PATH."""
    program = folder / "bin" / "TotalSegmentator"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_totalsegmentator_is_run_where_it_is_installed(tmp_path, organs, monkeypatch):
    labels, geometry = organs
    made = write_labels(tmp_path / "made.nii.gz", labels, geometry, {2: "kidney_right", 5: "liver"})
    install(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/called; cp {made} "$4"')
    found = segment(tmp_path / "scan.nii.gz", geometry)
    assert found.names == {"kidney_right": 2, "liver": 5}
    np.testing.assert_array_equal(found.labels, labels)
    called = (tmp_path / "called").read_text().split()
    assert called[:2] == ["-i", str(tmp_path / "scan.nii.gz")]
    assert called[4:] == ["--ml"]
    assert not Path(called[3]).exists()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo loading; echo 'no weights' >&2; exit 3",
            "TotalSegmentator: ended with code 3; its last line: no weights",
        ),
        ("exit 0", "TotalSegmentator: wrote no label map; its last line: nothing"),
    ],
)
def test_totalsegmentator_that_fails_says_why(tmp_path, organs, monkeypatch, script, message):
    install(tmp_path, monkeypatch, script)
    with pytest.raises(RequestError, match=message):
        segment(tmp_path / "scan.nii.gz", organs[1])


def test_totalsegmentator_that_is_not_installed(tmp_path, organs, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequestError, match="TotalSegmentator: is not installed"):
        segment(tmp_path / "scan.nii.gz", organs[1])


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["rider", "sarcoma-ct"])
def test_real_scans_have_a_coarse_map(folder):
    root = Path(__file__).parents[2] / "runs" / folder
    if not (root / "dataset.json").exists():
        pytest.skip(f"{root} is not there")
    for case in Cohort.open(root):
        view, geometry = canonical_view(case.require_image()[0], case.geometry), canonical_geometry(case.geometry)
        found = coarse_map(view, geometry)
        soft = view[found.labels == found.names["soft_tissue"]]
        assert 0 < np.median(soft) < 120
        assert np.median(view[found.labels == found.names["bone"]]) > 150
        assert np.median(view[found.labels == found.names["air"]]) < -850
        if folder == "rider":
            litres = [
                (found.labels == found.names[f"lung_{side}"]).sum() * np.prod(geometry.spacing) / 1e6
                for side in ("left", "right")
            ]
            assert 1.5 < litres[0] < litres[1] < 3.5
        else:
            assert not labels_of("lung", found.names)
