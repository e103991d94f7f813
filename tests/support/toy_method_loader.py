"""Registers the toy methods of the tests in a process; workers load runs by it."""

from pathlib import Path

import medsmith.methods
from medsmith.lazy_imports import import_monai
from medsmith.runs.checkpoints import load_method

FOLDER = str(Path(__file__).parent / "toy_methods")
TOY_METHODS = ("latent_pair",)
LOADER = "toy_method_loader:load"


def register():
    """Let methods be found in the folder of the toy methods too."""
    if FOLDER not in medsmith.methods.__path__:
        medsmith.methods.__path__.append(FOLDER)


def load(run, *, device):
    import_monai()
    register()
    return load_method(run, device=device)
