"""Trains the starter weights that ship in the package, on phantoms alone: about 20 minutes on 2 idle cores.

python examples/train_starter_weights.py FOLDER
"""

import sys
from pathlib import Path

from phantom_weights import PhantomWeights

from medsmith.runs.checkpoints import SHIPPED

WEIGHTS = PhantomWeights("pig", "breast", "breast", cases=1000, unseen=100)
main = WEIGHTS.train

if __name__ == "__main__":
    main(Path(sys.argv[1]), SHIPPED / "pig")
    WEIGHTS.describe(Path(sys.argv[1]), SHIPPED / "pig")
