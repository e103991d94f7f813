"""Statistics of a cohort that training needs (nnU-Net's dataset fingerprint)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, final

import numpy as np
from jaxtyping import Float32, UInt8
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field
from scipy import ndimage

from medsmith.cases.canonical import canonical_geometry
from medsmith.cases.case import Case
from medsmith.errors import CohortError
from medsmith.formats.files import ENDINGS
from medsmith.geometry import Geometry

# Percentiles of the robust range of gray values of one case: metal, padding and burned-in text lie outside.
LOW, HIGH = 0.5, 99.5
# A minimum below this is air in Hounsfield units.
HOUNSFIELD_AIR = -500.0
Range = tuple[float, float]
_OLDER_LABELED = "labelled"
"""The key of ``labeled`` in run.json of older runs, the shipped ones among them."""


def _is_ending(ending: str) -> str:
    if ending not in ENDINGS:
        raise ValueError(f"must be one of {', '.join(ENDINGS)}")
    return ending


def _is_number_format(name: str) -> str:
    try:
        is_number = np.dtype(name).kind in "iuf"
    except TypeError:
        is_number = False
    if not is_number:
        raise ValueError("must be a number format, such as int16")
    return name


_Edge = Annotated[int, Field(ge=1, le=2**15)]
_Spacing = Annotated[float, Field(gt=0)]


@final
class Fingerprint(BaseModel):
    """Statistics of a cohort, fixed when training starts.

    Attributes:
        dimensions: 2 or 3.
        channel_names: one per channel.
        label_names: label name -> value, background 0.
        file_ending: of the cohort's images.
        stored: dtype of the images on disk; uint8 where there are only labels.
        shape: median voxels along x, y, z of the cases with images, or of all where none has one.
        spacing: median voxel edges in mm of the same cases.
        spacing_known: False where the files store no spacing.
        absolute: True where gray values have one scale in all cases (8-bit pictures, Hounsfield units); False where
            each case has its own (MR).
        full_range: lowest and highest stored value of each channel; () where no case has an image.
        robust_range: medians over cases of the 0.5 and 99.5 percentiles of each channel; () likewise.
        foreground: smallest and largest share of labeled voxels, over cases with labels; 0 where none has any.
        label_share: for each label, the share of cases with labels that have it.
        components: largest number of connected components of labeled voxels in a case.
        count: number of cases.
        cohort_hash: content hash of the cohort.
        images: number of cases with an image; None in older runs: all.
        labeled: number of cases with labels; None in older runs: all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    dimensions: Annotated[int, Field(ge=2, le=3)]
    channel_names: tuple[str, ...]
    label_names: Mapping[str, Annotated[int, Field(ge=0, le=255)]]
    file_ending: Annotated[str, AfterValidator(_is_ending)]
    stored: Annotated[str, AfterValidator(_is_number_format)]
    shape: tuple[_Edge, _Edge, _Edge]
    spacing: tuple[_Spacing, _Spacing, _Spacing]
    spacing_known: bool
    absolute: bool
    full_range: tuple[tuple[float, float], ...]
    robust_range: tuple[tuple[float, float], ...]
    foreground: tuple[float, float]
    label_share: Mapping[str, float]
    components: Annotated[int, Field(ge=0)]
    count: Annotated[int, Field(ge=0)]
    cohort_hash: str
    images: int | None = None
    labeled: int | None = Field(default=None, validation_alias=AliasChoices("labeled", _OLDER_LABELED))

    @property
    def is_hounsfield(self) -> bool:
        """Whether gray values are Hounsfield units: no 8-bit pictures, and some image has air."""
        return self.stored != "uint8" and bool(self.full_range) and self.full_range[0][0] < HOUNSFIELD_AIR

    @property
    def pairs(self) -> int:
        """Number of cases with an image and labels; every case has one of both."""
        return sum(self.count if each is None else each for each in (self.images, self.labeled)) - self.count

    @property
    def foreground_labels(self) -> tuple[int, ...]:
        """Label values above background, ascending: one mask channel each."""
        return tuple(sorted(value for value in self.label_names.values() if value > 0))


@final
@dataclass(frozen=True)
class _Grid:
    """What the builder keeps of every case."""

    geometry: Geometry
    stored: np.dtype[Any]
    has_image: bool


