"""The annotation loop on the chest CT slices: 6 labeled patients, 15 unlabeled, 6 to measure with.

python benchmarks/mddpm/annotation.py WORK [OUT]

WORK holds the cohorts that cohorts.py writes and a run of mddpm trained on its images (WORK/run). OUT (WORK/annotation
by default) is a folder of ``medsmith annotate``: the same call continues it. One core needs about 20 minutes. The
result goes to annotation.json beside this file.
"""

import argparse
import sys
from pathlib import Path

from medsmith.annotation import AnnotationOptions, annotate
from medsmith.annotation.measured import Measured, rise
from medsmith.errors import MedsmithError
from medsmith.evaluation.downstream.segmenter import SegmenterConfig
from medsmith.formats.atomic import write_json
from medsmith.machine import facts
from medsmith.progress import ConsoleProgress

HERE = Path(__file__).parent

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


def row(measured: Measured, control: Measured) -> dict[str, object]:
    """Mean Dice over patients, that of each label, and the gain over the control, with 95 % intervals."""
    labels = {name: found.as_json() for name, found in measured.label_estimates.items()}
    return {"dice": measured.mean, "labels": labels, "gain": rise(measured, control).interval.as_json()}


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
        annotation = annotate(
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
        control = annotation.control.measured
        found = {"control": row(control, control)}
        for turn in annotation.turns:
            found[f"turn {turn.number}"] = row(turn.measured, control) | {"rejection": turn.rejection}
        about = {"patients": len(control.by_patient), "line": annotation.line.split("; ", 1)[1]}
        about |= {"steps": arguments.steps, "pairs": arguments.pairs}
        write_json(HERE / "annotation.json", {"rows": found, **about, "facts": facts()})
    except MedsmithError as error:
        sys.exit(error.line)


if __name__ == "__main__":
    main()
