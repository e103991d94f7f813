"""The main job on phantoms and the shipped starter weights: pairs in nnU-Net's format, and a report about them.

python examples/demo.py FOLDER [COUNT]
"""

import sys
from pathlib import Path

from medsmith import Cohort, evaluate, synthesize
from medsmith.phantoms.families import find_family
from medsmith.phantoms.frame import write_phantom
from medsmith.progress import Shown

CASES = 40


def main(folder: Path, count: int) -> None:
    """Write FOLDER/real, FOLDER/synthetic and FOLDER/report."""
    print(f"1/3 {count} phantoms that the weights never saw -> {folder / 'real'}")
    real = write_phantom(find_family("breast"), folder / "real", count, seed=2, size=64)
    print(f"2/3 {count} synthetic pairs from the starter weights -> {folder / 'synthetic'}")
    summary = synthesize("pig", folder / "synthetic", count=count, seed=0, progress=Shown())
    print(f"    {summary.line}")
    print(f"3/3 the two compared -> {folder / 'report'}")
    evaluate(real, Cohort.open(folder / "synthetic"), folder / "report", progress=Shown())
    print(f"Look at {folder / 'report' / 'evaluation.html'} (pictures first).")
    print(f"{folder / 'synthetic'} is an nnU-Net v2 raw dataset. Synthetic research data, not for diagnosis.")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else CASES)
