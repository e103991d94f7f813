"""Draws liver MR phantoms in three planes with the outlines of their labels: docs/phantoms-liver.png.

Run: python benchmarks/phantoms/gallery_liver.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from scipy.ndimage import center_of_mass

from medsmith.phantoms.family import case_id, case_seed
from medsmith.phantoms.liver.phantom import LABELS, LiverMrPhantom

OUT = Path(__file__).parents[2] / "docs" / "phantoms-liver.png"
COUNT, SIZE = 6, 160
LARGEST = 900.0
"""Signal that is drawn white."""
COLORS = {"liver": "tab:green", "portal_vein": "cyan", "hepatic_vein": "magenta", "tumor": "yellow"}


def main() -> None:
    """The first cases of cohort 0, not chosen; the patient's right is on the left, the front or the head above."""
    family = LiverMrPhantom()
    figure, grid = plt.subplots(4, COUNT, figsize=(15, 8.6), layout="constrained")
    for column, index in zip(grid.T, range(COUNT), strict=True):
        case = family.make(case_seed(family.name, 0, index), case_id(family.name, index), SIZE)
        assert case.report is not None
        image, labels = case.require_image()[0], case.require_labels()
        middle = [round(place) for place in center_of_mass(labels > 0)]
        lesions = case.report["lesions"]
        if lesions:
            largest = max(lesions, key=lambda lesion: lesion["diameter_mm"])
            middle = np.rint(np.linalg.solve(case.geometry.affine, [*largest["center_mm"], 1]))[:3].astype(int).tolist()
        height = case.geometry.spacing[2] / case.geometry.spacing[0]
        draw(column[0], image[:, :, middle[2]], None, 1.0)
        draw(column[1], image[:, :, middle[2]], labels[:, :, middle[2]], 1.0)
        draw(column[2], image[:, middle[1]], labels[:, middle[1]], height)
        draw(column[3], image[middle[0]], labels[middle[0]], height)
        column[0].set_title(f"tumors: {len(lesions)}", fontsize=9)
    figure.savefig(OUT, dpi=75, pil_kwargs={"optimize": True})


def draw(axes: Axes, plane: np.ndarray, labels: np.ndarray | None, height: float) -> None:
    """One plane in radiological convention, and the outlines of its labels."""
    axes.imshow(plane[::-1, ::-1].T, cmap="gray", vmin=0, vmax=LARGEST, aspect=height, interpolation="bilinear")
    axes.set_axis_off()
    if labels is None:
        return
    shown = labels[::-1, ::-1].T
    for name, color in COLORS.items():
        region = shown == LABELS[name]
        if region.any():
            axes.contour(region, [0.5], colors=color, linewidths=0.7)


if __name__ == "__main__":
    main()
