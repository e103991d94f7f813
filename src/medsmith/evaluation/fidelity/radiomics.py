"""A radiomic feature vector: intensity, texture and gradients of the image, its labeled region and the shell around it.

Similar to the Fréchet radiomic distance (Konz, Osuala et al., Medical Image Analysis 2026), without its packages. It
needs no weights and is sensitive to lesions that fill a thousandth of the image. Shape is excluded; masks are compared
separately. For volumes, intensity, gradient and blob features are 3-D; textures are computed on three orthogonal
slices through the labeled region.
"""

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern

from medsmith.evaluation.fidelity.extractors import WHOLE, Columns, Parts, planes
from medsmith.evaluation.fidelity.views import View, ViewSpec

VERSION = 1
LEVELS = 16
STEPS = (1, 3)
BLOBS = (1.0, 2.0, 4.0)
_ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
_TEXTURES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
_PATTERNS = 10
_BINS = np.linspace(0, 256, 33)
_SHELL_PER_EDGE = 16

Region = Bool[np.ndarray, "x y z"]


@final
class Radiomics:
    """68 named features per view; in a view without labels, the whole image counts as labeled."""

    name = "radiomic vector"
    identity = f"definition {VERSION}"

    def __init__(self) -> None:
        blank = np.zeros((16, 16, 1))
        self.names = tuple(features(View("", blank.astype(np.float32), blank.astype(np.uint8), (1.0, 1.0, 1.0))))
        self.dimension = len(self.names)

    def __call__(self, views: Sequence[View]) -> Float64[np.ndarray, "n d"]:
        """One row of features per view, in the order of ``names``."""
        return np.array([list(features(view).values()) for view in views], np.float64)

    def parts(self, view_spec: ViewSpec) -> Parts:
        """The whole image and the inside of the labels apart, where labels are used."""
        if not view_spec.use_labels:
            return WHOLE
        places = {"whole image": "whole: ", "inside the labels": "inside: "}
        return Parts({title: self._columns(place) for title, place in places.items()})

    def _columns(self, place: str) -> Columns:
        return np.array([column for column, name in enumerate(self.names) if name.startswith(place)])


def features(view: View) -> Mapping[str, float]:
    """All features of one view: name -> value."""
    regions = _regions(view)
    found: dict[str, float] = {}
    for place, region in regions.items():
        found |= {f"{place}: {name}": value for name, value in _intensity(view.image[region]).items()}
    found["inside minus around: mean"] = found["inside: mean"] - found["around: mean"]
    found |= _gradients(view.image, regions)
    found |= _blobs(view.image, regions)
    found |= _textures(view)
    found |= _patterns(view)
    return found


def _regions(view: View) -> dict[str, Region]:
    """The whole image, its labeled region, and a shell around it, as thick as a sixteenth of the image edge."""
    whole = np.ones(view.labels.shape, dtype=bool)
    inside = view.labels > 0
    if not inside.any():
        return {"whole": whole, "inside": whole, "around": whole}
    distance = ndimage.distance_transform_edt(~inside)
    around = ~inside & (distance <= max(view.labels.shape) / _SHELL_PER_EDGE)
    return {"whole": whole, "inside": inside, "around": around if around.any() else inside}


def _intensity(values: Float32[np.ndarray, " voxels"]) -> dict[str, float]:
    """First-order statistics of gray values 0..255."""
    exact = values.astype(np.float64)
    mean, spread = exact.mean(), exact.std()
    z = (exact - mean) / max(spread, 1e-6)
    shares = np.histogram(exact, _BINS)[0] / len(exact)
    low, middle, high = np.percentile(exact, (10, 50, 90))
    return {
        "mean": float(mean),
        "standard deviation": float(spread),
        "skewness": float((z**3).mean()),
        "kurtosis": float((z**4).mean()),
        "10th percentile": float(low),
        "median": float(middle),
        "90th percentile": float(high),
        "entropy": _entropy(shares),
    }


def _entropy(shares: Float64[np.ndarray, "*bins"]) -> float:
    """Shannon entropy in bits."""
    filled = shares[shares > 0]
    return float(-(filled * np.log2(filled)).sum())


