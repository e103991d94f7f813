"""Trains the starter weights of mDDPM that ship in the package, on phantoms alone: about an hour on 2 idle cores.

python examples/train_mddpm.py FOLDER
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

CASES, UNSEEN, SEED, SIZE = 1200, 100, 1, 64
SETTINGS = ("training.ema=0.999", "training.steps=4000")
NOT = "These weights know procedural phantoms alone: they show how the tool works, not what a chest looks like."


def main(folder: Path, destination: Path, cases: int = CASES, budget: Budget | None = None) -> None:
    """Work in FOLDER, continue what an earlier call left there, and put the weights into DESTINATION."""
    cohort = write_phantom(find_family("chest-healthy"), folder / "phantoms", cases, SEED, size=SIZE)
    run = train("mddpm", cohort, folder / "mddpm", settings=SETTINGS, budget=budget, progress=ConsoleProgress())
    export_weights(run, destination)
    print(f"{run} -> {destination}")


def describe(folder: Path, destination: Path) -> None:
    """Say on the model card how its unguided images compare with phantoms that it never saw."""
    unseen = write_phantom(find_family("chest-healthy"), folder / "unseen", UNSEEN, SEED + 1, size=SIZE)
    learnt = write_phantom(find_family("chest-healthy"), folder / "phantoms", CASES, SEED, size=SIZE)
    summary = synthesize(destination, folder / "cases", count=UNSEEN, seed=0, progress=ConsoleProgress())
    cases = Cohort.open(folder / "cases")
    found = evaluate(unseen, cases, folder / "report", training=learnt, progress=ConsoleProgress())
    lines = [f"{summary.count} cases took {summary.attempts} attempts.", *summary_lines(found)]
    card = destination / "README.md"
    findings = "\n".join(f"- {line}" for line in lines)
    text = (
        f"{card.read_text()}\n## Against {UNSEEN} phantoms that it never saw, without guides\n\n{findings}\n\n{NOT}\n"
    )
    write_bytes(card, text.encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), SHIPPED / "mddpm")
    describe(Path(sys.argv[1]), SHIPPED / "mddpm")
