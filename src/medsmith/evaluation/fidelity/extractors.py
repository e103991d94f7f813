"""What turns a view into numbers. A distance means something only beside the name of its extractor."""

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
    """Features of views.

    Attributes:
        name: as it stands beside every figure.
        identity: SHA-256 of its weights, or the version of its definition.
        dimension: features per view.
    """

    name: str
    identity: str
    dimension: int

    def __call__(self, views: Sequence[View]) -> Float64[np.ndarray, "n d"]:
        """One row of features per view, independent of the other views."""
        ...


@final
class Remembered:
    """An extractor that computes a view's features once and keeps them in a folder, also for later evaluations.

    Args:
        extractor: what computes them.
        folder: one file per view, named by the hash of the view and the extractor.
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
    """The picture itself, or the three orthogonal slices of a volume through the centre of its labelled voxels.

    A volume without labels is cut through its middle.
    """
    if view.image.shape[2] == 1:
        return [(view.image[:, :, 0], view.labels[:, :, 0])]
    labelled = np.argwhere(view.labels > 0)
    centre = labelled.mean(axis=0) if len(labelled) else (np.array(view.labels.shape) - 1) / 2
    cuts = [round(float(position)) for position in centre]
    return [
        (np.take(view.image, cut, axis=axis), np.take(view.labels, cut, axis=axis)) for axis, cut in enumerate(cuts)
    ]
