"""The paper's ablation: anatomy and lesion as two guides, or painted into one (section 5.3, figure 11).

    python benchmarks/mddpm/ablation.py WORK

The rows anatomy-KIND and single-KIND of rows.py. Of each image the lesion is what lies above halfway between the median
of its lung and that of its body, within 10 % of the image around the requested outline: Dice with that outline, and
contrast inside against the ring. Intervals: bootstrap over images. The result goes to ablation.json and ablation.png.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from intervals import interval
from jaxtyping import Bool, Float32
from rows import KINDS, SINGLE
from scipy.ndimage import distance_transform_edt, label

from medsmith import Cohort
from medsmith.anatomy.context import find_context
from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.diffusion import derive_seed
from medsmith.errors import MedsmithError
from medsmith.evaluation.pages.image_grid import image_grid
from medsmith.evaluation.pages.sheets import Tile
from medsmith.formats.atomic import write_bytes, write_json
from medsmith.formats.json_file import read_json
from medsmith.machine import facts
from medsmith.measurement.overlap import dice
from medsmith.methods.mddpm.adherence import lesion_contrast

HERE = Path(__file__).parent
NEAR, SHOWN = 0.1, 6
Image = Float32[np.ndarray, "x y"]
Mask = Bool[np.ndarray, "x y"]


def found_lesion(image: Image, wanted: Mask) -> Mask:
    """The bright part around a requested outline that touches it; empty where the image has no lung."""
    context = find_context(image)
    if not {"body", "lung"} <= context.keys():
        return np.zeros_like(wanted)
    tissue, lung = context["body"] & ~context["lung"], context["lung"]
    threshold = (np.median(image[lung]) + np.median(image[tissue])) / 2
    near = distance_transform_edt(~wanted) <= NEAR * max(image.shape)
    parts, _ = label((image > threshold) & near)
    touching = np.unique(parts[wanted & (parts > 0)])
    return np.isin(parts, touching) & (parts > 0)


def wanted_of(work: Path, row: str, kind: str, id: str) -> Mask:
    """The requested outline: the case's own label, or that of the map which its seed chose."""
    cohort = Cohort.open(work / "rows" / row)
    if row.startswith("anatomy"):
        labels = cohort[id].require_labels()
        return np.asarray(labels[:, :, 0] == cohort.label_names["nodule"])
    maps = Cohort.open(work / f"single-{kind}")
    seed = int(read_json(cohort.root / PROVENANCE / f"{id}.json")["case_seed"])
    chosen = maps.ids[derive_seed(seed, "guide", 0) % len(maps)]
    return np.asarray(maps[chosen].require_labels()[:, :, 0] > 0)


def measured(work: Path, row: str, kind: str) -> tuple[Mapping[str, object], list[Tile]]:
    """Agreement and contrast of one row, and its first images."""
    cohort, rows, tiles = Cohort.open(work / "rows" / row), [], []
    for id in cohort.ids:
        image, wanted = cohort[id].require_image()[0, :, :, 0], wanted_of(work, row, kind, id)
        rows.append((dice(found_lesion(image, wanted), wanted), lesion_contrast(image, wanted)))
        tiles.append(Tile(image, wanted.astype(np.uint8)))
    values = np.array(rows)
    cells = {name: interval(values[:, column], cohort.ids) for column, name in enumerate(("dice", "contrast"))}
    return {"row": row, "n": len(rows), **cells}, tiles[:SHOWN]


def main(work: Path) -> None:
    """Both kinds of lesion, with two guides and with one."""
    results, pictures = [], []
    for kind in KINDS:
        singles = [(f"single-{kind}-{factor}", f"one guide, n 1/{factor}") for factor in SINGLE]
        for row, title in ((f"anatomy-{kind}", "two guides"), *singles):
            found, tiles = measured(work, row, kind)
            print(found)
            results.append(found)
            pictures.append((f"{kind}\n{title}", tiles))
    write_json(HERE / "ablation.json", {"rows": results, "facts": facts()})
    write_bytes(HERE / "ablation.png", image_grid(pictures, title="Requested outline; first images, not chosen"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    try:
        main(parser.parse_args().work)
    except MedsmithError as error:
        sys.exit(error.line)
