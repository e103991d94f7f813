"""Builds small scans byte by byte, right and wrong ones, with nibabel's and Pillow's own writers."""

import gzip
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from medsmith.errors import MedsmithError

SHAPE = (12, 11, 10)
AFFINE = np.array([[0.7, 0, 0, -30], [0, 0.8, 0, 12], [0, 0, 2.5, 5], [0, 0, 0, 1.0]])
ID = "a"


def image_array(shape=SHAPE, dtype=np.int16, seed=0):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


def label_array(shape=SHAPE, dtype=np.uint8, value=1):
    labels = np.zeros(shape, dtype)
    labels[3:7, 3:7, 2 : max(3, shape[2] - 3) if len(shape) > 2 else None] = value
    return labels


def hounsfield_array(shape=(16, 16, 16), seed=0):
    """Air outside, fat, muscle and bone inside."""
    values = np.random.default_rng(seed).normal(40, 12, shape)
    values[:4] = -1000
    values[4:7] = -100
    values[12:13] = 700
    return np.rint(values).astype(np.int16)


def nifti_bytes(array, affine=AFFINE, *, codes=(1, 1), order="<", version=1, fields=None, tail=b"", extension=None):
    """A NIfTI file; ``fields`` overrides raw header fields after everything else is set."""
    header = (nib.Nifti1Header if version == 1 else nib.Nifti2Header)(endianness=order)
    array = np.asarray(array)
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    header.set_qform(affine, code=codes[1])
    header.set_sform(affine, code=codes[0])
    header.set_xyzt_units("mm")
    start = 352 if version == 1 else 544
    extra = b"" if extension is None else extension.ljust(-(-(len(extension) + 8) // 16) * 16 - 8, b"\0")
    packed = b"" if extension is None else np.array([len(extra) + 8, 6], order + "i4").tobytes() + extra
    header["vox_offset"] = start + len(packed)
    header["magic"] = b"n+1" if version == 1 else b"n+2"
    for name, value in (fields or {}).items():
        header[name] = value
    flag = b"\1\0\0\0" if extension is not None else b"\0\0\0\0"
    data = array.astype(array.dtype.newbyteorder(order)).tobytes(order="F")
    return header.binaryblock + flag + packed + data + tail


def zipped(data):
    return gzip.compress(data, 6)


def png_bytes(array, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG", **options)
    return buffer.getvalue()


def write_pair(folder, image, label, name=ID, ending=".nii.gz"):
    for sub, data in (("images", image), ("labels", label)):
        (folder / sub).mkdir(parents=True, exist_ok=True)
        (folder / sub / f"{name}{ending}").write_bytes(data)
    return folder


def good_source(folder, count=1):
    for index in range(count):
        name = ID if count == 1 else f"{ID}{index}"
        write_pair(folder, zipped(nifti_bytes(image_array(seed=index))), zipped(nifti_bytes(label_array())), name=name)
    return folder


def listing(folder: Path):
    """Every name below a folder, with the hash of each regular file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def run(call: Callable[[], object]) -> tuple[int, str]:
    """What a command does with the error family: exit code and one line."""
    try:
        call()
    except MedsmithError as error:
        return error.exit_code, error.line
    return 0, ""
