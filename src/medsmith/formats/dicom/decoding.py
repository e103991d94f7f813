"""Compressed transfer syntaxes: which package decodes what, all under permissive licenses."""

from typing import Any

from medsmith.errors import FileError

# pylibjpeg-libjpeg decodes more, but is under the GPL.
_PACKAGE_OF = {
    "1.2.840.10008.1.2.4.50": ("JPEG", "pillow"),
    "1.2.840.10008.1.2.4.51": ("JPEG of 12 bits", "python-gdcm"),
    "1.2.840.10008.1.2.4.57": ("lossless JPEG", "python-gdcm"),
    "1.2.840.10008.1.2.4.70": ("lossless JPEG", "python-gdcm"),
    "1.2.840.10008.1.2.4.80": ("lossless JPEG-LS", "pyjpegls"),
    "1.2.840.10008.1.2.4.81": ("JPEG-LS", "pyjpegls"),
    "1.2.840.10008.1.2.4.90": ("lossless JPEG 2000", "pylibjpeg pylibjpeg-openjpeg"),
    "1.2.840.10008.1.2.4.91": ("JPEG 2000", "pylibjpeg pylibjpeg-openjpeg"),
    "1.2.840.10008.1.2.4.201": ("lossless HTJ2K", "pylibjpeg pylibjpeg-openjpeg"),
    "1.2.840.10008.1.2.4.202": ("lossless HTJ2K", "pylibjpeg pylibjpeg-openjpeg"),
    "1.2.840.10008.1.2.4.203": ("HTJ2K", "pylibjpeg pylibjpeg-openjpeg"),
    "1.2.840.10008.1.2.5": ("RLE", "pylibjpeg pylibjpeg-rle"),
}


def check_decodable(data: Any, subject: str) -> None:
    """Checks that the voxels of a dataset can be decoded here.

    Args:
        data: a pydicom dataset.
        subject: names it in the error.

    Raises:
        FileError: no installed package decodes its transfer syntax, or it has none.
    """
    from pydicom.pixels import get_decoder

    syntax = data.file_meta.get("TransferSyntaxUID") if hasattr(data, "file_meta") else None
    if syntax is None:
        raise FileError(subject, "does not say how its voxels are stored", "a transfer syntax", "export it again")
    if not syntax.is_compressed:
        return
    name, package = _PACKAGE_OF.get(str(syntax), ("video, or another rare compression", ""))
    cure = f"pip install {package}, or export it uncompressed" if package else "export it uncompressed"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise FileError(subject, f"is compressed: {name}", "images alone are decoded", cure) from None
    if not decoder.is_available:
        raise FileError(subject, f"is compressed: {name}", "no installed package decodes this", cure)
