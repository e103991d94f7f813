"""The trainer that nnU-Net's programs find: nnU-Net's own, with given numbers of epochs and iterations and a seed."""

NAME = "nnUNetTrainerMedsmith"
VARIABLE = "MEDSMITH_NNUNET_TRAINING"
"""Environment variable with the settings of a training as JSON: epochs, iterations and seed."""
FILE = f"{NAME}.py"
ITERATIONS, EPOCHS = 250, 1000
"""Of nnU-Net's own course."""
SOURCE = f'''"""nnU-Net's trainer with epochs, iterations and a seed from {VARIABLE}. Written by medsmith."""

import json
import os
import random

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class {NAME}(nnUNetTrainer):
    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        settings = json.loads(os.environ.get("{VARIABLE}", "{{}}"))
        self.seed = settings.get("seed", 0)
        self.num_epochs = settings.get("epochs", self.num_epochs)
        self.num_iterations_per_epoch = settings.get("iterations", self.num_iterations_per_epoch)
        self.num_val_iterations_per_epoch = max(1, self.num_iterations_per_epoch // 5)
        self.save_every = min(self.save_every, max(1, self.num_epochs // 20))

    def initialize(self):
        random.seed(self.seed)
        np.random.seed(self.seed)
        torch.manual_seed(self.seed)
        super().initialize()

    def save_checkpoint(self, filename):
        super().save_checkpoint(filename + ".part")
        if os.path.isfile(filename + ".part"):
            os.replace(filename + ".part", filename)
'''
