"""How far images follow an anatomy, a texture and a lesion at once, by the way in which their guides are combined.

    python benchmarks/mddpm/combinations.py WORK

From the adherence in the provenance of the rows COMBINATION-round of rows.py, in which no image is refused for its
annotation: Dice of the lung that thresholds find with that of the map, contrast of the lesion as a share of that in its
guidance image, and the share of images that ``annotation_followed`` would refuse. Intervals over images. The result
goes to combinations.json beside this file.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from intervals import interval
from rows import COMBINED

from medsmith import Cohort
from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.data.fingerprint import take_fingerprint
from medsmith.errors import MedsmithError
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.machine import facts
from medsmith.synthesis.checks.guidance import annotation_followed
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.checks.training import TrainingFacts

HERE = Path(__file__).parent


def measured(cohort: Cohort) -> dict[str, object]:
    """Adherence of one row."""
    training = TrainingFacts(take_fingerprint(iter(cohort), cohort.file_ending, "0" * 64))
    found = [read_json(cohort.root / PROVENANCE / f"{id}.json")["adherence"] for id in cohort.ids]
    shares = [each["contrast pathologies.0"] / each["guide contrast pathologies.0"] for each in found]
    refused = [annotation_followed(cohort[id], training, Limits()).outcome == "failed" for id in cohort.ids]
    lungs = np.array([each.get("Dice lung", np.nan) for each in found])
    return {
        "n": len(cohort),
        "lung": interval(lungs, cohort.ids),
        "lesion": interval(np.array(shares), cohort.ids),
        "refused": float(np.mean(refused)),
    }


def main(work: Path) -> None:
    """Every combination."""
    rows = {row.removesuffix("-round"): measured(Cohort.open(work / "rows" / row)) for row in COMBINED}
    for name, row in rows.items():
        print(name, row)
    write_json(HERE / "combinations.json", {"rows": rows, "facts": facts()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    try:
        main(parser.parse_args().work)
    except MedsmithError as error:
        sys.exit(error.line)
