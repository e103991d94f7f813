"""Ways to spoil a good source: the parts that the rows of the catalogue are made of."""

import signal
from contextlib import contextmanager

import numpy as np

from medsmith.preparation.options import PrepareOptions
from scan_files import AFFINE, ID, hounsfield_array, image_array, label_array, nifti_bytes, write_pair, zipped

SHIFTED = AFFINE + 0.35 * np.outer([1, 0, 0, 0], [0, 0, 0, 1])
GOOD_IMAGE, GOOD_LABEL = nifti_bytes(image_array()), nifti_bytes(label_array())
IMAGE, LABEL = f"images/{ID}.nii.gz", f"labels/{ID}.nii.gz"


def image_is(data):
    return lambda folder: (folder / IMAGE).write_bytes(data)


def label_is(data):
    return lambda folder: (folder / LABEL).write_bytes(data)


def header_has(**fields):
    return image_is(zipped(nifti_bytes(image_array(), fields=fields)))


def image_values(array, **header):
    return image_is(zipped(nifti_bytes(array, **header)))


def label_values(array, **header):
    return label_is(zipped(nifti_bytes(array, **header)))


def pair_of(image, label):
    return lambda folder: write_pair(folder, zipped(nifti_bytes(image)), zipped(nifti_bytes(label)))


def flipped(data, position, bit=3):
    damaged = bytearray(data)
    damaged[position] ^= 1 << bit
    return bytes(damaged)


def affine_with(row, column, value):
    affine = AFFINE.copy()
    affine[row, column] = value
    return {"srow_" + "xyz"[row]: affine[row], "qform_code": 0}


def replaced_by(make):
    def replace(folder):
        (folder / IMAGE).unlink()
        make(folder / IMAGE)

    return replace


def half_pair(folder):
    (folder / IMAGE).unlink()
    data = nifti_bytes(image_array(), fields={"magic": b"ni1", "vox_offset": 0})
    (folder / "images" / f"{ID}.hdr").write_bytes(data[:352])


def without_header(folder):
    (folder / IMAGE).unlink()
    (folder / "images" / f"{ID}.img").write_bytes(GOOD_IMAGE[352:])


def dangling(path):
    path.symlink_to("gone.nii.gz")


def loop(path):
    path.symlink_to(path.name)


def with_dot(array, index, value):
    array = array.copy()
    array[index] = value
    return array


CT = PrepareOptions(channel_names=("CT",))
HU = hounsfield_array()
HU_LABEL = label_array(HU.shape)
TWO_VOLUMES = np.stack([image_array(), image_array(seed=1)], axis=-1)


@contextmanager
def no_longer_than(seconds):
    def stop(*_):
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
