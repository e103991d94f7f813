"""Feature extractors; a distance between cohorts is meaningful only together with its extractor."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, final, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, Int, UInt8

from medsmith.evaluation.fidelity.computing import device_of, precision_of
from medsmith.evaluation.fidelity.statistic import Distance, Sampled, Statistic
from medsmith.evaluation.fidelity.views import View, ViewSpec
from medsmith.formats.atomic import write_bytes
from medsmith.formats.opening import read_bytes

_STORED = np.dtype("<f8")
_DIGEST = 32
"""Bytes of the SHA-256 after the features of a file."""
Columns = Int[np.ndarray, " columns"]
Groups = Mapping[str, Columns]


def _unchanged(distance: Distance) -> Distance:
    return distance


@final
@dataclass(frozen=True)
class Parts:
    """Groups of an extractor's features that are reported apart.

    Attributes:
        columns: name -> columns of the features; empty if there are no groups.
        together: what a statistic of all features is; by default the statistic itself.
    """

    columns: Groups = field(default_factory=dict)
    together: Callable[[Distance], Distance] = _unchanged


WHOLE = Parts()


@runtime_checkable
class Extractor(Protocol):
    """Computes feature vectors of views.

    Attributes:
        name: as shown in reports.
        identity: SHA-256 of its weights, or the version of its definition.
        dimension: number of features per view.

    One with a network names as well its ``device``, the type of the device (``computing.device_of``), and its
    ``precision`` (``computing.precision_of``).
    """

    name: str
    identity: str
    dimension: int

    def __call__(self, views: Sequence[View]) -> Float64[np.ndarray, "n d"]:
        """One row of features per view, independent of the other views."""
        ...

    def parts(self, view_spec: ViewSpec) -> Parts:
        """The groups of the features of such views.

        Raises:
            RequestError: the extractor takes no such views.
        """
        ...


@final
class CachedExtractor:
    """Wraps an extractor and caches its features in a folder.

    Args:
        extractor: the wrapped extractor.
        folder: cache folder, one file per view, named by a hash of the view, the extractor and the type of the device.
    """

    def __init__(self, extractor: Extractor, folder: Path) -> None:
        self.name, self.identity, self.dimension = extractor.name, extractor.identity, extractor.dimension
        self.device, self.precision = device_of(extractor), precision_of(extractor)
        self._extractor, self._folder = extractor, folder

    def __call__(self, views: Sequence[View]) -> Float64[np.ndarray, "n d"]:
        """One row of features per view."""
        paths = [self._folder / f"{self._key(view)}.f64" for view in views]
        missing = [index for index, path in enumerate(paths) if not self._is_whole(path)]
        if missing:
            rows = self._extractor([views[index] for index in missing])
            for index, row in zip(missing, rows, strict=True):
                stored = row.astype(_STORED).tobytes()
                write_bytes(paths[index], stored + _digest(stored))
        return np.stack([np.frombuffer(read_bytes(path)[:-_DIGEST], _STORED) for path in paths])

    def _is_whole(self, path: Path) -> bool:
        """Whether a file holds the features that were written there; one that was damaged is written anew."""
        if not path.exists() or not path.stat().st_size:
            return False
        data = read_bytes(path)
        return data[-_DIGEST:] == _digest(data[:-_DIGEST])

    def parts(self, view_spec: ViewSpec) -> Parts:
        """Those of the wrapped extractor."""
        return self._extractor.parts(view_spec)

    def _key(self, view: View) -> str:
        computed = f"{self.name} {self.identity} {self.device} {self.precision}"
        digest = hashlib.sha256(f"{computed} {view.image.shape} {view.edges} {view.window}".encode())
        digest.update(view.image.tobytes())
        digest.update(view.labels.tobytes())
        return digest.hexdigest()


def _digest(stored: bytes) -> bytes:
    return hashlib.sha256(stored).digest()


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


def averaged(columns: Groups) -> Callable[[Distance], Distance]:
    """Turns a statistic into its mean over groups of features."""

    def mean_of(distance: Distance) -> Distance:
        def prepare(rows: Float64[np.ndarray, "n d"]) -> Statistic:
            return _MeanStatistic([distance.prepare(rows[:, part]) for part in columns.values()])

        return replace(distance, prepare=prepare)

    return mean_of


@final
class _MeanStatistic:
    """Mean of statistics; its jackknife is the mean of theirs, since they are of the same cases."""

    def __init__(self, statistics: Sequence[Statistic]) -> None:
        self._statistics = statistics

    def __call__(self, of_x: Int[np.ndarray, "s i"], of_y: Int[np.ndarray, "s j"]) -> Sampled:
        found = [statistic(of_x, of_y) for statistic in self._statistics]
        return Sampled(
            np.mean([each.values for each in found], axis=0),
            np.mean([each.of_x for each in found], axis=0),
            np.mean([each.of_y for each in found], axis=0),
        )
