"""Small cubes about lesions with the lesion as their only label, and scans without their lesions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from medsmith import Case, Cohort
from medsmith.cases.canonical import canonical_geometry, canonical_view
from medsmith.diffusion import derive_seed
from medsmith.insertion.annotated_lesion import largest_lesion
from medsmith.insertion.coarse_map import coarse_map
from medsmith.insertion.frame import AIR_HU, Frame
from medsmith.reports.organs import is_lesion

LESION = {"background": 0, "lesion": 1}
SOFT_TISSUE = {"background": 0, "soft_tissue": 1}
SOFT_HU = (-30.0, 200.0)
FEWEST_VOXELS = 4
_REACH_MM = 4.0
_GRAIN_MM = 0.8
_WIDTHS_MM = (4.0, 8.0, 16.0, 32.0, 64.0)


@dataclass(frozen=True)
class Crop:
    """A cube about the largest lesion of a scan.

    Attributes:
        edge_mm: of the cube.
        size: voxels along the edge.
        jitter_mm: the lesion's middle lies up to this far from the cube's along each axis, drawn by the case's name, so
            that the place in the cube does not give the lesion away.
        window_hu: densities beyond it are clipped.
    """

    edge_mm: float
    size: int
    jitter_mm: float
    window_hu: tuple[float, float]

    def of(self, case: Case, name: str) -> Case | None:
        """The cube; None if next to nothing of a lesion is in it.

        Raises:
            ContentError: no lesion is labeled.
        """
        lesion = largest_lesion(case)
        rng = np.random.Generator(np.random.PCG64(derive_seed("crop", name)))
        moved = lesion.box.center + rng.uniform(-1, 1, 3) * self.jitter_mm / np.array(lesion.geometry.spacing)
        centre = (float(moved[0]), float(moved[1]), float(moved[2]))
        frame = Frame(lesion.geometry, centre, self.size, self.edge_mm / self.size)
        image = frame.resample_in(canonical_view(case.require_image()[0], case.geometry), AIR_HU)
        labels = frame.resample_labels_in(canonical_view(lesions_of(case), case.geometry))
        if labels.sum() < FEWEST_VOXELS:
            return None
        return Case(
            id=name,
            image=np.rint(np.clip(image, *self.window_hu))[None],
            labels=labels,
            geometry=frame.geometry,
            channel_names=case.channel_names,
            label_names=LESION,
            stored=np.dtype(np.int16),
            report=case.report,
            provenance=case.provenance,
        )


def lesions_of(case: Case) -> np.ndarray:
    """1 where any label of a lesion is."""
    values = [value for name, value in case.label_names.items() if is_lesion(name)]
    return np.isin(case.require_labels(), values).astype(np.uint8)


def open_cubes(folder: Path, channel_names: Sequence[str]) -> Cohort:
    """A cohort of cubes to write to, or one that was begun."""
    return Cohort.create(folder, channel_names=channel_names, label_names=LESION, file_ending=".nii.gz")


def cut(cohort: Cohort, ids: Sequence[str], folder: Path, crop: Crop) -> Cohort:
    """The cubes of some cases of a cohort; those that are there are not cut again."""
    cubes = open_cubes(folder, cohort.channel_names)
    for id in ids:
        if id not in cubes:
            cube = crop.of(cohort[id], id)
            if cube is not None:
                cubes.write(cube)
    cubes.finish()
    return Cohort.open(folder)


def without_lesions(cohort: Cohort, folder: Path) -> Cohort:
    """The scans of a cohort with their lesions filled from around, and soft tissue labeled by its density."""
    healthy = Cohort.create(
        folder, channel_names=cohort.channel_names, label_names=SOFT_TISSUE, file_ending=cohort.file_ending
    )
    for id in cohort.ids:
        if id not in healthy:
            healthy.write(filled(cohort[id]))
    healthy.finish()
    return Cohort.open(folder)


def filled(case: Case) -> Case:
    """A scan whose lesions are hidden: the smooth mean of the tissue around, with that tissue's noise.

    It is no picture of health, but it holds nothing of the lesion, and no label says where that was.
    """
    image, spacing = case.require_image()[0].astype(np.float64), np.array(case.geometry.spacing)
    lesion = lesions_of(case) > 0
    for _ in range(max(1, round(_REACH_MM / float(spacing.min())))):
        lesion = binary_dilation(lesion)
    soft = (image > SOFT_HU[0]) & (image < SOFT_HU[1])
    smooth = _mean_of(image, soft & ~lesion, lesion, spacing)
    rng = np.random.Generator(np.random.PCG64(derive_seed("filled", case.id)))
    grain = gaussian_filter(rng.standard_normal(image.shape), _GRAIN_MM / spacing)
    grain *= _noise_of(image, soft & ~lesion, spacing) / grain.std()
    image[lesion] = smooth[lesion] + grain[lesion]
    whole = np.rint(image).astype(np.float32)
    return replace(case, image=whole[None], labels=_soft_tissue(whole, case), label_names=SOFT_TISSUE)


def _soft_tissue(image: np.ndarray, case: Case) -> np.ndarray:
    """1 where the coarse map by density has soft tissue, axes in file order."""
    organs = coarse_map(canonical_view(image, case.geometry), canonical_geometry(case.geometry))
    labels = np.zeros(image.shape, np.uint8)
    canonical_view(labels, case.geometry)[...] = organs.labels == organs.names["soft_tissue"]
    return labels


def _mean_of(image: np.ndarray, known: np.ndarray, wanted: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Mean of the known voxels in the narrowest surroundings that have enough of them."""
    mean, missing = np.full(image.shape, image[known].mean()), wanted.copy()
    shares, values = known.astype(np.float32), np.where(known, image, 0.0).astype(np.float32)
    for width in _WIDTHS_MM:
        if not missing.any():
            break
        weight, total = (gaussian_filter(each, width / spacing, truncate=2.0) for each in (shares, values))
        enough = missing & (weight > 0.02)
        mean[enough] = total[enough] / weight[enough]
        missing &= ~enough
    return gaussian_filter(mean, 2.0 / spacing)


def _noise_of(image: np.ndarray, known: np.ndarray, spacing: np.ndarray) -> float:
    """Robust standard deviation of the known voxels about their own surroundings."""
    weight = np.maximum(gaussian_filter(known.astype(np.float64), 3.0 / spacing), 1e-3)
    residual = (image - gaussian_filter(np.where(known, image, 0.0), 3.0 / spacing) / weight)[known]
    return 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
