"""Decoded cases on disk between fingerprint and preparation of a new run, so that each file is decoded once."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float32

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort

LARGEST_BYTES = 16 * 2**30
_SHARE_OF_FREE = 0.5


@final
class CaseCache:
    """Reads the cases of a cohort; cases read before are loaded from disk without decoding.

    Args:
        cohort: the cohort.
        folder: of the decoded cases.
        budget: largest size of all decoded cases in bytes; further cases are read from the cohort again.
    """

    def __init__(self, cohort: Cohort, folder: Path, budget: int) -> None:
        self._cohort, self._folder, self._left = cohort, folder, budget
        self._stored: dict[str, Case] = {}
        self._dtypes: dict[str, np.dtype[Any]] = {}

    def __iter__(self) -> Iterator[Case]:
        """Every case in order; each is stored as it is read."""
        for case in self._cohort:
            self._store(case)
            yield case

    def __call__(self, id: str) -> Case:
        """One case."""
        stored = self._stored.get(id)
        if stored is None:
            return self._cohort[id]
        image = None if stored.image is None else self._image(id, stored)
        labels = None if stored.labels is None else self._read(id, "labels", np.dtype(np.uint8), stored.geometry.shape)
        return replace(stored, image=image, labels=labels)

    def _store(self, case: Case) -> None:
        dtype = exact_dtype(case)
        voxels = int(np.prod(case.geometry.shape))
        needed = voxels * ((0 if case.image is None else len(case.image) * dtype.itemsize) + (case.labels is not None))
        if needed > self._left:
            return
        try:
            if case.image is not None:
                _write(self._folder / f"{case.id}.image", case.image.astype(dtype).T)
            if case.labels is not None:
                _write(self._folder / f"{case.id}.labels", case.labels)
        except OSError:
            self._left = 0  # the disk is full: later cases are read from the cohort again
            return
        self._left -= needed
        self._dtypes[case.id] = dtype
        self._stored[case.id] = replace(case, image=_placeholder(case.image), labels=_placeholder(case.labels))

    def _image(self, id: str, stored: Case) -> Float32[np.ndarray, "c x y z"]:
        """The image in the memory layout of a cohort, so that sums over it are equal to the last bit."""
        shape = (*stored.geometry.shape[::-1], len(stored.channel_names))
        channels = self._read(id, "image", self._dtypes[id], shape)
        image = np.ascontiguousarray(np.moveaxis(channels, -1, 0), np.float32)
        return image.transpose(0, 3, 2, 1)

    def _read(self, id: str, part: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
        return np.fromfile(self._folder / f"{id}.{part}", dtype).reshape(shape)


def _write(path: Path, array: np.ndarray) -> None:
    """Writes an array in C order; ``ndarray.tofile`` does not notice that a disk is full."""
    with path.open("wb") as file:
        file.write(np.ascontiguousarray(array).data)


def exact_dtype(case: Case) -> np.dtype[Any]:
    """The dtype on disk where it holds the image without loss, else float32."""
    image = case.image
    exact = image is None or np.array_equal(image.astype(case.stored), image)
    return case.stored if exact else np.dtype(np.float32)


def _placeholder(array: np.ndarray | None) -> np.ndarray | None:
    """An array of the same shape that takes no memory."""
    return None if array is None else np.broadcast_to(np.zeros((), array.dtype), array.shape)


@contextmanager
def cached_cases(cohort: Cohort, folder: Path) -> Iterator[CaseCache]:
    """A cache of the cases of a cohort, removed at the end.

    Args:
        cohort: the cohort.
        folder: made if missing, removed at the end.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        free = shutil.disk_usage(folder).free
        yield CaseCache(cohort, folder, min(LARGEST_BYTES, int(free * _SHARE_OF_FREE)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
