"""NRRD headers (teem.sourceforge.net/nrrd/format.html) of volumes in raw or gzip encoding."""

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from medsmith.errors import FileError
from medsmith.formats.content_type import cure_for, identify_content
from medsmith.formats.opening import read_bytes
from medsmith.formats.raw_header import LONGEST_HEADER, RawHeader, beside, numbers, whole_numbers

_TYPES = {
    "i1": "signed char int8 int8_t", "u1": "uchar unsigned_char uint8 uint8_t",
    "i2": "short short_int signed_short signed_short_int int16 int16_t",
    "u2": "ushort unsigned_short unsigned_short_int uint16 uint16_t",
    "i4": "int signed_int int32 int32_t", "u4": "uint unsigned_int uint32 uint32_t",
    "i8": "longlong long_long long_long_int int64 int64_t", "u8": "ulonglong unsigned_long_long uint64 uint64_t",
    "f4": "float", "f8": "double",
}  # fmt: skip
_DTYPE_OF = {name: dtype for dtype, names in _TYPES.items() for name in names.split()} | {"signed_char": "i1"}
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip"}
_TO_RAS = {
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
}  # fmt: skip
_SPACE_AXES = 3


def read_header(path: Path) -> RawHeader:
    """The header of a file.

    Raises:
        FileError: it is no NRRD, is damaged, or has a form that is not read.
    """
    data = read_bytes(path)[:LONGEST_HEADER]
    if not re.match(rb"NRRD000[1-5]\s", data):
        kind = identify_content(data)
        raise FileError(path, f"is {kind}, not NRRD", cure=cure_for(kind))
    end = re.search(rb"\r?\n\r?\n", data)
    fields = _fields(data[: end.start() if end else len(data)])
    missing = [name for name in ("dimension", "sizes", "type", "encoding") if name not in fields]
    detached = fields.get("data file", fields.get("datafile"))
    if missing or not (end or detached):
        raise FileError(path, f"its header lacks {', '.join(missing) or 'its end'}", cure="copy or download it again")
    dtype, encoding = _DTYPE_OF.get(fields["type"].replace(" ", "_")), _ENCODINGS.get(fields["encoding"].lower())
    if dtype is None or encoding is None:
        found = f"type {fields['type'][:30]!r}, encoding {fields['encoding'][:30]!r}"
        raise FileError(path, found, "numbers, raw or gzip", "save it again")
    (count,) = whole_numbers(fields["dimension"], path, "dimension", 1)
    sizes = whole_numbers(fields["sizes"], path, "sizes", count)
    (lines,), (skip,) = (numbers(fields.get(name, "0"), path, name, 1) for name in ("line skip", "byte skip"))
    if lines or skip < -1 or (skip and encoding != "raw"):
        raise FileError(path, "bytes or lines before the array are to be skipped", cure="save it again")
    components, shape = _axes(sizes, fields, path)
    affine, oriented = _affine(fields, path, components is not None)
    big = fields.get("endian") == "big"
    return RawHeader(
        path=path,
        data_path=beside(path, detached) if detached else path,
        offset=-1 if skip < 0 else int(skip) + (0 if detached or end is None else end.end()),
        shape=shape,
        components=components or 1,
        dtype=np.dtype(dtype).newbyteorder(">" if big else "<"),
        encoding=encoding,
        affine=affine,
        oriented=oriented,
        fields=fields,
    )


def _fields(head: bytes) -> dict[str, str]:
    """Fields in lower case, and key/value pairs as they are."""
    fields: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").splitlines()[1:]:
        match = re.match(r"([^#:][^:]*):(=| ?)(.*)", line)
        if match:
            key = match[1] if match[2] == "=" else match[1].strip().lower()
            fields[key] = match[3].strip()
    return fields


def _axes(sizes: tuple[int, ...], fields: dict[str, str], path: Path) -> tuple[int | None, tuple[int, int, int]]:
    """Numbers per voxel, None without an axis of them, and the shape x y z."""
    kinds, directions = fields.get("kinds", "").split(), fields.get("space directions", "").split()
    first = {*kinds[:1], *directions[:1]}
    if len(sizes) == _SPACE_AXES and not first & {"none", "list", "vector"}:
        return None, (sizes[0], sizes[1], sizes[2])
    if len(sizes) == _SPACE_AXES + 1 and first & {"none", "list", "vector", "point", "color"}:
        return sizes[0], (sizes[1], sizes[2], sizes[3])
    limit = "three axes, or one of values before them"
    raise FileError(path, f"{len(sizes)} axes of {' x '.join(map(str, sizes))}", limit, "save one volume")


def _affine(fields: dict[str, str], path: Path, vector: bool) -> tuple[Float64[np.ndarray, "4 4"], bool]:
    affine = np.eye(4)
    space = fields.get("space", "").lower()
    if "space directions" not in fields:
        sizes = [part for part in fields.get("spacings", "1 1 1").split() if part.lower() != "nan"]
        affine[:3, :3] = np.diag(np.abs(numbers(" ".join(sizes[-3:]), path, "spacings", _SPACE_AXES)))
        return affine, False
    if space not in _TO_RAS:
        found = f"space {space[:40]!r}" if space else "directions without a space"
        raise FileError(path, found, "a space of the patient (left-posterior-superior, ...)", "save it again")
    directions = re.sub(r"^none\s+", "", fields["space directions"]) if vector else fields["space directions"]
    turn = np.diag(_TO_RAS[space]).astype(np.float64)
    affine[:3, :3] = turn @ numbers(directions, path, "space directions", _SPACE_AXES**2).reshape(3, 3).T
    affine[:3, 3] = turn @ numbers(fields.get("space origin", "(0,0,0)"), path, "space origin", _SPACE_AXES)
    return affine, True
