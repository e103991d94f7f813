"""The annotation loop on the chest CT slices: 6 labeled patients, 15 unlabeled, 6 to measure with.

python benchmarks/mddpm/annotation.py WORK [OUT]

WORK holds the cohorts that cohorts.py writes and a run of mddpm trained on its images (WORK/run). OUT (WORK/annotation
by default) is a folder of ``medsmith annotate``: the same call continues it. One core needs about 20 minutes.
"""

import argparse
import sys
from pathlib import Path

from medsmith.annotation import AnnotationOptions, annotate
from medsmith.errors import MedsmithError
from medsmith.evaluation.downstream.segmenter import SegmenterConfig
from medsmith.progress import ConsoleProgress

PATIENT = r"^(Patient_\d+)"


def options(arguments: argparse.Namespace) -> AnnotationOptions:
    """The settings of the benchmark."""
    return AnnotationOptions(
        turns=arguments.turns,
        pairs=arguments.pairs,
        train_on=arguments.train_on,
        group=PATIENT,
        labeler=SegmenterConfig(steps=arguments.steps, batch=8),
        request={"anatomy": {"factor": arguments.factor}},
        sampling_steps=arguments.sampling_steps,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--steps", type=int, default=600, help="gradient steps of each labeler and of the control")
    parser.add_argument("--factor", type=int, default=4, help="of the anatomy, in pixels of the generator's grid")
    parser.add_argument("--sampling-steps", type=int, default=20)
    parser.add_argument("--train-on", default="generated+real")
    arguments = parser.parse_args()
    work = arguments.work
    try:
        annotate(
            work / "labeled",
            work / "unlabeled",
            arguments.out or work / "annotation",
            withheld=work / "test",
            run=work / "run",
            options=options(arguments),
            workers=1,
            progress=ConsoleProgress(),
            report=print,
        )
    except MedsmithError as error:
        sys.exit(error.line)


if __name__ == "__main__":
    main()
