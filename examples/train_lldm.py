"""Trains the weights of 3D-LLDM in the package on liver phantoms alone: 100 minutes on one busy core.

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
    cases=240,
    unseen=40,
    size=80,
    crop_mm=(224, 160, 154),
    settings=(
        "size=[56,40,32]",
        "maps=deformed",
        "kept_maps=64",
        "label_network.channels=[24,48]",
        "label_network.head_channels=24",
        "image_network.channels=[32,48]",
        "image_network.head_channels=16",
        "autoencoder_training.steps=900",
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
