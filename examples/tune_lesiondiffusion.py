"""Trains LINet on with lesions whose words are independent: an hour on 2 cores.

python examples/tune_lesiondiffusion.py FOLDER [RUN]

RUN: a run of lesiondiffusion, or the shipped weights. By the rules of lesion types a ring enhances in few lesions, and
the organ tells most of the texture; in `ct-varied` density, texture, margin and areas are drawn independently, so that
each word acts by itself. LMNet stays as it is. FOLDER takes everything; the same command again continues.
benchmarks/lesiondiffusion/network_share.py measures what LINet makes of the words alone.
"""

import sys
from pathlib import Path

from medsmith import Budget, train
from medsmith.phantoms.families import find_family
from medsmith.phantoms.writing import write_phantom
from medsmith.preparation import merge
from medsmith.progress import ConsoleProgress

VARIED, VARIED_SEED = 1600, 31
BY_RULES, SEED = 300, 11
"""Lesions of all types, hollow organs among them, as the shipped weights have learned from."""
SIZE = 96
SETTINGS = (
    "training.decay=cosine",
    "paint.words.left_out=0.3",
    "paint.diffusion.least_weight=6",
    "paint.guidance=3",
)
"""More weight on high noise levels: there the words decide; at low ones the noisy image tells what they say."""
COURSES = {
    "words": ("training.steps=7000",),
    "edges": ("training.steps=3000", "paint.edge=reported"),
}
"""First the words, with a sharp mask; then the margin, with the mask's edge as wide as the report says."""


def main(folder: Path, source: str, varied: int = VARIED, by_rules: int = BY_RULES, steps: int | None = None) -> Path:
    """The run folder of the last course, each of which starts where the one before it ends."""
    shown = ConsoleProgress()
    write_phantom(find_family("ct-varied"), folder / "varied", varied, VARIED_SEED, SIZE, progress=shown)
    write_phantom(find_family("ct"), folder / "by-rules", by_rules, SEED, SIZE, progress=shown)
    cohort = merge([folder / "varied", folder / "by-rules"], folder / "cohort", report=print)
    run = Path(source)
    for name, settings in COURSES.items():
        run = train(
            "lesiondiffusion",
            cohort,
            folder / name,
            settings=(*SETTINGS, *settings),
            budget=Budget(stage="paint", steps=steps),
            start_from=str(run),
            progress=shown,
            report=print,
        )
    return run


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "lesiondiffusion")
