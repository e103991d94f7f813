"""Adherence of a trained method: ``medsmith adherence`` with date and machine, its numbers kept beside this file.

    python benchmarks/adherence/run.py RUN WORK [--templates COHORT] [--anatomy SPACE] [--pathology COHORT]
        [--real COHORT --test COHORT] ...

WORK keeps the pairs and the page; the same command again goes on. The result goes to METHOD.json beside this file;
write_readme.py turns it into tables. Attributes may be named at the end; default: all. The templates of the CT figures:

    medsmith phantom ct-healthy TEMPLATES --count 6 --size 96 --seed 2

and those of the chest:

    medsmith phantom chest-healthy TEMPLATES --count 40 --size 64 --seed 1
    medsmith anatomy fit TEMPLATES SPACE
    medsmith phantom chest LESIONS --count 24 --size 64 --seed 2

Label fidelity of lldm: RUN is that of benchmarks/lldm/segmentation.py on all liver phantoms, with its train and test.
"""

import argparse
import sys
from pathlib import Path

from medsmith import AdherenceOptions, MedsmithError, adherence
from medsmith.evaluation.adherence import summary_lines
from medsmith.formats.atomic import write_json
from medsmith.machine import facts
from medsmith.progress import ConsoleProgress

HERE = Path(__file__).parent
INPUTS = ("templates", "anatomy", "pathology", "real", "test")


def main(given: argparse.Namespace) -> None:
    """Measure, and keep the numbers."""
    attributes = tuple(given.attributes)
    options = AdherenceOptions(attributes=attributes, pairs=given.pairs, steps=given.steps, batch=given.batch)
    inputs = {name: getattr(given, name) for name in INPUTS}
    found = adherence(given.run, given.work, **inputs, options=options, progress=ConsoleProgress())
    print("\n".join(summary_lines(found)))
    write_json(HERE / f"{found.method}.json", {**found.as_json(), "measured": facts()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("work", type=Path)
    parser.add_argument("attributes", nargs="*")
    for name in INPUTS:
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=1000, help="of each segmenter")
    parser.add_argument("--batch", type=int, default=16, help="cases of a segmenter's step")
    try:
        main(parser.parse_intermixed_args())
    except MedsmithError as error:
        sys.exit(error.line)
