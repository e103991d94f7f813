"""Draws limb phantoms in MR and CT, axial and coronal, with the outline of the tumor: docs/phantoms-limb.png.

Run: python benchmarks/phantoms/gallery_limb.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from medsmith.cases.case import Case
from medsmith.phantoms.family import case_id, case_seed
from medsmith.phantoms.limb.phantom import LimbCtPhantom, LimbMrPhantom
from medsmith.phantoms.limb.render import LABELS

OUT = Path(__file__).parents[2] / "docs" / "phantoms-limb.png"
COUNT, SIZE = 8, 128
MR_SIGNAL, CT_WINDOW = (0.0, 1000.0), (-160.0, 240.0)


def main() -> None:
    """The first seeds of cohort 0 of limb-mr, not chosen, by both families; the patient's right is on the left."""
    figure, grid = plt.subplots(4, COUNT, figsize=(15, 7.6), layout="constrained")
    for column, index in zip(grid.T, range(COUNT), strict=True):
        seed = case_seed(LimbMrPhantom.name, 0, index)
        for rows, family, window in (
            (column[:2], LimbMrPhantom(), MR_SIGNAL),
            (column[2:], LimbCtPhantom(), CT_WINDOW),
        ):
            draw(rows, family.make(seed, case_id(family.name, index), SIZE), window)
    figure.savefig(OUT, dpi=75, pil_kwargs={"optimize": True})


def draw(rows: np.ndarray, case: Case, window: tuple[float, float]) -> None:
    """The axial and the coronal plane with most of the tumor, in radiological convention."""
    image, tumor = case.require_image()[0], case.require_labels() == LABELS["lesion"]
    x, y, z = case.geometry.spacing
    axial, coronal = int(tumor.sum((0, 1)).argmax()), int(tumor.sum((0, 2)).argmax())
    plane(rows[0], image[:, :, axial], tumor[:, :, axial], window, y / x)
    plane(rows[1], image[:, coronal], tumor[:, coronal], window, z / x)


def plane(axes: Axes, image: np.ndarray, tumor: np.ndarray, window: tuple[float, float], height: float) -> None:
    """One plane and the outline of the tumor in it."""
    low, high = window
    axes.imshow(image[::-1, ::-1].T, cmap="gray", vmin=low, vmax=high, aspect=height, interpolation="bilinear")
    axes.contour(tumor[::-1, ::-1].T, [0.5], colors="yellow", linewidths=0.8)
    axes.set_axis_off()


if __name__ == "__main__":
    main()
