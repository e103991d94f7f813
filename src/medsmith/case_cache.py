"""Decoded cases between the two passes of a new run, so that each file is read once."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np

from medsmith.case import Case
from medsmith.cohort import Cohort

LARGEST_BYTES = 16 * 2**30
_SHARE_OF_FREE = 0.5


@final
class CaseCache:
    """Gives the cases of a cohort; those that were read before come from disk without being decoded again.

    Args:
        cohort: whose cases.
        folder: where decoded cases lie meanwhile.
        room: bytes that they may take; cases beyond it are read from the cohort again.
    """

    def __init__(self, cohort: Cohort, folder: Path, room: int) -> None:
        self._cohort, self._folder, self._left = cohort, folder, room
        self._kept: dict[str, Case] = {}

    def __iter__(self) -> Iterator[Case]:
        """Every case in order; each is kept as it passes."""
        for case in self._cohort:
            self._keep(case)
            yield case

    def __call__(self, id: str) -> Case:
        """One case."""
        kept = self._kept.get(id)
        if kept is None:
            return self._cohort[id]
        image = self._read(id, "image", kept.stored, (len(kept.channel_names), *kept.geometry.shape))
        labels = self._read(id, "labels", np.dtype(np.uint8), kept.geometry.shape)
        return replace(kept, image=image.astype(np.float32), labels=labels)

    def _keep(self, case: Case) -> None:
        exact = np.array_equal(case.image.astype(case.stored), case.image)
        stored = case.stored if exact else np.dtype(np.float32)
        needed = case.image.size * stored.itemsize + case.labels.size
        if needed > self._left:
            return
        try:
            case.image.astype(stored).tofile(self._folder / f"{case.id}.image")
            case.labels.tofile(self._folder / f"{case.id}.labels")
        except OSError:
            self._left = 0  # no room after all: later cases are read again
            return
        self._left -= needed
        self._kept[case.id] = replace(case, image=_hollow(case.image), labels=_hollow(case.labels))

    def _read(self, id: str, part: str, dtype: "np.dtype[np.generic]", shape: tuple[int, ...]) -> np.ndarray:
        return np.fromfile(self._folder / f"{id}.{part}", dtype).reshape(shape)


def _hollow(array: np.ndarray) -> np.ndarray:
    """An array of the same shape that takes no memory."""
    return np.broadcast_to(np.zeros((), array.dtype), array.shape)


@contextmanager
def cached_cases(cohort: Cohort, folder: Path) -> Iterator[CaseCache]:
    """A cache of a cohort; nothing is left of it afterwards.

    Args:
        cohort: whose cases.
        folder: made if missing, removed at the end.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        free = shutil.disk_usage(folder).free
        yield CaseCache(cohort, folder, min(LARGEST_BYTES, int(free * _SHARE_OF_FREE)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
