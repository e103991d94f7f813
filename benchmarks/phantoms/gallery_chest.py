"""Draws chest phantoms in three windows and their labels: docs/phantoms-chest.png.

Run: python benchmarks/phantoms/gallery_chest.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

from medsmith.phantoms.chest.phantom import ChestPhantom
from medsmith.phantoms.family import case_id, case_seed

OUT = Path(__file__).parents[2] / "docs" / "phantoms-chest.png"
COUNT, SIZE = 7, 256
WINDOWS = {"soft tissue": (-160.0, 240.0), "lung": (-1350.0, 150.0), "bone": (-500.0, 1300.0)}
COLORS = ListedColormap(
    ["black", "tab:blue", "tab:red", "tab:orange", "tab:cyan", "tab:green", "magenta", "lightgray", "yellow"]
)
"""Of the labels, in the order of their values."""


def main() -> None:
    """The first cases of cohort 0, not chosen; the patient's right is on the left, the front above."""
    family = ChestPhantom()
    figure, grid = plt.subplots(len(WINDOWS) + 1, COUNT, figsize=(14, 8.2), layout="constrained")
    for column, index in zip(grid.T, range(COUNT), strict=True):
        case = family.make(case_seed(family.name, 0, index), case_id(family.name, index), SIZE)
        assert case.report is not None
        image, labels = case.require_image()[0, :, :, 0], case.require_labels()[:, :, 0]
        for axes, (low, high) in zip(column, WINDOWS.values(), strict=False):
            axes.imshow(picture(image), cmap="gray", vmin=low, vmax=high)
        column[-1].imshow(picture(labels), cmap=COLORS, vmin=0, vmax=COLORS.N - 1, interpolation="nearest")
        patient = case.report["phantom"]["patient"]
        column[0].set_title(f"{patient['sex']}, {patient['phase']}\nz = {patient['level_mm']:.0f} mm", fontsize=9)
        for axes in column:
            axes.set_axis_off()
    figure.savefig(OUT, dpi=75, pil_kwargs={"optimize": True})


def picture(plane: np.ndarray) -> np.ndarray:
    """A plane indexed [to the right, to the front] as a picture in radiological convention."""
    return plane[::-1, ::-1].T


if __name__ == "__main__":
    main()
