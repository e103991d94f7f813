"""Reads and validates the NIfTI header before voxels are allocated.

NIfTI-1: R. W. Cox et al. 2004, nifti1.h; NIfTI-2: nifti2.h. Field names are theirs.
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import nibabel as nib
import numpy as np

from medsmith.errors import FileError
from medsmith.formats.content_type import UNKNOWN, cure_for, identify_content
from medsmith.formats.opening import MAX_BYTES, format_bytes

HEADER_BYTES = 544
"""Bytes that cover either header and its four extension bytes."""
DTYPES: dict[int, np.dtype[Any]] = {
    2: np.dtype("u1"),
    4: np.dtype("i2"),
    8: np.dtype("i4"),
    16: np.dtype("f4"),
    64: np.dtype("f8"),
    256: np.dtype("i1"),
    512: np.dtype("u2"),
    768: np.dtype("u4"),
    1024: np.dtype("i8"),
    1280: np.dtype("u8"),
}
_COMPLEX, _COLOR = (32, 1792, 2048), (128, 2304)
_CURE = "restore the file or convert it again"
_SINGLE = {348: (b"n+1\0", 352), 540: (b"n+2\0\r\n\x1a\n", 544)}
_PAIR = {348: b"ni1\0", 540: b"ni2\0\r\n\x1a\n"}


@final
@dataclass(frozen=True)
class Header:
    """The NIfTI header fields in use.

    Attributes:
        fields: the raw header.
        shape: the array's dimensions, one to seven.
        dtype: of the stored array, in the file's byte order.
        offset: bytes before the array.
        slope: factor of the stored numbers; 1 if not given.
        intercept: addend of the stored numbers.
        in_pair: the array lies in an .img file beside the .hdr.
        notes: accepted irregularities.
    """

    fields: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    in_pair: bool
    notes: tuple[str, ...]

    @property
    def array_bytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


def parse_header(head: bytes, path: Path) -> Header:
    """Reads and checks a NIfTI-1 or NIfTI-2 header of either byte order.

    Args:
        head: the first ``HEADER_BYTES`` of the (decompressed) file, or all of a shorter one.
        path: for error lines.

    Raises:
        FileError: a field is invalid.
    """
    size, order = _size_and_order(head, path)
    kind = nib.Nifti1Header if size == 348 else nib.Nifti2Header
    fields = kind(head[:size], endianness=order, check=False)
    in_pair = _check_magic(bytes(head[344:348] if size == 348 else head[4:12]), size, path)
    shape = _shape(fields["dim"], path)
    dtype, notes = _dtype(fields, order, path)
    offset = _offset(float(fields["vox_offset"]), 0 if in_pair else _SINGLE[size][1], path)
    slope, intercept, scale_notes = _scale(float(fields["scl_slope"]), float(fields["scl_inter"]))
    header = Header(fields, shape, dtype, offset, slope, intercept, in_pair, notes + scale_notes)
    if header.array_bytes > MAX_BYTES:
        claim = f"the header claims {'x'.join(map(str, shape))} voxels, {format_bytes(header.array_bytes)}"
        raise FileError(path, claim, f"at most {format_bytes(MAX_BYTES)}", _CURE)
    return header


def _size_and_order(head: bytes, path: Path) -> tuple[int, Literal["<", ">"]]:
    starts: dict[bytes, tuple[int, Literal["<", ">"]]] = {
        struct.pack(order + "i", size): (size, order) for size in _SINGLE for order in ("<", ">")
    }
    kind = identify_content(head)
    if head[:4] not in starts:
        if kind != UNKNOWN:
            raise FileError(path, f"not a NIfTI file but {kind}", cure=cure_for(kind))
        if len(head) >= 348:
            found = f"not a NIfTI file (it starts with {head[:4].hex(' ')})"
            raise FileError(path, found, "a header starts with 348 or 540", "convert it to NIfTI")
    size, order = starts.get(head[:4], (348, "<"))
    if len(head) < size:
        found = f"the file ends inside the header ({len(head)} bytes)"
        raise FileError(path, found, f"the header has {size}", "copy or download the file again")
    return size, order


def _check_magic(magic: bytes, size: int, path: Path) -> bool:
    if magic == _PAIR[size]:
        return True
    if magic == _SINGLE[size][0]:
        return False
    found = "all zeros (Analyze 7.5?)" if not magic.strip(b"\0") else magic.hex(" ")
    raise FileError(path, f"the magic is {found}", f"NIfTI has {_SINGLE[size][0][:3]!r}", "convert it to NIfTI")


def _shape(dim: Any, path: Path) -> tuple[int, ...]:
    count = int(dim[0])
    if not 1 <= count <= 7:
        raise FileError(path, f"dim[0] = {count}", "an array has 1 to 7 dimensions", _CURE)
    shape = tuple(int(n) for n in dim[1 : count + 1])
    for axis, n in enumerate(shape, start=1):
        if n < 1:
            raise FileError(path, f"dim[{axis}] = {n}", "each dimension is at least 1", _CURE)
    return shape


def _dtype(fields: Any, order: Literal["<", ">"], path: Path) -> tuple[np.dtype[Any], tuple[str, ...]]:
    code, bits = int(fields["datatype"]), int(fields["bitpix"])
    if code in _COLOR:
        raise FileError(path, "a color overlay, not a scan", f"datatype {code}", "export the scan in gray")
    if code in _COMPLEX:
        raise FileError(path, "complex numbers", f"datatype {code}", "export the magnitude image")
    if code not in DTYPES:
        known = ", ".join(f"{number} {dtype.name}" for number, dtype in DTYPES.items())
        raise FileError(path, f"datatype {code}", f"supported: {known}", "convert the image")
    dtype = DTYPES[code].newbyteorder(order)
    if bits == 8 * dtype.itemsize:
        return dtype, ()
    return dtype, (f"bitpix is {bits} where datatype {code} has {8 * dtype.itemsize} bits; datatype is used",)


def _offset(offset: float, least: int, path: Path) -> int:
    if math.isfinite(offset) and offset == int(offset) and least <= offset <= MAX_BYTES:
        return int(offset)
    raise FileError(path, f"vox_offset = {offset:g}", f"a whole number from {least}", _CURE)


def _scale(slope: float, intercept: float) -> tuple[float, float, tuple[str, ...]]:
    # nifti1.h: a slope of 0 means "no scaling"; NaN is what several writers put for the same.
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0, ()
    if math.isfinite(slope) and math.isfinite(intercept):
        return slope, intercept, ()
    return 1.0, 0.0, (f"scl_slope {slope:g} and scl_inter {intercept:g} are not finite; no scaling is applied",)
