"""Many cases in little time: one case under many ids."""

import os
from dataclasses import replace

import numpy as np

from medsmith.cases.case import Case
from medsmith.geometry import Geometry


def write_copies(cohort, ids):
    """Writes a case of 8 x 8 pixels to a cohort of one channel in PNG, and links to its files under the other ids."""
    labels = np.zeros((8, 8, 1), np.uint8)
    grid, image = Geometry.plain((8, 8, 1)), np.zeros((1, 8, 8, 1), np.float32)
    case = Case(ids[0], image, labels, grid, cohort.channel_names, cohort.label_names, np.dtype("u1"))
    cohort.write(replace(case, provenance={"attempt": 0, "refused": {}}))
    for id in ids[1:]:
        for name in ("imagesTr/{}_0000.png", "labelsTr/{}.png"):
            os.link(cohort.root / name.format(ids[0]), cohort.root / name.format(id))
        (cohort.root / "provenance" / f"{id}.json").write_text('{"attempt": 0, "refused": {}, "files": {}}')
