"""A shape space of label maps: closed B-spline contours in the space of their principal components.

A. Krishna et al. 2025, "Guided synthesis of annotated lung CT images with pathologies using a multi-conditioned
denoising diffusion probabilistic model (mDDPM)", section 4.1. The paper names B-splines, their control points and PCA;
everything else is ours and is stated in docs/anatomy.md.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.anatomy.contours import paint
from medsmith.anatomy.drawing import SPREAD, Verdict, contours_of, draw_contours, draw_slots, judge
from medsmith.anatomy.fitting import fit_space
from medsmith.anatomy.rasterization import Size
from medsmith.anatomy.record import LARGEST_GRAY, SpaceArrays, SpaceRecord
from medsmith.anatomy.regions import regions_of
from medsmith.anatomy.space_file import hash_of, read_space, space_bytes, write_space
from medsmith.cases.case import Case
from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.errors import RequestError, similar
from medsmith.progress import NullProgress, Progress

Map = UInt8[np.ndarray, "x y"]
MOST_ATTEMPTS = 1000
SAME_STRUCTURES = 100
"""After so many illegal draws other structures are drawn as well: in a few slices some never fit together."""
_MOST_SPREAD = 5.0
_SIZES = (8, 4096)


def check_draw(seed: int, size: Size, spread: float) -> None:
    """Checks the arguments of a draw.

    Raises:
        RequestError: the seed is negative, or size or spread are out of range.
    """
    if seed < 0:
        raise RequestError("shape space", f"seed {seed}", "seeds are 0 or more", "choose another")
    low, high = _SIZES
    if not all(low <= edge <= high for edge in size):
        raise RequestError("shape space", f"size {size[0]} x {size[1]}", f"{low} to {high} pixels", "choose another")
    if not (math.isfinite(spread) and 0 <= spread <= _MOST_SPREAD):
        limit = f"0 to {_MOST_SPREAD:g} standard deviations"
        raise RequestError("shape space", f"spread {spread:g}", limit, "choose another")


@final
@dataclass(frozen=True, eq=False)
class AnatomyMap:
    """A drawn anatomy, x to the right and y to the front.

    Attributes:
        labels: the cohort's labels alone.
        regions: labels and context classes.
        attempts: how often contours were drawn until they were legal.
    """

    labels: Map
    regions: Map
    attempts: int


@final
@dataclass(frozen=True, eq=False)
class ShapeSpace:
    """The shapes of a cohort's label maps, learned, to draw new maps from.

    Attributes:
        record: its facts.
        arrays: its numbers.
    """

    record: SpaceRecord
    arrays: SpaceArrays

    @classmethod
    def fit(
        cls,
        cohort: CohortLike,
        *,
        points: int = 48,
        variance: float = 0.98,
        context: str = "auto",
        progress: Progress | None = None,
    ) -> "ShapeSpace":
        """Learns the shapes of all labeled slices, or of thresholds alone if no case has labels.

        Args:
            cohort: of single slices.
            points: control points per contour, 8 to 512.
            variance: share of the variance that the components keep; see ``fitting`` for the weight of each contour.
            context: classes that thresholds add below the labels: "auto" for body and lung where they are found,
                "none", or names among body, lung and bone, separated by commas.
            progress: of the slices.

        Raises:
            RequestError: points, variance or context cannot be used.
            CohortError: fewer than three cases, or no structure that three of them share.
            GeometryError: a case is a volume.
            MedsmithError: a case cannot be read.
        """
        return cls(*fit_space(as_cohort(cohort), points, variance, context, progress or NullProgress()))

    @classmethod
    def load(cls, path: Path | str) -> "ShapeSpace":
        """Reads a space.

        Raises:
            FileError: there is no such file, or it is no shape space, or damaged.
        """
        return cls(*read_space(Path(path)))

    def save(self, path: Path | str) -> None:
        """Writes the space atomically as one safetensors file.

        Raises:
            FileError: the path holds something else, or cannot be written.
        """
        write_space(Path(path), self._bytes)

    @cached_property
    def _bytes(self) -> bytes:
        return space_bytes(self.record, self.arrays)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the file."""
        return hash_of(self._bytes)

    @property
    def label_names(self) -> Mapping[str, int]:
        """The cohort's labels -> value; "background" is 0."""
        return self.record.label_names

    @property
    def context_names(self) -> Mapping[str, int]:
        """Context classes -> value in the map of regions."""
        return self.record.context_names

    def sample(self, seed: int, size: Size, spread: float = SPREAD) -> AnatomyMap:
        """Draws a legal anatomy; the seed decides the anatomy, the size only the resolution.

        A set of structures is drawn by its frequency in training, then a score per component from the normal
        distribution truncated at +-spread standard deviations. Where contours are illegal (see ``legality``), the
        scores are drawn again; the structures stay, for 100 attempts, so that their frequencies are those of training.

        Args:
            seed: 0 or more.
            size: pixels along x and y.
            spread: largest deviation from the mean per component, in standard deviations; 0 gives the mean.

        Raises:
            RequestError: size or spread out of range, or no legal anatomy in 1000 attempts.
        """
        check_draw(seed, size, spread)
        rng = np.random.Generator(np.random.PCG64(seed))
        slots = draw_slots(self.record.patterns, rng)
        for attempt in range(1, MOST_ATTEMPTS + 1):
            if attempt % SAME_STRUCTURES == 0:
                slots = draw_slots(self.record.patterns, rng)
            drawn = draw_contours(self.arrays, slots, rng, spread)
            if judge(self.arrays, drawn) is Verdict.LEGAL:
                regions = paint(contours_of(self.record, drawn), self.record.paint_order, size, self.record.within)
                return AnatomyMap(self._labels(regions), regions, attempt)
        rate = self.record.rejection.rate
        found = f"no legal anatomy in {MOST_ATTEMPTS} attempts with seed {seed} and spread {spread:g}"
        limit = f"{rate:.0%} were illegal when the space was fitted"
        raise RequestError("shape space", found, limit, "use a smaller spread, or fit it on more cases")

    def _labels(self, regions: Map) -> Map:
        kept = np.isin(regions, list(self.label_names.values()))
        return np.where(kept, regions, np.uint8(0))

    def map_of(self, regions: Map) -> AnatomyMap:
        """The anatomy of given regions, such as those of a real slice; nothing was drawn for it.

        Args:
            regions: values of classes, on any grid.
        """
        return AnatomyMap(self._labels(regions), regions, 0)

    def regions_of(self, case: Case) -> Map:
        """The regions of a slice: its labels by their names, and below them the context classes of the space.

        Context is found in the image by thresholds, unless the case declares it as labels, as drawn cases do.

        Raises:
            GeometryError: the case is a volume.
            ContentError: the space has context classes and the case no image, or the case a label that is no class.
        """
        return regions_of(case, self.label_names, self.context_names)

    def guidance_image(self, regions: AnatomyMap | Map) -> Float32[np.ndarray, "c x y"]:
        """An image in which each class has its mean gray value, in the units of the cohort.

        Args:
            regions: a drawn anatomy, or the regions of a real slice.

        Raises:
            RequestError: a class has no gray value.
        """
        values = regions.regions if isinstance(regions, AnatomyMap) else regions
        gray = self.record.gray_values
        channels = len(next(iter(gray.values()), ()))
        table = np.full((256, channels), np.nan, dtype=np.float32)
        for name, numbers in gray.items():
            table[self.record.region_names[name]] = numbers
        image: Float32[np.ndarray, "c x y"] = np.ascontiguousarray(np.moveaxis(table[values], -1, 0))
        if not channels or np.isnan(image).any():
            there = set(np.unique(values).tolist())
            lacking = [name for name, value in self.record.region_names.items() if value in there and name not in gray]
            found, cure = f"no gray value of {', '.join(lacking)}", "fit the space with --gray NAME=VALUE"
            raise RequestError("shape space", found, cure=cure)
        return image

    def with_gray_values(self, gray: Mapping[str, Sequence[float]]) -> "ShapeSpace":
        """The same space with other gray values of some classes, one number per channel each.

        Raises:
            RequestError: no such class, another number of channels, or a value beyond 1e9.
        """
        names, known = self.record.region_names, self.record.gray_values
        channels = len(next(iter((known or gray).values()), ()))
        for name, numbers in gray.items():
            if name not in names:
                raise RequestError(
                    "--gray", f"no class '{name}'", f"there are {', '.join(names)}", similar(name, names, "choose one")
                )
            # Written so that NaN is refused as well.
            if len(numbers) != channels or not all(abs(number) <= LARGEST_GRAY for number in numbers):
                found = f"{name} = {', '.join(f'{number:g}' for number in numbers)}"
                limit = f"one number for each of {channels} channels, from {-LARGEST_GRAY:g} to {LARGEST_GRAY:g}"
                raise RequestError("--gray", found, limit, "correct it")
        changed = {**known, **{name: tuple(map(float, numbers)) for name, numbers in gray.items()}}
        return replace(self, record=self.record.model_copy(update={"gray_values": changed}))
