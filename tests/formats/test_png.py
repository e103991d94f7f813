import random
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from medsmith.errors import ContentError, FileError, GeometryError, MedsmithError
from medsmith.formats import png
from medsmith.formats.volume import SYNTHETIC_MARK
from medsmith.geometry import Geometry
from scan_files import png_bytes

PIXELS = np.random.default_rng(0).integers(0, 255, (14, 12), dtype=np.uint8)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pixels=st.sampled_from(["uint8", "uint16"]).flatmap(
        lambda dtype: arrays(dtype, st.tuples(st.integers(8, 20), st.integers(8, 20)))
    )
)
def test_round_trip_and_pillow_agrees(pixels, tmp_path):
    path = tmp_path / "x.png"
    values = pixels[:, :, None].astype(np.float32)
    png.write_image(path, values, Geometry.plain(values.shape), pixels.dtype, synthetic=False)
    read = png.read_image(path)
    np.testing.assert_array_equal(read.values, values)
    assert read.stored == pixels.dtype
    assert not read.geometry.spacing_known
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture), pixels.T)


def test_x_runs_along_the_columns(tmp_path):
    (tmp_path / "x.png").write_bytes(png_bytes(PIXELS))
    read = png.read_image(tmp_path / "x.png")
    assert read.geometry.shape == (12, 14, 1)
    assert read.values[3, 5, 0] == PIXELS[5, 3]


def test_synthetic_pictures_say_so_and_real_ones_carry_no_text(tmp_path):
    geometry = Geometry.plain((12, 14, 1))
    for synthetic in (True, False):
        path = tmp_path / f"{synthetic}.png"
        png.write_labels(path, np.ones((12, 14, 1), np.uint8), geometry, synthetic=synthetic)
        with Image.open(path) as picture:
            assert isinstance(picture, PngImageFile)
            assert picture.text == ({"Description": SYNTHETIC_MARK} if synthetic else {})


def test_300_bit_flips_are_caught_or_harmless(tmp_path):
    good, path, rng, caught = png_bytes(PIXELS), tmp_path / "x.png", random.Random(0), 0
    for _ in range(300):
        data = bytearray(good)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            np.testing.assert_array_equal(png.read_image(path).values[:, :, 0].T, PIXELS)
        except MedsmithError:
            caught += 1
    assert caught == 300


def test_damage_that_the_checksums_hide_is_caught_by_the_decoder(tmp_path):
    """Right checksums round pixel data that are no zlib stream."""
    good = png_bytes(PIXELS)
    start = good.index(b"IDAT")
    chunk = b"IDAT" + bytes(30)
    bad = good[: start - 4] + (30).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + good[-12:]
    (tmp_path / "x.png").write_bytes(bad)
    with pytest.raises(FileError, match="cannot be decoded"):
        png.read_image(tmp_path / "x.png")


def test_palette_labels_are_their_indices(tmp_path):
    picture = Image.fromarray((PIXELS % 3).astype(np.uint8)).convert("P")
    picture.putdata((PIXELS % 3).ravel().tolist())
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "x.png")
    np.testing.assert_array_equal(png.read_labels(tmp_path / "x.png").values[:, :, 0].T, PIXELS % 3)


def test_one_bit_labels_are_0_and_1(tmp_path):
    (tmp_path / "x.png").write_bytes(png_bytes(PIXELS > 128))
    np.testing.assert_array_equal(png.read_labels(tmp_path / "x.png").values[:, :, 0].T, PIXELS > 128)


def test_16_bit_labels_above_255_are_refused(tmp_path):
    (tmp_path / "x.png").write_bytes(png_bytes(PIXELS.astype(np.uint16) * 256))
    with pytest.raises(ContentError, match="labels are 0 to 255"):
        png.read_labels(tmp_path / "x.png")


def test_animation_is_refused(tmp_path):
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    frames[0].save(tmp_path / "x.png", save_all=True, append_images=frames[1:])
    with pytest.raises(ContentError, match="animated"):
        png.read_image(tmp_path / "x.png")


def test_volumes_and_fractions_have_no_png_form(tmp_path):
    volume = np.zeros((12, 14, 9), np.float32)
    with pytest.raises(GeometryError, match="9 slices; a PNG has one"):
        png.write_image(tmp_path / "x.png", volume, Geometry.plain(volume.shape), np.dtype("uint8"), synthetic=True)
    slice_ = volume[:, :, :1]
    with pytest.raises(FileError, match="float32 has no PNG form"):
        png.write_image(tmp_path / "x.png", slice_, Geometry.plain(slice_.shape), np.dtype("float32"), synthetic=True)
    assert not list(tmp_path.iterdir())