def _gradients(image: Float32[np.ndarray, "x y z"], regions: Mapping[str, Region]) -> dict[str, float]:
    """Statistics of the gradient magnitude, in gray levels per voxel."""
    axes = [axis for axis, edge in enumerate(image.shape) if edge > 1]
    gradients = np.gradient(image.astype(np.float64), axis=axes)
    magnitude = np.sqrt(np.sum(np.square(gradients), axis=0))
    found = {}
    for place, region in regions.items():
        part = magnitude[region]
        found[f"{place}: mean gradient"] = float(part.mean())
        found[f"{place}: spread of gradient"] = float(part.std())
        found[f"{place}: 90th percentile of gradient"] = float(np.percentile(part, 90))
    return found


def _blobs(image: Float32[np.ndarray, "x y z"], regions: Mapping[str, Region]) -> dict[str, float]:
    """Mean absolute scale-normalized Laplacian of Gaussian at three scales, in voxels."""
    axes = tuple(axis for axis, edge in enumerate(image.shape) if edge > 1)
    exact, found = image.astype(np.float64), {}
    for sigma in BLOBS:
        response = np.sum([_second_derivative(exact, sigma, axis, axes) for axis in axes], axis=0)
        for place in ("whole", "inside"):
            strength = np.abs(sigma**2 * response[regions[place]]).mean()
            found[f"{place}: Laplacian of Gaussian {sigma:g}"] = float(strength)
    return found


def _second_derivative(
    image: Float64[np.ndarray, "x y z"], sigma: float, axis: int, axes: tuple[int, ...]
) -> Float64[np.ndarray, "x y z"]:
    order = [2 if other == axis else 0 for other in axes]
    return np.asarray(ndimage.gaussian_filter(image, sigma, order=order, axes=axes, mode="nearest"))


def _textures(view: View) -> dict[str, float]:
    """Haralick features of the gray-level co-occurrence matrix, averaged over directions and slices."""
    slices = planes(view)
    whole = [(plane, np.ones(labels.shape, dtype=bool)) for plane, labels in slices]
    inside = [(plane, labels > 0 if view.labels.any() else labels == 0) for plane, labels in slices]
    found: dict[str, float] = {}
    for place, parts, step in (*(("whole", whole, step) for step in STEPS), ("inside", inside, STEPS[0])):
        counts = np.sum([_pairs(plane, region, step) for plane, region in parts], axis=0)
        found |= {f"{place}: {name} at {step}": value for name, value in _properties(counts).items()}
    return found


def _pairs(
    plane: Float32[np.ndarray, "u v"], region: Bool[np.ndarray, "u v"], step: int
) -> Float64[np.ndarray, "levels levels 1 angles"]:
    """Counts of gray-level pairs at a distance of ``step`` voxels, both inside the region (level 0 is the outside)."""
    levels = np.where(region, 1 + np.minimum(plane * LEVELS / 256, LEVELS - 1), 0).astype(np.uint8)
    counts = graycomatrix(levels, [step], _ANGLES, levels=LEVELS + 1, symmetric=True)
    return np.asarray(counts[1:, 1:], np.float64)


def _properties(counts: Float64[np.ndarray, "levels levels 1 angles"]) -> dict[str, float]:
    shares = counts / np.maximum(counts.sum(axis=(0, 1)), 1)
    found = {name: float(graycoprops(shares, name).mean()) for name in _TEXTURES}
    return found | {"entropy of pairs": _entropy(shares.mean(axis=(2, 3)))}


def _patterns(view: View) -> dict[str, float]:
    """Relative frequencies of the uniform local binary patterns of 8 neighbors (Ojala et al. 2002)."""
    per_plane = [_pattern_frequencies(np.rint(plane).astype(np.uint8)) for plane, _ in planes(view)]
    shares = np.mean(per_plane, axis=0)
    return {f"whole: local binary pattern {number}": float(value) for number, value in enumerate(shares)}


def _pattern_frequencies(plane: UInt8[np.ndarray, "u v"]) -> Float64[np.ndarray, " patterns"]:
    codes = np.asarray(local_binary_pattern(plane, 8, 1, method="uniform"), np.intp)
    return np.bincount(codes.ravel(), minlength=_PATTERNS) / codes.size


def standardize(
    reference: Float64[np.ndarray, "n d"], other: Float64[np.ndarray, "m d"]
) -> tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "m d"]]:
    """Both samples standardized by the reference's mean and standard deviation; constant features are only centered."""
    mean, spread = reference.mean(axis=0), reference.std(axis=0)
    scale = np.where(spread > 1e-9 * np.maximum(np.abs(mean), 1), spread, 1)
    return (reference - mean) / scale, (other - mean) / scale
