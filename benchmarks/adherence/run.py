"""Adherence of a trained method: ``medsmith adherence`` with date and machine, its numbers kept beside this file.

    python benchmarks/adherence/run.py RUN WORK [--templates COHORT] [--anatomy SPACE] [--pathology COHORT] ...

WORK keeps the pairs and the page; the same command again goes on. The result goes to METHOD.json beside this file;
write_readme.py turns it into tables. Attributes may be named at the end; default: all. The templates of the CT figures:

    medsmith phantom ct-healthy TEMPLATES --count 6 --size 96 --seed 2

and those of the chest:

    medsmith phantom chest-healthy TEMPLATES --count 40 --size 64 --seed 1
    medsmith anatomy fit TEMPLATES SPACE
    medsmith phantom chest LESIONS --count 24 --size 64 --seed 2
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


def main(given: argparse.Namespace) -> None:
    """Measure, and keep the numbers."""
    options = AdherenceOptions(attributes=tuple(given.attributes), pairs=given.pairs)
    inputs = {"templates": given.templates, "anatomy": given.anatomy, "pathology": given.pathology}
    found = adherence(given.run, given.work, **inputs, options=options, progress=ConsoleProgress())
    print("\n".join(summary_lines(found)))
    write_json(HERE / f"{found.method}.json", {**found.as_json(), "measured": facts()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("work", type=Path)
    parser.add_argument("attributes", nargs="*")
    parser.add_argument("--templates", type=Path)
    parser.add_argument("--anatomy", type=Path)
    parser.add_argument("--pathology", type=Path)
    parser.add_argument("--pairs", type=int, default=10)
    try:
        main(parser.parse_intermixed_args())
    except MedsmithError as error:
        sys.exit(error.line)
