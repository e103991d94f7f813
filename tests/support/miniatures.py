"""The methods that live in the tests, made known to this process; what workers load runs with."""

from pathlib import Path

import medsmith.methods
from medsmith.runs.checkpoints import load_method

FOLDER = str(Path(__file__).parent / "methods_of_tests")
MINIATURES = ("latent_pair", "steered")
LOADER = "miniatures:load"


def make_known():
    """Let methods be found in the tests' folder too."""
    if FOLDER not in medsmith.methods.__path__:
        medsmith.methods.__path__.append(FOLDER)


def load(run, *, device):
    make_known()
    return load_method(run, device=device)
