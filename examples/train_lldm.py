"""Trains weights of 3D-LLDM for the package on liver phantoms alone; none ship yet, and its time was not measured.

python examples/train_lldm.py FOLDER
"""

import sys
from pathlib import Path

from medsmith import Budget, Cohort, evaluate, synthesize, train
from medsmith.evaluation import summary_lines
from medsmith.formats.atomic import write_bytes
from medsmith.phantoms.families import find_family
from medsmith.phantoms.family import write_phantom
from medsmith.progress import ConsoleProgress
from medsmith.runs.checkpoints import SHIPPED, export_weights

CASES, UNSEEN, SEED, SIZE = 300, 40, 1, 64
SETTINGS = (
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
)
NOT = "These weights know procedural phantoms alone: they show how the tool works, not what a liver looks like."


def main(folder: Path, destination: Path, cases: int = CASES, budget: Budget | None = None) -> None:
    """Work in FOLDER, continue what an earlier call left there, and put the weights into DESTINATION."""
    cohort = write_phantom(find_family("liver-mr"), folder / "phantoms", cases, SEED, size=SIZE)
    run = train("lldm", cohort, folder / "lldm", settings=SETTINGS, budget=budget, progress=ConsoleProgress())
    export_weights(run, destination)
    print(f"{run} -> {destination}")


def describe(folder: Path, destination: Path) -> None:
    """Say on the model card how its pairs compare with phantoms that it never saw."""
    unseen = write_phantom(find_family("liver-mr"), folder / "unseen", UNSEEN, SEED + 1, size=SIZE)
    learnt = write_phantom(find_family("liver-mr"), folder / "phantoms", CASES, SEED, size=SIZE)
    summary = synthesize(destination, folder / "cases", count=UNSEEN, seed=0, progress=ConsoleProgress())
    cases = Cohort.open(folder / "cases")
    found = evaluate(unseen, cases, folder / "report", training=learnt, progress=ConsoleProgress())
    lines = [f"{summary.count} cases took {summary.attempts} attempts.", *summary_lines(found)]
    card = destination / "README.md"
    findings = "\n".join(f"- {line}" for line in lines)
    text = f"{card.read_text()}\n## Against {UNSEEN} phantoms that it never saw\n\n{findings}\n\n{NOT}\n"
    write_bytes(card, text.encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), SHIPPED / "lldm")
    describe(Path(sys.argv[1]), SHIPPED / "lldm")
