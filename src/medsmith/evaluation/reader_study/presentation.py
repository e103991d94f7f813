"""Images as readers see them: both kinds pass through the same crop, resampling, clipping and quantization.

Axes: x y z of the patient; s slices, from the feet to the head, r rows and c columns of the picture as displayed.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, UInt16

from medsmith.cases.canonical import canonical_geometry
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cases.display import displayed
from medsmith.cases.hounsfield import check_hounsfield, is_ct
from medsmith.cases.windows import Window
from medsmith.data.fingerprint import HIGH, HOUNSFIELD_AIR, LOW
from medsmith.errors import CohortError, ContentError, RequestError
from medsmith.evaluation.reader_study.grid import Grid, common_grid
from medsmith.evaluation.reader_study.plan import REAL, SYNTHETIC, StudyPlan
from medsmith.evaluation.reader_study.selection import Selection, ShownCase, overlap_error
from medsmith.evaluation.reader_study.windows import levels_of, parse_windows
from medsmith.progress import Progress

_MOST_PIXELS = 2**27
_SHOWN = (0.1, 99.9)
"""Percentiles of all pixels that run from black to white where values are no Hounsfield units."""
_CLIPPED = 0.25
"""Share of the images of one kind that reach the same extreme value if their values were clipped there."""
_COARSE = 1.5
"""Gray steps, in display levels, from which the quantization of one cohort would show in a histogram."""
KINDS = (REAL, SYNTHETIC)
Stack = UInt16[np.ndarray, "_ _ _"]


@final
@dataclass(frozen=True, eq=False)
class Presentation:
    """The images of a study, ready for the page.

    Attributes:
        stacks: one per shown case, learning cases last; gray levels from 0.
        lowest: the gray value (HU, or 0) of level 0.
        highest: the largest gray value shown.
        windows: display windows.
        grid: common grid.
        dither: width of the uniform noise that hid a coarse quantization; 0 if none was needed.
        hounsfield: whether levels are Hounsfield units.
        remark: why display windows of CT are not used although one cohort may be CT; "" otherwise.
    """

    stacks: tuple[Stack, ...]
    lowest: float
    highest: float
    windows: tuple[Window, ...]
    grid: Grid
    dither: float
    hounsfield: bool
    remark: str

    @property
    def facts(self) -> Mapping[str, str]:
        """How both kinds were processed, for the key file and the report."""
        unit = "HU" if self.hounsfield else "of 0 to 255"
        dither = f"uniform noise {self.dither:.3g} wide on every image" if self.dither else "none"
        return {
            "grid": self.grid.description,
            "gray levels": f"{self.lowest:g} to {self.highest:g} {unit}, whole numbers",
            "dither against coarse gray steps": dither,
            "windows": ", ".join(f"{w.name} (level {w.level:g}, width {w.width:g})" for w in self.windows)
            + self.remark,
        }


def present(
    cohorts: Mapping[str, Cohort], selection: Selection, plan: StudyPlan, rng: np.random.Generator, progress: Progress
) -> Presentation:
    """Reads, crops, resamples, clips and quantizes the selected cases.

    Args:
        cohorts: ``REAL`` and ``SYNTHETIC`` -> cohort.
        selection: the cases.
        plan: windows, channel, slices and size.
        rng: of the dither.
        progress: display of the progress.

    Raises:
        CohortError: images too small, or one image twice.
        ContentError: CT values that are not Hounsfield units.
        RequestError: more pixels than a page can hold.
    """
    shown = (*selection.study, *selection.learning)
    grid = common_grid([canonical_geometry(cohorts[case.kind].geometry(case.id)) for case in shown], plan)
    if len(shown) * int(np.prod(grid.shape)) > _MOST_PIXELS:
        found = f"{len(shown)} images of {' x '.join(map(str, grid.shape))} pixels"
        raise RequestError("study", found, f"a page holds {_MOST_PIXELS:,} pixels", "lower --size, --slices or --count")
    with progress.task("turing", len(shown)) as advance:
        planes = []
        for case in shown:
            planes.append(_displayed(cohorts, case, grid, plan))
            advance(1, "")
    _check_distinct(planes, shown, cohorts)
    of_kinds = _hounsfield_kinds(planes, shown)
    hounsfield = len(of_kinds) == len(cohorts)
    # Gray values without a common scale (MR) are scaled image by image, all of them if any.
    absolute = hounsfield or all(plane.eight_bit for plane in planes)
    images = [plane.image if absolute else _to_byte_range(plane.image) for plane in planes]
    windows = parse_windows(plan.windows) if hounsfield else (_full_window(images),)
    lowest, highest = _common_range(images, shown, windows)
    for image in images:
        np.clip(image, lowest, highest, out=image)
    dither = _dither(images, shown)
    stacks = tuple(_quantized(image, (lowest, highest), dither, rng) for image in images)
    found = f"only the {of_kinds[0]} images have values below {HOUNSFIELD_AIR:g}" if of_kinds else ""
    remark = f"; no windows of CT, since {found}" if found and not hounsfield else ""
    return Presentation(stacks, lowest, highest, windows, grid, dither, hounsfield, remark)


def _hounsfield_kinds(planes: Sequence["_Displayed"], shown: Sequence[ShownCase]) -> tuple[str, ...]:
    """The kinds in Hounsfield units: of a channel CT, or with air in some image, as ``Fingerprint.is_hounsfield``."""
    parts = {kind: [plane for plane, case in zip(planes, shown, strict=True) if case.kind == kind] for kind in KINDS}
    return tuple(
        kind
        for kind, part in parts.items()
        if part[0].ct or (not part[0].eight_bit and min(plane.least for plane in part) < HOUNSFIELD_AIR)
    )


@final
@dataclass(frozen=True, eq=False)
class _Displayed:
    """A case on the common grid in stored gray values, and what these are.

    Attributes:
        image: the part that is shown.
        ct: whether the channel is named CT, and holds Hounsfield units.
        eight_bit: whether the file does.
        least: smallest value of the whole image.
    """

    image: Float32[np.ndarray, "s r c"]
    ct: bool
    eight_bit: bool
    least: float


def _displayed(cohorts: Mapping[str, Cohort], shown: ShownCase, grid: Grid, plan: StudyPlan) -> _Displayed:
    case = cohorts[shown.kind][shown.id]
    channel = case.channel_names.index(plan.channel) if plan.channel else 0
    image = case.require_image()[channel]
    ct = is_ct(case.channel_names[channel]) and case.stored != np.uint8
    if ct:
        check_hounsfield(image, shown.id)
    part = grid.crop(image, case.geometry, _level(case))
    picture = displayed(part, case.geometry.spacing_known).transpose(2, 1, 0)
    return _Displayed(np.ascontiguousarray(picture), ct, case.stored == np.uint8, float(image.min()))


def _to_byte_range(image: Float32[np.ndarray, "s r c"]) -> Float32[np.ndarray, "s r c"]:
    low, high = np.percentile(image, (LOW, HIGH))
    scaled: Float32[np.ndarray, "s r c"] = np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
    return scaled * np.float32(255)


def _level(case: Case) -> int:
    """The slice with most labeled voxels, or the middle one where there are none."""
    if case.labels is None or not case.labels.any():
        return case.geometry.shape[2] // 2
    return int((case.labels > 0).sum(axis=(0, 1)).argmax())


def _check_distinct(planes: Sequence[_Displayed], shown: Sequence[ShownCase], cohorts: Mapping[str, Cohort]) -> None:
    """Refuses one picture under two names, whatever its file."""
    seen: dict[bytes, ShownCase] = {}
    for plane, case in zip(planes, shown, strict=True):
        earlier = seen.setdefault(hashlib.sha256(plane.image.tobytes()).digest(), case)
        if earlier.kind != case.kind:
            raise overlap_error(cohorts[SYNTHETIC], [case.id])
        if earlier is not case:
            found = f"cases {earlier.id} and {case.id} show the same picture"
            raise CohortError(cohorts[case.kind].root, found, "each is shown once", "leave one of them out")
        if plane.ct != planes[0].ct:
            found = "the CT of one cohort is 8-bit, that of the other in Hounsfield units"
            raise ContentError(case.id, found, "both alike", "prepare both from the same kind of file")


def _full_window(images: Sequence[Float32[np.ndarray, "_ _ _"]]) -> Window:
    """One window for all images of both kinds, which few pixels exceed."""
    low, high = np.percentile(np.concatenate([image.ravel() for image in images]), _SHOWN)
    low, high = float(np.floor(low)), float(np.ceil(high))
    return Window("Full range", (low + high) / 2, max(high - low, 1.0))


def _common_range(
    images: Sequence[Float32[np.ndarray, "_ _ _"]], shown: Sequence[ShownCase], windows: Sequence[Window]
) -> tuple[float, float]:
    """The gray values that a window shows; where one cohort was clipped, the other is clipped there too."""
    ends = {
        kind: [
            (float(image.min()), float(image.max())) for image, c in zip(images, shown, strict=True) if c.kind == kind
        ]
        for kind in (REAL, SYNTHETIC)
    }
    low, high = levels_of(windows)
    lowest = max(low, *(-_plateau([-low for low, _ in of_kind]) for of_kind in ends.values()))
    highest = min(high, *(_plateau([high for _, high in of_kind]) for of_kind in ends.values()))
    if np.ceil(lowest) >= np.floor(highest):
        raise CohortError("study", "the gray values of the two cohorts do not overlap", cure="store both in one unit")
    return float(np.ceil(lowest)), float(np.floor(highest))


def _plateau(largest: Sequence[float]) -> float:
    """The value at which images were clipped, from the largest value of each; infinite if they were not."""
    top = max(largest)
    reached = sum(bool(np.isclose(value, top, rtol=0, atol=1e-3)) for value in largest)
    return top if reached >= max(2, _CLIPPED * len(largest)) else np.inf


def _dither(images: Sequence[Float32[np.ndarray, "_ _ _"]], shown: Sequence[ShownCase]) -> float:
    """Gray step of the coarser cohort, if a histogram would show it; else 0."""
    steps = [
        float(np.median([_step(image) for image, case in zip(images, shown, strict=True) if case.kind == kind]))
        for kind in (REAL, SYNTHETIC)
    ]
    return max(steps) if max(steps) > _COARSE else 0.0


def _step(image: Float32[np.ndarray, "s r c"]) -> float:
    """Median over pixels of the distance to the next darker gray value that occurs in the image."""
    values, counts = np.unique(image, return_counts=True)
    if len(values) < 2:
        return 0.0
    gaps = np.diff(values)
    order = np.argsort(gaps, kind="stable")
    weights = np.cumsum(counts[1:][order])
    return float(gaps[order][np.searchsorted(weights, weights[-1] / 2)])


def _quantized(
    image: Float32[np.ndarray, "s r c"], ends: tuple[float, float], dither: float, rng: np.random.Generator
) -> Stack:
    """Whole gray levels from 0. Dither of one quantization step fills the gaps of a coarse histogram (Roberts 1962)."""
    noise = rng.uniform(-dither / 2, dither / 2, image.shape) if dither else 0.0
    levels: Stack = (np.clip(np.rint(image + noise), *ends) - ends[0]).astype(np.uint16)
    return levels
