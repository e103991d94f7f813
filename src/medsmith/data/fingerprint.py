"""What training needs to know of a cohort as a whole (nnU-Net's dataset fingerprint)."""

from collections.abc import Iterable, Mapping
from typing import final

import numpy as np
from jaxtyping import UInt8
from pydantic import BaseModel, ConfigDict
from scipy import ndimage

from medsmith.case import Case
from medsmith.errors import CohortError

# Robust ends of the grey values of one case, in per cent: metal, padding and burned-in text lie outside.
LOW, HIGH = 0.5, 99.5
# A minimum below this is air in Hounsfield units.
HOUNSFIELD_AIR = -500.0


@final
class Fingerprint(BaseModel):
    """Facts of a cohort, fixed when training starts.

    Attributes:
        dimensions: 2 or 3.
        channel_names: one per channel.
        label_names: label name -> value, background 0.
        file_ending: of the cohort's images.
        stored: dtype of the images on disk.
        shape: median voxels along x, y, z.
        spacing: median voxel edges in mm.
        spacing_known: False where the files store no spacing.
        absolute: True where grey values mean the same in every case (8-bit pictures, Hounsfield units); False where
            each case has a scale of its own (MR).
        full_range: lowest and highest stored value of each channel.
        robust_range: medians over cases of the 0.5 and 99.5 percentiles of each channel.
        foreground: smallest and largest share of labelled voxels.
        label_share: for each label, the share of cases that have it.
        components: most connected components of labelled voxels in a case.
        count: number of cases.
        cohort_hash: content hash of the cohort.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimensions: int
    channel_names: tuple[str, ...]
    label_names: Mapping[str, int]
    file_ending: str
    stored: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    spacing_known: bool
    absolute: bool
    full_range: tuple[tuple[float, float], ...]
    robust_range: tuple[tuple[float, float], ...]
    foreground: tuple[float, float]
    label_share: Mapping[str, float]
    components: int
    count: int
    cohort_hash: str

    @property
    def foreground_labels(self) -> tuple[int, ...]:
        """Label values above background, ascending: one mask channel each."""
        return tuple(sorted(value for value in self.label_names.values() if value > 0))


def count_components(labels: UInt8[np.ndarray, "x y z"]) -> int:
    """Connected components of labelled voxels, neighbours sharing a face, edge or corner."""
    return int(ndimage.label(labels > 0, structure=np.ones((3, 3, 3)))[1])


def _ranges(case: Case) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    full = [(float(channel.min()), float(channel.max())) for channel in case.image]
    robust = [tuple(float(q) for q in np.percentile(channel, (LOW, HIGH))) for channel in case.image]
    return full, [(low, high) for low, high in robust]


def take_fingerprint(cases: Iterable[Case], file_ending: str, cohort_hash: str) -> Fingerprint:
    """Read every case once.

    Args:
        cases: the cohort's cases.
        file_ending: of its images.
        cohort_hash: its content hash.

    Raises:
        CohortError: no case, or cases of 2 and 3 dimensions in one cohort.
    """
    shapes: list[tuple[float, float, float]] = []
    spacings: list[tuple[float, float, float]] = []
    full, robust, shares = [], [], []
    components = 0
    present: dict[str, int] = {}
    first: Case | None = None
    for case in cases:
        first = first or case
        if case.geometry.dimensions != first.geometry.dimensions:
            raise CohortError(case.id, f"{case.geometry.dimensions}-D among {first.geometry.dimensions}-D cases")
        shapes.append(case.geometry.shape)
        spacings.append(case.geometry.spacing)
        of_case, robust_of_case = _ranges(case)
        full.append(of_case)
        robust.append(robust_of_case)
        shares.append(float((case.labels > 0).mean()))
        components = max(components, count_components(case.labels))
        for name, value in case.label_names.items():
            present[name] = present.get(name, 0) + bool((case.labels == value).any())
    if first is None:
        raise CohortError("cohort", "no cases", cure="give a folder that holds images and labels")
    shape = _median(shapes)
    ends, middle = np.array(full), np.median(np.array(robust), axis=0)
    lowest, highest = ends[..., 0].min(axis=0), ends[..., 1].max(axis=0)
    return Fingerprint(
        dimensions=first.geometry.dimensions,
        channel_names=first.channel_names,
        label_names=dict(first.label_names),
        file_ending=file_ending,
        stored=first.stored.name,
        shape=(round(shape[0]), round(shape[1]), round(shape[2])),
        spacing=_median(spacings),
        spacing_known=first.geometry.spacing_known,
        absolute=first.stored == np.uint8 or bool(lowest.min() < HOUNSFIELD_AIR),
        full_range=tuple(zip(lowest.tolist(), highest.tolist(), strict=True)),
        robust_range=tuple((float(low), float(high)) for low, high in middle),
        foreground=(min(shares), max(shares)),
        label_share={name: n / len(shapes) for name, n in present.items()},
        components=components,
        count=len(shapes),
        cohort_hash=cohort_hash,
    )


def _median(triples: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    x, y, z = np.median(np.array(triples), axis=0)
    return float(x), float(y), float(z)
