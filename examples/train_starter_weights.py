"""Trains the starter weights that ship in the package, on phantoms alone: about 20 minutes on 2 idle cores."""

import sys
from pathlib import Path

from medsmith import train
from medsmith.checkpoints import SHIPPED, export_weights
from medsmith.phantoms.families import find_family
from medsmith.phantoms.frame import write_phantom
from medsmith.progress import Shown

CASES, SEED = 1000, 1


def main(folder: Path) -> None:
    """Work in FOLDER, continue what an earlier call left there, and put the weights into the package."""
    cohort = write_phantom(find_family("breast"), folder / "phantoms", CASES, SEED, size=64)
    run = train("pig", cohort, folder / "pig", progress=Shown())
    export_weights(run, SHIPPED / "pig")
    print(f"{run} -> {SHIPPED / 'pig'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/starter"))
