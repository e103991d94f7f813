"""Compressed transfer syntaxes: which package decodes what, all under permissive licenses.

pydicom finds its own plugins; SimpleITK decodes what they do not: lossless JPEG, and JPEG of 12 bits.
"""

from importlib.util import find_spec
from typing import Any

from medsmith.errors import FileError
from medsmith.formats.packages import INSTALL, quiet_libraries
from medsmith.formats.temporary import temporary_folder

_BASELINE, _EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
_LOSSLESS_JPEG = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_NEAR_LOSSLESS = "1.2.840.10008.1.2.4.81"
_JPEG_2000, _HTJ2K = "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203"
_OPENJPEG = "pylibjpeg and pylibjpeg-openjpeg"
# pylibjpeg-libjpeg decodes more, but is under the GPL.
_PACKAGE_OF = {
    _BASELINE: ("JPEG", "pillow"),
    _EXTENDED: ("JPEG of 12 bits", "SimpleITK"),
    **dict.fromkeys(_LOSSLESS_JPEG, ("lossless JPEG", "SimpleITK")),
    "1.2.840.10008.1.2.4.80": ("lossless JPEG-LS", "pyjpegls"),
    _NEAR_LOSSLESS: ("JPEG-LS", "pyjpegls"),
    "1.2.840.10008.1.2.4.90": ("lossless JPEG 2000", _OPENJPEG),
    _JPEG_2000: ("JPEG 2000", _OPENJPEG),
    "1.2.840.10008.1.2.4.201": ("lossless HTJ2K", _OPENJPEG),
    "1.2.840.10008.1.2.4.202": ("lossless HTJ2K", _OPENJPEG),
    _HTJ2K: ("HTJ2K", _OPENJPEG),
    "1.2.840.10008.1.2.5": ("RLE", "pydicom"),
}
_BY_ITK = (_EXTENDED, *_LOSSLESS_JPEG)
_ALWAYS_LOSSY = (_BASELINE, _EXTENDED, _NEAR_LOSSLESS)
_PIXELS = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData",
)  # fmt: skip
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_NO_NAME = "2.25.0"
_BYTE = 8


def is_lossy(data: Any) -> bool | None:
    """Whether the voxels of a dataset went through lossy compression; None where neither it nor its syntax tells.

    Args:
        data: a pydicom dataset. Lossy Image Compression (PS3.3 C.7.6.1.1.5) counts, and transfer syntaxes that always
            lose; JPEG 2000 and HTJ2K have one for both.
    """
    stated, syntax = data.get("LossyImageCompression"), _syntax_of(data)
    if stated == "01" or syntax in _ALWAYS_LOSSY:
        return True
    return None if stated != "00" and syntax in (_JPEG_2000, _HTJ2K) else False


def make_decodable(data: Any, subject: str) -> None:
    """Checks that pydicom decodes the voxels of a dataset; what SimpleITK alone decodes is replaced by its voxels.

    Args:
        data: a pydicom dataset.
        subject: names it in errors.

    Raises:
        FileError: no installed package decodes its transfer syntax, or it has none.
        RuntimeError: SimpleITK finds the voxels damaged.
    """
    _check_decodable(data, subject)
    if _by_itk(data):
        lossy = is_lossy(data)
        _decode_by_itk(data, subject)
        if lossy:
            data.LossyImageCompression = "01"


def _syntax_of(data: Any) -> str:
    meta = getattr(data, "file_meta", None)
    return "" if meta is None else str(meta.get("TransferSyntaxUID") or "")


def _by_itk(data: Any) -> bool:
    """Whether SimpleITK has to decode the voxels: pydicom's plugin Pillow takes JPEG of 8 bits alone."""
    from pydicom.pixels import get_decoder

    syntax = _syntax_of(data)
    if syntax not in _BY_ITK or (syntax == _EXTENDED and int(data.get("BitsStored") or 0) <= _BYTE):
        return False
    return not set(get_decoder(syntax).available_plugins) - {"pillow"}


def _check_decodable(data: Any, subject: str) -> None:
    from pydicom.pixels import get_decoder

    syntax = _syntax_of(data)
    if not syntax:
        raise FileError(subject, "does not say how its voxels are stored", "a transfer syntax", "export it again")
    try:
        if not data.file_meta.TransferSyntaxUID.is_compressed:
            return
        decoder = get_decoder(syntax)
    except (NotImplementedError, ValueError):  # the latter where pydicom does not know it, such as JPEG XL
        found, limit = "is compressed: video, or a rare compression of images", "no package is known that decodes it"
        raise FileError(subject, found, limit, "export it uncompressed") from None
    name, package = _PACKAGE_OF.get(syntax, ("in a rare way", "another package"))
    if not (find_spec("SimpleITK") is not None if _by_itk(data) else decoder.is_available):
        found, cure = f"is compressed: {name}", f"{INSTALL}, or export it uncompressed"
        raise FileError(subject, found, f"decoding it takes {package}", cure)


def _decode_by_itk(data: Any, subject: str) -> None:
    """Replaces the voxels by those that SimpleITK reads from a file with them alone: no slope, no identity."""
    import SimpleITK
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = data.file_meta.TransferSyntaxUID, _SECONDARY_CAPTURE
    meta.MediaStorageSOPInstanceUID = _NO_NAME
    bare = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    bare.SOPClassUID, bare.SOPInstanceUID = _SECONDARY_CAPTURE, _NO_NAME
    for name in _PIXELS:
        if name in data:
            bare[name] = data[name]
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    with temporary_folder("medsmith-", subject) as folder, quiet_libraries():
        path = folder / "voxels.dcm"
        bare.save_as(path, enforce_file_format=True)
        array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    array = array[0] if len(array) == 1 and int(data.get("NumberOfFrames") or 1) == 1 else array
    data.set_pixel_data(array, data.PhotometricInterpretation, int(data.BitsStored), generate_instance_uid=False)
