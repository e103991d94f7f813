"""Resamples both cohorts to a common grid and gray range, so that resolution and scaling do not affect the measures."""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.cases.case import Case
from medsmith.data.fingerprint import HIGH, LOW, Fingerprint
from medsmith.data.resizing import resize, resize_labels
from medsmith.errors import RequestError

LARGEST_VOLUME_EDGE = 96
MIN_EDGE = 16


@final
@dataclass(frozen=True, eq=False)
class View:
    """One case on the common grid and gray range.

    Attributes:
        id: of the case.
        image: gray values from 0 to 255; a square (z == 1) or a cube; all zero if the case has no image.
        labels: on the same grid; all zero if the case has no labels.
        edges: voxel size along x, y, z in mm, or in percent of the image edge if the spacing is unknown.
        has_image: whether the case has an image.
        has_labels: whether the case has labels.
        oriented: whether its orientation is known.
        proportions: relative voxel size along x, y, z, by which it is drawn: the field of view as stored.
        window: gray values of the case that 0 and 255 stand for; None where they have no fixed meaning.
    """

    id: str
    image: Float32[np.ndarray, "x y z"]
    labels: UInt8[np.ndarray, "x y z"]
    edges: tuple[float, float, float]
    has_image: bool = True
    has_labels: bool = True
    oriented: bool = False
    proportions: tuple[float, float, float] = (1.0, 1.0, 1.0)
    window: tuple[float, float] | None = None

    @property
    def without_labels(self) -> "View":
        """The same view without labels."""
        return replace(self, labels=np.zeros_like(self.labels), has_labels=False)


@final
@dataclass(frozen=True)
class ViewSpec:
    """The common grid and gray range of the views.

    Attributes:
        shape: number of voxels along x, y, z.
        channel: index of the compared channel in the real cohort; None if one of the cohorts has no images.
        channel_name: its name, by which it is found in every cohort.
        window: gray values mapped to 0 and 255; None uses each case's own percentiles.
        in_millimeters: whether lengths are in mm, else in percent of the image edge.
        use_labels: whether image features may use the labels, which requires labels of every case of both cohorts.
    """

    shape: tuple[int, int, int]
    channel: int | None
    channel_name: str
    window: tuple[float, float] | None
    in_millimeters: bool
    use_labels: bool = True

    @property
    def unit(self) -> str:
        """Unit of a length."""
        return "mm" if self.in_millimeters else "% of the edge"

    @property
    def description(self) -> str:
        """The preprocessing of both cohorts, for the report."""
        grid = " x ".join(str(n) for n in self.shape if n > 1)
        if self.channel is None:
            return (
                f"Labels alone; both cohorts resampled to {grid} by nearest neighbor, the field of view stretched to "
                f"a square. Finer detail than this grid is not compared."
            )
        low, high = self.window or (0.0, 0.0)
        gray_range = f"{low:g} to {high:g}" if self.window else f"each case's percentiles {LOW} to {HIGH}"
        return (
            f"Channel {self.channel_name}; both cohorts resampled to {grid} by one antialiased linear filter "
            f"(labels by nearest neighbor), the field of view stretched to a square; gray range {gray_range} mapped "
            f"to 0 to 255. Finer detail than this grid is not compared."
        )

    def view(self, case: Case) -> View:
        """A case on the common grid and gray range."""
        extent = zip(case.geometry.spacing, case.geometry.shape, self.shape, strict=True)
        width, depth, height = (spacing * old / new for spacing, old, new in extent)
        x, y, z = (
            (size if self.in_millimeters else 100 / new) if new > 1 else 1.0
            for size, new in zip((width, depth, height), self.shape, strict=True)
        )
        has_image = case.image is not None and self.channel is not None
        return View(
            case.id,
            self._gray(case) if has_image else np.zeros(self.shape, np.float32),
            np.zeros(self.shape, np.uint8) if case.labels is None else resize_labels(case.labels, self.shape),
            (x, y, z),
            has_image=has_image,
            has_labels=case.labels is not None,
            oriented=case.geometry.spacing_known,
            proportions=(width, depth, height),
            window=self.window,
        )

    def _gray(self, case: Case) -> Float32[np.ndarray, "x y z"]:
        image = case.require_image()[case.channel_names.index(self.channel_name)]
        low, high = self.window or (float(q) for q in np.percentile(image, (LOW, HIGH)))
        gray = np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32) * np.float32(255)
        return resize(gray, self.shape)


def common_view_spec(real: Fingerprint, synthetic: Fingerprint, *, size: int | None, channel: str | None) -> ViewSpec:
    """The common grid and gray range of two cohorts that are alike; the real cohort determines the range.

    Args:
        real: fingerprint of the real cohort.
        synthetic: fingerprint of the synthetic cohort, as ``check_alike`` lets it pass.
        size: edge of the square or cube in voxels; by default that of the cohort with the smaller median image
            (volumes: at most 96).
        channel: name of the compared channel; by default the first.

    Raises:
        RequestError: no such channel, or a size below 16.
    """
    labeled = [facts.count if facts.labeled is None else facts.labeled for facts in (real, synthetic)]
    edge = size or _smaller_edge(real, synthetic)
    if edge < MIN_EDGE:
        found = f"{edge} voxels" if size else f"{edge} voxels, the longest edge of the smaller median image"
        raise RequestError("size", found, f"at least {MIN_EDGE}", "request a larger one")
    index = _shared_channel(real, synthetic, channel)
    ranges = real.full_range if real.stored == "uint8" else real.robust_range
    return ViewSpec(
        shape=(edge, edge, 1 if real.dimensions == 2 else edge),
        channel=index,
        channel_name="" if index is None else real.channel_names[index],
        window=ranges[index] if real.absolute and index is not None else None,
        in_millimeters=real.spacing_known and synthetic.spacing_known,
        use_labels=labeled == [real.count, synthetic.count],
    )


def _shared_channel(real: Fingerprint, synthetic: Fingerprint, channel: str | None) -> int | None:
    """Index of the compared channel; None if a cohort has no images."""
    with_images = bool(real.full_range and synthetic.full_range)
    if channel is None and not with_images:
        return None
    name = channel or real.channel_names[0]
    if not with_images or name not in real.channel_names or name not in synthetic.channel_names:
        limit = f"the real cohort has {', '.join(real.channel_names) or 'none'}"
        raise RequestError("channel", f"no {name!r} in both cohorts", limit, "name one that both have")
    return real.channel_names.index(name)


def _smaller_edge(real: Fingerprint, synthetic: Fingerprint) -> int:
    edge = min(max(real.shape), max(synthetic.shape))
    return edge if real.dimensions == 2 else min(edge, LARGEST_VOLUME_EDGE)
