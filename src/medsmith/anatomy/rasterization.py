"""Contours to masks: a pixel belongs to a contour if its center lies inside.

Coordinates are fractions of the field of view: 0 and 1 are the outer edges of the outermost pixels, so the center of
pixel i of n lies at (i + 1/2) / n, and a contour can be rasterized on any grid.
"""

import numpy as np
from jaxtyping import Bool, Float64

Curve = Float64[np.ndarray, "_ 2"]
Mask = Bool[np.ndarray, "x y"]
Size = tuple[int, int]


def rasterize(curve: Curve, size: Size) -> Mask:
    """The pixels whose centers lie inside a closed curve by the even-odd rule; what lies out of view is cut off.

    Along every line of pixel centers parallel to x the crossings with the curve are sorted into pixels, and the pixels
    after an odd number of crossings are inside. The cost is that of the outline, not, as with scikit-image's
    ``polygon``, the number of pixels times that of points; for 384 points on 256 x 256 pixels it takes 0.3 ms, not 5.

    Args:
        curve: x and y in fractions of the field of view, the first point not repeated.
        size: pixels along x and y.
    """
    start = curve * size - 0.5
    end = np.roll(start, -1, axis=0)
    first, last = (np.floor(edge(start[:, 1], end[:, 1])).astype(np.int64) for edge in (np.minimum, np.maximum))
    count = last - first
    edge = np.repeat(np.arange(len(curve)), count)
    line = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge] + 1
    share = (line - start[edge, 1]) / (end[edge, 1] - start[edge, 1])
    crossing = start[edge, 0] + share * (end[edge, 0] - start[edge, 0])
    pixel = np.clip(np.floor(crossing).astype(np.int64) + 1, 0, size[0])
    seen = (line >= 0) & (line < size[1])
    crossings = np.bincount(pixel[seen] * size[1] + line[seen], minlength=(size[0] + 1) * size[1])
    parity = np.cumsum(crossings.astype(np.uint8).reshape(size[0] + 1, size[1]), axis=0, dtype=np.uint8) & 1
    return parity[:-1].astype(bool)


def signed_area(curve: Curve) -> float:
    """Enclosed share of the field of view (shoelace formula), positive if the curve turns from x towards y."""
    x, y = curve.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y)) / 2


def centroid(curve: Curve) -> Float64[np.ndarray, "2"]:
    """The centroid of the enclosed region; that of the points if the area is zero."""
    following = np.roll(curve, -1, axis=0)
    cross = curve[:, 0] * following[:, 1] - following[:, 0] * curve[:, 1]
    total = cross.sum()
    if abs(total) < np.finfo(np.float64).tiny:
        return np.asarray(curve.mean(axis=0))
    return np.asarray(((curve + following) * cross[:, None]).sum(axis=0) / (3 * total))
