"""Diversity of a cohort: structural similarity between its own images, at several scales and at one.

SSIM is that of Wang et al. 2004, MS-SSIM that of Wang et al. 2003. The lower the mean similarity of pairs, the more the
images differ. It says nothing of realism (noise is diverse), so that synthetic pairs are compared with real ones and a
difference in either direction is a difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8
from scipy import ndimage, stats

from medsmith.data.resizing import resize
from medsmith.evaluation.fidelity.bootstrap import LEVEL, Estimate

CASES, PARTNERS = 40, 2
LEAST = {"MS-SSIM": 0.0, "SSIM": -1.0}
"""The measures, each with its least value; the largest is 1."""
LARGEST_EDGE = {2: 256, 3: 48}
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5
_RANGE = 255.0
_STABLE = (0.01 * _RANGE) ** 2, (0.03 * _RANGE) ** 2
METHOD, METHOD_OF_DIFFERENCE = (
    "Student's, jackknife over cases",
    "Student's, jackknife over the cases of both cohorts",
)

Image = Float[np.ndarray, "_ _ _"] | UInt8[np.ndarray, "_ _ _"]


@final
@dataclass(frozen=True)
class Diversity:
    """Mean similarity of pairs of images of one cohort, by one measure.

    Attributes:
        real: of real pairs.
        synthetic: of synthetic pairs.
        difference: synthetic minus real; above 0 the synthetic images are more alike.
    """

    real: Estimate
    synthetic: Estimate
    difference: Estimate

    def as_json(self) -> Mapping[str, object]:
        """The diversity as JSON values."""
        parts = {"real": self.real, "synthetic": self.synthetic, "difference": self.difference}
        return {name: part.as_json() for name, part in parts.items()}


def compare_diversity(real: Sequence[Image], synthetic: Sequence[Image], *, seed: int) -> dict[str, Diversity]:
    """Mean MS-SSIM and mean SSIM of the same pairs within each cohort, for equally many cases of both.

    Args:
        real: gray values 0 to 255 on the common grid (``for_similarity``), at least three.
        synthetic: the same of the synthetic cohort.
        seed: of the pairs.
    """
    count = min(len(real), len(synthetic), CASES)
    of_real, of_synthetic = (
        _mean_similarities([images[index] for index in _evenly(len(images), count)], seed)
        for images in (real, synthetic)
    )
    rows = zip(LEAST.items(), of_real, of_synthetic, strict=True)
    return {name: _diversity(one, other, count, least) for (name, least), one, other in rows}


def _diversity(real: tuple[float, float], synthetic: tuple[float, float], count: int, least: float) -> Diversity:
    """Of the mean similarity of each cohort and its jackknife variance."""
    (of_real, error_real), (of_synthetic, error_synthetic) = real, synthetic
    return Diversity(
        _estimate(of_real, (error_real,), count, (least, 1.0)),
        _estimate(of_synthetic, (error_synthetic,), count, (least, 1.0)),
        _estimate(of_synthetic - of_real, (error_real, error_synthetic), count, (least - 1, 1 - least)),
    )


def _estimate(value: float, variances: tuple[float, ...], count: int, bounds: tuple[float, float]) -> Estimate:
    """With Student's 95 % interval for a sum of jackknife variances.

    Each has count - 1 degrees of freedom; their sum has those of Welch and Satterthwaite (1946).
    """
    variance = sum(variances)
    freedom = (count - 1) * variance**2 / sum(each**2 for each in variances) if variance > 0 else count - 1
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(variance))
    low, high = np.clip((value - half, value + half), *bounds)
    return Estimate(value, float(low), float(high), count, METHOD if len(variances) == 1 else METHOD_OF_DIFFERENCE)


def ms_ssim(first: Image, second: Image) -> float:
    """MS-SSIM of two images with gray values 0 to 255, in 2-D (z == 1) or 3-D.

    Gaussian window of 11 voxels and 1.5 voxels' standard deviation; means over 2 voxels between scales; as many of the
    five published scales as the image holds, their weights scaled to the sum 1.

    Args:
        first: at least 11 voxels along each axis.
        second: of the same shape.
    """
    return similarities(first, second)[0]


def similarities(first: Image, second: Image) -> tuple[float, float]:
    """MS-SSIM (see ``ms_ssim``) and SSIM of two images; SSIM has the same window, at the finest scale alone."""
    one, other = (np.squeeze(image, 2) if image.shape[2] == 1 else image for image in (first, second))
    one, other = one.astype(np.float64), other.astype(np.float64)
    scales = max(1, min(len(WEIGHTS), int(np.log2(min(one.shape) / WINDOW)) + 1))
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    found = []
    for _ in range(scales):
        found.append(_similarity(one, other))
        one, other = _halved(one), _halved(other)
    parts = [structure for _, structure in found[:-1]] + [found[-1][0]]
    # Opposite structure has a negative similarity, whose fractional power is undefined.
    return float(np.prod(np.maximum(parts, 0) ** weights)), found[0][0]


def _similarity(one: Float64[np.ndarray, "*space"], other: Float64[np.ndarray, "*space"]) -> tuple[float, float]:
    """Mean SSIM, and mean of its factor of contrast and structure."""
    mean_one, mean_other = _smooth(one), _smooth(other)
    spread_one = _smooth(one * one) - mean_one**2
    spread_other = _smooth(other * other) - mean_other**2
    common = _smooth(one * other) - mean_one * mean_other
    structure = (2 * common + _STABLE[1]) / (spread_one + spread_other + _STABLE[1])
    brightness = (2 * mean_one * mean_other + _STABLE[0]) / (mean_one**2 + mean_other**2 + _STABLE[0])
    return float((brightness * structure).mean()), float(structure.mean())


def _smooth(image: Float64[np.ndarray, "*space"]) -> Float64[np.ndarray, "*inner"]:
    """Gaussian mean where the window lies within the image."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    window = np.exp(-(offsets**2) / (2 * SIGMA**2))
    window /= window.sum()
    for axis in range(image.ndim):
        image = np.asarray(ndimage.correlate1d(image, window, axis))
    inner: Float64[np.ndarray, "*inner"] = image[(slice(WINDOW // 2, -(WINDOW // 2)),) * image.ndim]
    return inner


def _halved(image: Float64[np.ndarray, "*space"]) -> Float64[np.ndarray, "*half"]:
    """Means of blocks of 2 voxels along every axis; a last odd voxel is left out."""
    for axis in range(image.ndim):
        even = np.take(image, range(image.shape[axis] // 2 * 2), axis)
        split = (*even.shape[:axis], even.shape[axis] // 2, 2, *even.shape[axis + 1 :])
        image = even.reshape(split).mean(axis + 1)
    return image


def _mean_similarities(images: Sequence[Image], seed: int) -> list[tuple[float, float]]:
    """For each measure its mean over pairs of each image with the next ones in random order, and its variance.

    The variance is that of the jackknife over cases.
    """
    count = len(images)
    order = np.random.default_rng(seed).permutation(count)
    steps = range(1, 1 + min(PARTNERS, (count - 1) // 2))
    pairs = [(order[at], order[(at + step) % count]) for step in steps for at in range(count)]
    found = np.array([similarities(images[i], images[j]) for i, j in pairs])
    touched = np.array([[case in pair for pair in pairs] for case in range(count)])
    return [_with_variance(values, touched) for values in found.T]


def _with_variance(
    values: Float64[np.ndarray, " pairs"], touched: Bool[np.ndarray, "cases pairs"]
) -> tuple[float, float]:
    count = len(touched)
    without = np.array([values[~own].mean() for own in touched])
    return float(values.mean()), float((count - 1) / count * ((without - without.mean()) ** 2).sum())


def for_similarity(image: Float32[np.ndarray, "x y z"]) -> Float32[np.ndarray, "x y z"]:
    """The image on a grid of at most 256 x 256 pixels or 48 x 48 x 48 voxels, for the sake of time."""
    flat = image.shape[2] == 1
    edge = min(max(image.shape), LARGEST_EDGE[2 if flat else 3])
    shape = (edge, edge, 1 if flat else edge)
    return image if image.shape == shape else resize(image, shape)


def _evenly(length: int, count: int) -> list[int]:
    return [int(index) for index in np.linspace(0, length - 1, count).round()]
