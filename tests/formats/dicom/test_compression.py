"""Compressed transfer syntaxes: the exact voxels, or those within the error that is stated; loss is told."""

import io
from importlib.metadata import metadata

import numpy as np
import pytest
from PIL import Image

from compressed_slices import HTJ2K, JPEG_12, LOSSLESS_JPEG, PLANE
from medsmith.errors import MedsmithError
from medsmith.formats.dicom.series import find_dicom_files, read_series_of
from medsmith.formats.dicom.volume import read_volume

pytest.importorskip("highdicom")
from dicom_files import pydicom, save, slices_of, voxels_of

SYNTAX = "1.2.840.10008.1.2.4."
LARGE = np.kron(voxels_of()[:, :10], np.ones((1, 7, 6), np.int16))
"""Codecs want more than a few voxels."""


def read(folder):
    (found,) = read_series_of(folder, find_dicom_files(folder))
    return read_volume(found)


def stored(folder):
    """Voxels as they are stored, z y x."""
    return read(folder).values.transpose(2, 1, 0) + 1024


def refusal(folder):
    with pytest.raises(MedsmithError) as caught:
        read(folder)
    assert "\n" not in caught.value.line
    return caught.value.line


def encoded(voxels, syntax, streams, **changes):
    """Slices whose voxels are given as code streams."""
    slices = slices_of(voxels)
    for data, stream in zip(slices, streams, strict=True):
        for name, value in changes.items():
            setattr(data, name, value)
        data.file_meta.TransferSyntaxUID = syntax
        data.PixelData = pydicom.encaps.encapsulate([stream])
        data["PixelData"].is_undefined_length = True
    return slices


def repeated(stream, syntax, **changes):
    return encoded(np.repeat(PLANE[None], 9, axis=0), SYNTAX + syntax, [stream] * 9, **changes)


def compressed(syntax, **options):
    slices = slices_of(LARGE)
    for data in slices:
        data.compress(getattr(pydicom.uid, syntax), generate_instance_uid=False, **options)
    return slices


def quantization(stream):
    """Root of the mean square of the steps of a JPEG's first table (ITU-T T.81, B.2.4.1)."""
    at = stream.index(b"\xff\xdb") + 4
    kind, length = (np.uint8, 64) if stream[at] < 16 else (np.dtype(">u2"), 128)
    steps = np.frombuffer(stream[at + 1 : at + 1 + length], kind).astype(float)
    return float(np.sqrt((steps**2).mean()))


def deviation(found, wanted):
    return float(np.sqrt(((found - wanted) ** 2).mean()))


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEG2000Lossless", "JPEGLSLossless"])
def test_lossless_compression_gives_back_the_voxels(syntax, tmp_path):
    found = read(save(tmp_path, compressed(syntax)))
    np.testing.assert_array_equal(found.values.transpose(2, 1, 0) + 1024, LARGE)
    assert (found.notes, found.stored) == ((), np.int16)


@pytest.mark.parametrize(
    ("stream", "syntax"),
    [(HTJ2K, "201"), (HTJ2K, "202"), (LOSSLESS_JPEG, "57"), (LOSSLESS_JPEG, "70")],
    ids=["HTJ2K", "HTJ2K by resolution", "lossless JPEG", "lossless JPEG SV1"],
)
def test_code_streams_of_other_encoders_give_back_the_voxels(stream, syntax, tmp_path, capfd):
    folder = save(tmp_path, repeated(stream, syntax))
    np.testing.assert_array_equal(stored(folder), np.repeat(PLANE[None], 9, axis=0))
    assert read(folder).notes == ()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("most", [1, 5])
def test_near_lossless_jpeg_ls_keeps_its_error(most, tmp_path):
    found = read(save(tmp_path, compressed("JPEGLSNearLossless", jls_error=most)))
    assert 0 < np.abs(found.values.transpose(2, 1, 0) + 1024 - LARGE).max() <= most
    assert found.notes == ("9 of 9 images went through lossy compression",)


@pytest.mark.parametrize("decibels", [75, 90])
def test_lossy_jpeg_2000_keeps_its_signal_to_noise_ratio(decibels, tmp_path):
    """To 2 dB: the encoder counts the errors of wavelets that are not quite orthonormal."""
    folder = save(tmp_path, compressed("JPEG2000", j2k_psnr=[decibels]))
    assert 0 < deviation(stored(folder), LARGE) <= (2**16 - 1) / 10 ** ((decibels - 2) / 20)


