"""How sharp a lesion's margin is: the width over which its edge rises from 10 % to 90 % of the contrast.

Profiles along the normals of the lesion's surface are averaged over patches of it. A logistic edge of free position is
fitted to each patch, so that an outline half a millimeter off does not count as blur. The median over the patches is
robust against those where another structure touches the lesion.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int
from scipy import ndimage
from scipy.special import expit

from medsmith.measurement.surface import Spacing, surface_of

WIDTH_PER_SCALE = 2 * float(np.log(9))
"""10-90 % width of a logistic edge 1 / (1 + exp(-s / k)) over its scale k."""
REACH_MM = 7.0
"""Length of a profile outwards, and inwards if the lesion is that deep."""
SHIFT_MM = 2.0
"""Largest distance of the fitted edge from the mask's border."""
COARSEST_MM = 2.0
"""Largest root mean square of the voxel edges at which a sharp edge does not measure as an ill-defined one."""
SMALLEST_CONTRAST = 3.0
"""Smallest ratio of a patch's contrast to the standard error of its profile and to the residual of the fit; below it,
the patch has no measurable edge."""
_STEP_MM = 0.25
_SCALES = np.geomspace(0.05, 4.0, 40)
_SHIFTS = np.linspace(-SHIFT_MM, SHIFT_MM, 17)
_FEWEST = 12
_MOST = 3000
_SHARE_BESIDE = 0.95

Directions = Float64[np.ndarray, "p 3"]


def resolves_margin(spacing: tuple[float, ...]) -> bool:
    """Whether a sharp edge measures as sharp on voxels of these edges in mm: their root mean square is small enough."""
    return float(np.sqrt(np.mean(np.square(spacing)))) <= COARSEST_MM


def margin_width(
    image: Float64[np.ndarray, "x y z"],
    mask: Bool[np.ndarray, "x y z"],
    beside: Sequence[Bool[np.ndarray, "x y z"]],
    spacing: Spacing,
    noise: float,
) -> float | None:
    """The 10-90 % width in mm; None if most patches have no measurable edge.

    Args:
        image: any units.
        mask: one connected lesion.
        beside: regions of the surroundings, the first that enough profiles stay in counts; without one, all profiles.
        spacing: voxel edges in mm.
        noise: standard deviation of the image's noise.
    """
    mesh = surface_of(mask, spacing)
    spread = slice(None, None, 1 + len(mesh.vertices) // _MOST)
    starts, normals = mesh.vertices[spread], mesh.normals[spread]
    distances = _distances(mask, spacing)
    places = starts[:, None] + distances[None, :, None] * normals[:, None]
    profiles, whole = _profiles(image, mask, beside, np.moveaxis(places / spacing, -1, 0), distances)
    patches, counts = _patch_means(profiles[whole], normals[whole])
    if not len(patches):
        return None
    widths, contrasts, left = _fitted(patches, distances)
    error = np.maximum(max(noise, 1e-6) / np.sqrt(counts), left)
    clear = (np.abs(contrasts) > SMALLEST_CONTRAST * error) & (np.sign(contrasts) == np.sign(np.median(contrasts)))
    if clear.sum() < max(1, len(clear) / 2):
        return None
    return _without_sampling(float(np.median(widths[clear])), spacing)


def _distances(mask: Bool[np.ndarray, "x y z"], spacing: Spacing) -> Float64[np.ndarray, " s"]:
    """Signed distances from the border at which profiles are sampled; negative inside, no deeper than the lesion."""
    depth = float(ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing).max())
    inwards = min(REACH_MM, max(depth, 2 * _STEP_MM))
    return np.arange(-inwards, REACH_MM + _STEP_MM / 2, _STEP_MM)


def _profiles(
    image: Float64[np.ndarray, "x y z"],
    mask: Bool[np.ndarray, "x y z"],
    beside: Sequence[Bool[np.ndarray, "x y z"]],
    at: Float64[np.ndarray, "3 v s"],
    distances: Float64[np.ndarray, " s"],
) -> tuple[Float64[np.ndarray, "v s"], Bool[np.ndarray, " v"]]:
    """A profile per vertex, and which are valid: they leave the lesion once and stay in the image and beside it."""
    profiles = ndimage.map_coordinates(image, at, order=1, mode="nearest")
    inside = ndimage.map_coordinates(mask.astype(np.float32), at, order=1, mode="constant") > 0.5
    last = np.array(image.shape)[:, None, None] - 1
    whole = np.asarray(((at >= 0) & (at <= last)).all(axis=(0, 2)))
    whole &= ~inside[:, distances > SHIFT_MM].any(axis=1)
    for region in beside:
        within = ndimage.map_coordinates((region | mask).astype(np.float32), at, order=1, mode="constant") > 0.5
        staying = whole & (within.mean(axis=1) >= _SHARE_BESIDE)
        if staying.sum() >= max(_FEWEST, len(whole) / 10):
            return np.asarray(profiles, np.float64), staying
    return np.asarray(profiles, np.float64), whole


def _patch_means(
    profiles: Float64[np.ndarray, "v s"], normals: Float64[np.ndarray, "v 3"]
) -> tuple[Float64[np.ndarray, "p s"], Float64[np.ndarray, " p"]]:
    """Mean profiles of the patches that face the 26 directions of a voxel's neighbours, and their sizes."""
    owner: Int[np.ndarray, " v"] = np.argmax(normals @ _directions().T, axis=1)
    counts = np.bincount(owner, minlength=26).astype(np.float64)
    summed = np.zeros((26, profiles.shape[1]))
    np.add.at(summed, owner, profiles)
    used = counts >= _FEWEST
    return summed[used] / counts[used, None], counts[used]


def _directions() -> Directions:
    offsets = np.array(np.meshgrid(*[(-1.0, 0.0, 1.0)] * 3, indexing="ij")).reshape(3, -1).T
    around = offsets[np.any(offsets != 0, axis=1)]
    return np.asarray(around / np.linalg.norm(around, axis=1, keepdims=True))


def _fitted(
    profiles: Float64[np.ndarray, "p s"], distances: Float64[np.ndarray, " s"]
) -> tuple[Float64[np.ndarray, " p"], Float64[np.ndarray, " p"], Float64[np.ndarray, " p"]]:
    """Least-squares logistic edge of each profile: 10-90 % width, contrast (inside minus outside), RMS residual.

    Scale and position are searched on a grid; level and contrast are linear, so all fits are one matrix product.
    """
    scales, shifts = (part.ravel() for part in np.meshgrid(_SCALES, _SHIFTS, indexing="ij"))
    edges = expit((shifts[:, None] - distances) / scales[:, None])
    centerd = edges - edges.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centerd, axis=1)
    steep = profiles - profiles.mean(axis=1, keepdims=True)
    along = steep @ (centerd / lengths[:, None]).T
    best = np.argmax(np.abs(along), axis=1)
    found = along[np.arange(len(profiles)), best]
    left = np.sqrt(np.maximum(np.mean(steep**2, axis=1) - found**2 / len(distances), 0))
    return WIDTH_PER_SCALE * scales[best], found / lengths[best], left


def _without_sampling(width: float, spacing: Spacing) -> float:
    """Corrects for linear interpolation, which adds h^2 / 6 to the edge's variance pi^2 k^2 / 3."""
    added = 3 * np.mean(np.square(spacing)) / 6 / np.pi**2
    return float(WIDTH_PER_SCALE * np.sqrt(max((width / WIDTH_PER_SCALE) ** 2 - added, _SCALES[0] ** 2)))
