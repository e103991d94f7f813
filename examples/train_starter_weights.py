"""Trains the starter weights that ship in the package, on phantoms alone: about 20 minutes on 2 idle cores.

python examples/train_starter_weights.py FOLDER
"""

import sys
from pathlib import Path

from medsmith import Budget, train
from medsmith.checkpoints import SHIPPED, export_weights
from medsmith.phantoms.families import find_family
from medsmith.phantoms.frame import write_phantom
from medsmith.progress import Shown

CASES, SEED = 1000, 1


def main(folder: Path, destination: Path, cases: int = CASES, budget: Budget | None = None) -> None:
    """Work in FOLDER, continue what an earlier call left there, and put the weights into DESTINATION."""
    cohort = write_phantom(find_family("breast"), folder / "phantoms", cases, SEED, size=64)
    run = train("pig", cohort, folder / "pig", budget=budget, progress=Shown())
    export_weights(run, destination)
    print(f"{run} -> {destination}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), SHIPPED / "pig")
