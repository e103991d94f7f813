"""Trains the starter weights of mDDPM that ship in the package, on phantoms alone: about an hour on 2 idle cores.

python examples/train_mddpm.py FOLDER
"""

import sys
from pathlib import Path

from phantom_weights import PhantomWeights

from medsmith.runs.checkpoints import SHIPPED

WEIGHTS = PhantomWeights(
    "mddpm",
    "chest-healthy",
    "chest",
    cases=1200,
    unseen=100,
    settings=("training.ema=0.999", "training.steps=4000"),
    remark=", without guides",
)
main = WEIGHTS.train

if __name__ == "__main__":
    main(Path(sys.argv[1]), SHIPPED / "mddpm")
    WEIGHTS.describe(Path(sys.argv[1]), SHIPPED / "mddpm")
