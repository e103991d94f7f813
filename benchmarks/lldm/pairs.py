"""A picture of every row of the table: the axial slices through the centroids of the labels, or the middle ones.

    python benchmarks/lldm/pairs.py WORK [--data hippocampus] [--count 7]

The first cases of each cohort, so that nothing is chosen by its looks; labels are outlined. The picture goes to
pairs-DATA.png beside this file.
"""

import argparse
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

from lldm_shared import fingerprint_of

from medsmith import Cohort
from medsmith.errors import MedsmithError
from medsmith.evaluation.fidelity.views import ViewSpec, common_view_spec
from medsmith.evaluation.pages.image_grid import image_grid
from medsmith.evaluation.pages.sheets import Tile, legend_of, plane_tiles
from medsmith.formats.atomic import write_bytes

HERE = Path(__file__).parent
EDGE = 64


def tiles_of(cohort: Cohort, spec: ViewSpec, count: int) -> list[Tile]:
    """One slice of each of the first cases."""
    found = []
    for case in islice(cohort, count):
        view = spec.view(case) if case.labels is not None else spec.view(case).without_labels
        found.append(replace(plane_tiles(view)[-1], title=""))
    return found


def main(work: Path, data: str, count: int) -> None:
    """Real cases and every row."""
    test = Cohort.open(work / "test")
    fingerprint = fingerprint_of(test)
    spec = common_view_spec(fingerprint, fingerprint, size=EDGE, channel=None)
    folders = [path for path in sorted((work / "rows").iterdir()) if (path / "dataset.json").exists()]
    rows = [("real", tiles_of(test, spec, count))]
    rows += [(path.name, tiles_of(Cohort.open(path), spec, count)) for path in folders]
    legend = legend_of([tile for _, tiles in rows for tile in tiles], test.label_names)
    write_bytes(HERE / f"pairs-{data}.png", image_grid(rows, (), f"{data}: real and synthetic research data", legend))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", default="hippocampus", help="for the name of the picture")
    parser.add_argument("--count", type=int, default=7)
    arguments = parser.parse_args()
    try:
        main(arguments.work, arguments.data, arguments.count)
    except MedsmithError as error:
        sys.exit(error.line)
