"""Trains weights of 3D-LLDM for the package on liver phantoms alone; none ship yet, and its time was not measured.

python examples/train_lldm.py FOLDER
"""

import sys
from pathlib import Path

from phantom_weights import PhantomWeights

from medsmith.runs.checkpoints import SHIPPED

WEIGHTS = PhantomWeights(
    "lldm",
    "liver-mr",
    "liver",
    cases=300,
    unseen=40,
    settings=(
        "size=[64,64,32]",
        "label_autoencoder.channels=[8,16,32]",
        "image_autoencoder.channels=[8,16,48]",
        "label_network.space_to_depth=1",
        "image_network.space_to_depth=1",
        "autoencoder_training.steps=1500",
        "training.steps=2500",
        "training.ema=0.999",
        "control_training.steps=1500",
        "control_training.ema=0.999",
    ),
)
main = WEIGHTS.train

if __name__ == "__main__":
    main(Path(sys.argv[1]), SHIPPED / "lldm")
    WEIGHTS.describe(Path(sys.argv[1]), SHIPPED / "lldm")