def test_jpeg_of_8_bits_errs_by_half_its_quantization_steps(tmp_path):
    """The transform is orthonormal: errors of its coefficients, at most half a step, are those of the voxels."""
    voxels, streams = (LARGE // 8).astype(np.uint8), []
    for plane in voxels:
        file = io.BytesIO()
        Image.fromarray(plane).save(file, "JPEG", quality=90)
        streams.append(file.getvalue())
    eight = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0, "RescaleIntercept": "0"}
    found = read(save(tmp_path, encoded(voxels, SYNTAX + "50", streams, **eight)))
    error = deviation(found.values.transpose(2, 1, 0), voxels)
    assert 0 < error <= quantization(streams[0]) / 2 + 0.5
    assert found.notes == ("9 of 9 images went through lossy compression",)


def test_jpeg_of_12_bits_errs_by_half_its_quantization_steps_and_prints_nothing(tmp_path, capfd):
    twelve = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "RescaleIntercept": "0"}
    found = read(save(tmp_path, repeated(JPEG_12, "51", **twelve)))
    error = deviation(found.values.transpose(2, 1, 0), PLANE + 1000.0)
    assert 0 < error <= quantization(JPEG_12) / 2 + 0.5
    assert found.notes == ("9 of 9 images went through lossy compression",)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("said", "notes"),
    [
        (None, ("9 of 9 images do not say whether their compression lost anything",)),
        ("00", ()),
        ("01", ("9 of 9 images went through lossy compression",)),
    ],
)
def test_jpeg_2000_may_lose_and_the_files_say_whether(said, notes, tmp_path):
    slices = repeated(HTJ2K, "203")
    for data in slices:
        if said:
            data.LossyImageCompression = said
    assert read(save(tmp_path, slices)).notes == notes


def test_what_no_installed_package_decodes_names_the_package(tmp_path, monkeypatch):
    from pydicom.pixels import get_decoder

    monkeypatch.setattr("medsmith.formats.dicom.decoding.find_spec", lambda _: None)
    line = refusal(save(tmp_path / "jpeg", repeated(LOSSLESS_JPEG, "70")))
    install = "pip install -e '.[dicom]' -c constraints.txt, or export it uncompressed"
    assert line.endswith(f"file 1 of 9: is compressed: lossless JPEG; decoding it takes SimpleITK; {install}")
    monkeypatch.setattr(get_decoder(pydicom.uid.HTJ2KLossless), "_available", {})
    line = refusal(save(tmp_path / "htj2k", repeated(HTJ2K, "201")))
    assert line.endswith(
        f"is compressed: lossless HTJ2K; decoding it takes pylibjpeg and pylibjpeg-openjpeg; {install}"
    )


@pytest.mark.parametrize("syntax", ["92", "100", "110"], ids=["JPEG 2000 part 2", "MPEG-2", "JPEG XL"])
def test_what_no_package_decodes_is_said_to_be_so(syntax, tmp_path):
    save(tmp_path, repeated(HTJ2K, "100" if syntax == "110" else syntax))
    for path in find_dicom_files(tmp_path) if syntax == "110" else ():  # which pydicom does not know, nor write
        path.write_bytes(path.read_bytes().replace(b"10008.1.2.4.100", b"10008.1.2.4.110"))
    line = refusal(tmp_path)
    limit = "no package is known that decodes it; export it uncompressed"
    assert line.endswith(f"file 1 of 9: is compressed: video, or a rare compression of images; {limit}")


@pytest.mark.parametrize(("stream", "syntax"), [(HTJ2K, "201"), (LOSSLESS_JPEG, "70")])
def test_a_code_stream_that_is_cut_short_is_refused_by_place(stream, syntax, tmp_path, capfd):
    line = refusal(save(tmp_path, repeated(stream[:60], syntax)))
    assert f"{tmp_path}, file 1 of 9: its voxels cannot be decoded (" in line
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "package",
    ["highdicom", "pillow", "pydicom", "pyjpegls", "pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "SimpleITK"],
)
def test_decoders_are_under_permissive_licenses(package):
    names = ("License-Expression", "License", "Classifier")
    said = [text for name in names for text in metadata(package).get_all(name) or ()]
    licenses = " ".join(text for text in said if "License ::" in text or "::" not in text)
    assert any(name in licenses for name in ("MIT", "Apache", "BSD", "HPND"))
    assert "GPL" not in licenses
