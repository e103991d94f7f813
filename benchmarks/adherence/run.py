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
That of segguided and ddpm, on the breast ultrasound images of IMAGES (images/ and labels/), the maps of segguided those
of test (--templates test):

    medsmith prepare IMAGES all --channel ultrasound --label lesion=1
    medsmith split all train test --test-fraction 0.2 --by-scene
    medsmith train METHOD train --run METHOD-us --set size=[32,32] --max-steps 1500

That of pig with its shipped weights, and of copypaste trained on ph-paste:

    medsmith phantom breast ph-train --count 300 --size 64 --seed 11
    medsmith phantom breast ph-test --count 80 --size 64 --seed 12
    medsmith phantom breast ph-paste --count 80 --size 64 --seed 13
    medsmith train copypaste ph-paste --run copypaste-ph
"""

import argparse
import sys
from pathlib import Path

from medsmith import AdherenceOptions, MedsmithError, adherence
from medsmith.evaluation.adherence import summary_lines
from medsmith.formats.atomic import write_json
from medsmith.machine import facts
from medsmith.progress import ConsoleProgress
from medsmith.runs.checkpoints import read_record
from medsmith.runs.location import find_run
from medsmith.runs.steps import steps_by_stage

HERE = Path(__file__).parent
INPUTS = ("templates", "anatomy", "pathology", "real", "test")


def main(given: argparse.Namespace) -> None:
    """Measure, and keep the numbers."""
    attributes = tuple(given.attributes)
    options = AdherenceOptions(attributes=attributes, pairs=given.pairs, steps=given.steps, batch=given.batch)
    inputs = {name: getattr(given, name) for name in INPUTS}
    found = adherence(given.run, given.work, **inputs, options=options, progress=ConsoleProgress())
    print("\n".join(summary_lines(found)))
    said = {"training": training_of(given.run), "measured": facts()}
    write_json(HERE / f"{found.method}.json", {**found.as_json(), **said})


def training_of(run: str) -> str:
    """The cases and steps behind the weights, as far as the run tells them."""
    record = read_record(find_run(run))
    size = record.config.get("size")
    grid = f", grid {' x '.join(map(str, size))}" if size else ""
    return f"{record.fingerprint.count} cases{grid}" + (f", {steps_by_stage(record.steps)}" if record.steps else "")


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
