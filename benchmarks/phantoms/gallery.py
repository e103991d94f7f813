"""Draws examples of the breast phantoms with the edges of their masses: docs/phantoms-breast.png.

Run: python benchmarks/phantoms/gallery.py
"""

from pathlib import Path

import matplotlib.pyplot as plt

from medsmith.phantoms.breast.phantom import BreastPhantom, sample_scene
from medsmith.phantoms.family import case_id, case_seed

OUT = Path(__file__).parents[2] / "docs" / "phantoms-breast.png"
COUNT, COLUMNS, SIZE = 12, 6, 128


def main() -> None:
    """The first cases of cohort 0, not chosen: each picture, and below it the same with the edge of its mass."""
    family = BreastPhantom()
    figure, grid = plt.subplots(COUNT // COLUMNS * 2, COLUMNS, figsize=(12, 8.6), layout="constrained")
    for index in range(COUNT):
        row, column = divmod(index, COLUMNS)
        seed = case_seed(family.name, 0, index)
        case = family.make(seed, case_id(family.name, index), SIZE)
        assert case.report is not None
        lesion = case.report["lesions"][0]
        for axes in (grid[2 * row, column], grid[2 * row + 1, column]):
            axes.imshow(case.require_image()[0, :, :, 0].T, cmap="gray", vmin=0, vmax=255, extent=(0, 38.4, 38.4, 0))
            axes.set_axis_off()
        edge = sample_scene(seed).outline.points
        grid[2 * row + 1, column].plot(*edge.T, color="tab:orange", linewidth=1)
        words = f"{lesion['shape']}, {lesion['margin']}\n{lesion['echo_pattern']}, {lesion['contrast_db']:+.0f} dB"
        grid[2 * row, column].set_title(words, fontsize=8)
    figure.savefig(OUT, dpi=75, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
