"""MetaImage headers (.mha, .mhd; itk.org/Wiki/ITK/MetaIO) of volumes in raw or zlib encoding."""

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from medsmith.errors import FileError
from medsmith.formats.content_type import cure_for, identify_content
from medsmith.formats.opening import read_bytes
from medsmith.formats.raw_header import LONGEST_HEADER, RawHeader, beside, numbers, whole_numbers
from medsmith.geometry import BETWEEN_RAS_AND_LPS

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_LAST = re.compile(rb"ElementDataFile\s*=\s*([^\r\n]*)\r?\n?")
_AXES = 3


def read_header(path: Path) -> RawHeader:
    """The header of a file.

    Raises:
        FileError: it is no MetaImage, is damaged, or has a form that is not read.
    """
    data = read_bytes(path)[:LONGEST_HEADER]
    last = _LAST.search(data)
    if last is None or not re.match(rb"(ObjectType|NDims|Comment)\b", data):
        kind = identify_content(data)
        raise FileError(path, f"is {kind}, not MetaImage", cure=cure_for(kind))
    fields = _fields(data[: last.start()])
    name = last[1].decode("utf-8", "replace").strip()
    missing = [key for key in ("NDims", "DimSize", "ElementType") if key not in fields]
    if missing:
        raise FileError(path, f"its header lacks {', '.join(missing)}", cure="copy or download it again")
    if fields.get("BinaryData", "True").lower() in ("false", "0"):
        raise FileError(path, "its voxels are text", "binary", "save it again")
    if fields["NDims"] != str(_AXES) or fields["ElementType"] not in _TYPES:
        found = f"{fields['NDims'][:9]} axes of {fields['ElementType'][:30]}"
        raise FileError(path, found, "three axes of numbers", "save one volume")
    shape = whole_numbers(fields["DimSize"], path, "DimSize", _AXES)
    (components,) = whole_numbers(fields.get("ElementNumberOfChannels", "1"), path, "ElementNumberOfChannels", 1)
    local = name.upper() == "LOCAL"
    affine, oriented = _affine(fields, path)
    big = _yes(fields, "BinaryDataByteOrderMSB") or _yes(fields, "ElementByteOrderMSB")
    (skip,) = numbers(fields.get("HeaderSize", "0"), path, "HeaderSize", 1)
    return RawHeader(
        path=path,
        data_path=path if local else beside(path, name),
        offset=last.end() if local else int(skip),
        shape=(shape[0], shape[1], shape[2]),
        components=components,
        dtype=np.dtype(_TYPES[fields["ElementType"]]).newbyteorder(">" if big else "<"),
        encoding="zlib" if _yes(fields, "CompressedData") else "raw",
        affine=affine,
        oriented=oriented,
        fields=fields,
    )


def _yes(fields: dict[str, str], name: str) -> bool:
    return fields.get(name, "").lower() in ("true", "1")


def _fields(head: bytes) -> dict[str, str]:
    rows = (line.partition("=") for line in head.decode("utf-8", "replace").splitlines())
    return {key.strip(): value.strip() for key, equals, value in rows if equals}


def _affine(fields: dict[str, str], path: Path) -> tuple[Float64[np.ndarray, "4 4"], bool]:
    """The affine in RAS+; MetaImage's own axes are LPS+, its matrix holds the direction of an axis in each row."""
    sizes = numbers(fields.get("ElementSpacing", fields.get("ElementSize", "1 1 1")), path, "ElementSpacing", _AXES)
    affine = np.eye(4)
    matrix = next((fields[key] for key in ("TransformMatrix", "Orientation", "Rotation") if key in fields), None)
    if matrix is None:
        affine[:3, :3] = np.diag(sizes)
        return affine, False
    origin = next((fields[key] for key in ("Offset", "Position", "Origin") if key in fields), "0 0 0")
    affine[:3, :3] = BETWEEN_RAS_AND_LPS @ (numbers(matrix, path, "TransformMatrix", _AXES**2).reshape(3, 3).T * sizes)
    affine[:3, 3] = BETWEEN_RAS_AND_LPS @ numbers(origin, path, "Offset", _AXES)
    return affine, True
