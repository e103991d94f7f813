"""Feature extractors; a distance between cohorts is meaningful only together with its extractor."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, final, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from medsmith.evaluation.fidelity.views import View
from medsmith.formats.atomic import write_bytes


@runtime_checkable
class Extractor(Protocol):
    """Computes feature vectors of views.

    Attributes:
        name: as shown in reports.
        identity: SHA-256 of its weights, or the version of its definition.
        dimension: number of features per view.
    """

    name: str
    identity: str
    dimension: int

    def __call__(self, views: Sequence[View]) -> Float64[np.ndarray, "n d"]:
        """One row of features per view, independent of the other views."""
        ...


@final
class CachedExtractor:
    """Wraps an extractor and caches its features in a folder.

    Args:
        extractor: the wrapped extractor.
        folder: cache folder, one file per view, named by a hash of the view and the extractor.
    """

    def __init__(self, extractor: Extractor, folder: Path) -> None:
        self.name, self.identity, self.dimension = extractor.name, extractor.identity, extractor.dimension
        self._extractor, self._folder = extractor, folder

    def __call__(self, views: Sequence[View]) -> Float64[np.ndarray, "n d"]:
        """One row of features per view."""
        paths = [self._folder / f"{self._key(view)}.f64" for view in views]
        missing = [index for index, path in enumerate(paths) if not path.exists()]
        if missing:
            rows = self._extractor([views[index] for index in missing])
            for index, row in zip(missing, rows, strict=True):
                write_bytes(paths[index], row.astype("<f8").tobytes())
        return np.stack([np.frombuffer(path.read_bytes(), "<f8") for path in paths])

    def _key(self, view: View) -> str:
        digest = hashlib.sha256(f"{self.name} {self.identity} {view.image.shape} {view.edges}".encode())
        digest.update(view.image.tobytes())
        digest.update(view.labels.tobytes())
        return digest.hexdigest()


def planes(view: View) -> list[tuple[Float32[np.ndarray, "u v"], UInt8[np.ndarray, "u v"]]]:
    """(image, labels) of a 2-D view, or of three orthogonal slices of a volume through the centroid of its labels.

    The slices of a volume without labels pass through its center.
    """
    if view.image.shape[2] == 1:
        return [(view.image[:, :, 0], view.labels[:, :, 0])]
    labeled = np.argwhere(view.labels > 0)
    center = labeled.mean(axis=0) if len(labeled) else (np.array(view.labels.shape) - 1) / 2
    cuts = [round(float(position)) for position in center]
    return [
        (np.take(view.image, cut, axis=axis), np.take(view.labels, cut, axis=axis)) for axis, cut in enumerate(cuts)
    ]