@final
class FingerprintBuilder:
    """Collects the statistics of a cohort case by case; it keeps a few numbers per case."""

    def __init__(self) -> None:
        self._names: tuple[tuple[str, ...], Mapping[str, int]] | None = None
        self._grids: list[_Grid] = []
        self._full: list[list[Range]] = []
        self._robust: list[list[Range]] = []
        self._shares: list[float] = []
        self._present: Counter[str] = Counter()
        self._components = 0

    def add(self, case: Case) -> None:
        """Add one case, whatever the order of its axes.

        Raises:
            CohortError: it is 2-D among 3-D cases, or the other way round.
        """
        geometry = canonical_geometry(case.geometry)
        if self._grids and geometry.dimensions != self._grids[0].geometry.dimensions:
            found = f"{geometry.dimensions}-D among {self._grids[0].geometry.dimensions}-D cases"
            raise CohortError(case.id, found, "all must be equal", "leave out one kind")
        self._names = self._names or (case.channel_names, dict(case.label_names))
        self._grids.append(_Grid(geometry, case.stored, case.image is not None))
        if case.image is not None:
            self._full.append([(float(channel.min()), float(channel.max())) for channel in case.image])
            self._robust.append([_robust_range(channel) for channel in case.image])
        if case.labels is not None:
            self._shares.append(float((case.labels > 0).mean()))
            self._components = max(self._components, count_components(case.labels))
            present = (name for name, value in case.label_names.items() if (case.labels == value).any())
            self._present.update(dict.fromkeys(case.label_names, 0))
            self._present.update(present)

    def finish(self, file_ending: str, cohort_hash: str) -> Fingerprint:
        """The fingerprint of all cases added.

        Args:
            file_ending: of the cohort's files.
            cohort_hash: its content hash.

        Raises:
            CohortError: there was no case.
        """
        if self._names is None:
            raise CohortError("cohort", "no cases", cure="give a folder that holds images, labels or both")
        grids = [grid for grid in self._grids if grid.has_image] or self._grids
        first, shape = grids[0], _median([grid.geometry.shape for grid in grids])
        full, absolute = self._full_range(), False
        if full:
            absolute = first.stored == np.uint8 or min(low for low, _ in full) < HOUNSFIELD_AIR
        return Fingerprint(
            dimensions=first.geometry.dimensions,
            channel_names=self._names[0],
            label_names=self._names[1],
            file_ending=file_ending,
            stored=first.stored.name,
            shape=(round(shape[0]), round(shape[1]), round(shape[2])),
            spacing=_median([grid.geometry.spacing for grid in grids]),
            spacing_known=first.geometry.spacing_known,
            absolute=absolute,
            full_range=full,
            robust_range=self._robust_range(),
            foreground=(min(self._shares, default=0.0), max(self._shares, default=0.0)),
            label_share={name: count / len(self._shares) for name, count in self._present.items()},
            components=self._components,
            count=len(self._grids),
            cohort_hash=cohort_hash,
            images=len(self._full),
            labeled=len(self._shares),
        )

    def _full_range(self) -> tuple[Range, ...]:
        by_channel = zip(*self._full, strict=True)
        return tuple((min(low for low, _ in ranges), max(high for _, high in ranges)) for ranges in by_channel)

    def _robust_range(self) -> tuple[Range, ...]:
        if not self._robust:
            return ()
        return tuple((float(low), float(high)) for low, high in np.median(np.array(self._robust), axis=0))


def take_fingerprint(cases: Iterable[Case], file_ending: str, cohort_hash: str) -> Fingerprint:
    """The fingerprint of a cohort; every case is read once.

    Args:
        cases: of the cohort, with an image, labels or both.
        file_ending: of its files.
        cohort_hash: its content hash.

    Raises:
        CohortError: no case, or cases of 2 and 3 dimensions in one cohort.
    """
    builder = FingerprintBuilder()
    for case in cases:
        builder.add(case)
    return builder.finish(file_ending, cohort_hash)


def count_components(labels: UInt8[np.ndarray, "x y z"]) -> int:
    """Connected components of labeled voxels, neighbours sharing a face, edge or corner."""
    return int(ndimage.label(labels > 0, structure=np.ones((3, 3, 3)))[1])


def _robust_range(channel: Float32[np.ndarray, "x y z"]) -> Range:
    low, high = np.percentile(channel, (LOW, HIGH))
    return float(low), float(high)


def _median(triples: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    x, y, z = np.median(np.array(triples), axis=0)
    return float(x), float(y), float(z)
