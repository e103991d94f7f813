"""Trains the first weights of LesionDiffusion on CT phantoms and outlines of LIDC's nodules: 90 minutes on 2 cores.

python examples/train_lesiondiffusion.py FOLDER LIDC

LIDC is the cohort that examples/data/lidc.py makes. FOLDER takes everything else; the same command again continues.
examples/tune_lesiondiffusion.py makes the starter weights from FOLDER/run.
"""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

from medsmith import Budget, Case, Cohort, train
from medsmith.phantoms.families import find_family
from medsmith.phantoms.writing import write_phantom
from medsmith.preparation import merge
from medsmith.progress import ConsoleProgress
from medsmith.reports.schema import LesionReport, ScanReport

PHANTOMS, SEED, SIZE = 1100, 11, 96
NODULES, SMALLEST_MM = 1500, 7.0
IRREGULAR, ROUND = 0.87, 0.92
"""Sphericity below and above which a nodule is called irregular and round-like; between them nothing is said."""
TRAINING_SHARE = 0.8
"""Of LIDC's patients; the others are for testing."""


def main(folder: Path, lidc: Path, phantoms: int = PHANTOMS, budget: Budget | None = None) -> Path:
    """Work in FOLDER, continue what an earlier call left there; the run is FOLDER/run."""
    write_phantom(find_family("ct"), folder / "ct", phantoms, SEED, SIZE, progress=ConsoleProgress())
    write_nodules(Cohort.open(lidc), folder / "nodules", NODULES)
    cohort = merge([folder / "ct", folder / "nodules"], folder / "cohort", report=print)
    return train("lesiondiffusion", cohort, folder / "run", budget=budget, progress=ConsoleProgress())


def write_nodules(lidc: Cohort, out: Path, count: int, *, held_back: bool = False) -> Cohort:
    """The first nodules in the order of a hash, of training patients or of those held back; words by measurement."""
    cohort = Cohort.create(out, channel_names=lidc.channel_names, label_names=lidc.label_names, file_ending=".nii.gz")
    chosen = [id for id in sorted(lidc.ids, key=_lot) if (_lot(id.split("_")[0]) >= TRAINING_SHARE) == held_back]
    written = 0
    for id in chosen:
        if written == count:
            break
        case = lidc.stored(id)
        if float(ScanReport.model_validate(case.report).lesions[0].measured["equivalent_diameter_mm"]) >= SMALLEST_MM:
            written += 1
            if id not in cohort:
                cohort.write(with_words(case))
    cohort.finish()
    print(f"{written} nodules of {SMALLEST_MM:g} mm or more -> {out}")
    return Cohort.open(out)


def with_words(case: Case) -> Case:
    """A nodule's report: lung, size and shape as measured."""
    found = ScanReport.model_validate(case.report).lesions[0]
    sphericity = found.measured["sphericity"]
    shape: tuple[Literal["irregular", "round-like"], ...] = (
        ("irregular",) if sphericity < IRREGULAR else ("round-like",) if sphericity > ROUND else ()
    )
    report = LesionReport(organ="lung", shape=shape, size_mm=found.size_mm, measured=found.measured)
    return replace(case, report=ScanReport(lesions=(report,)).model_dump(mode="json"))


def _lot(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7]) / 2**56


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
