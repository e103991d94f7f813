"""The command that labels an unlabeled cohort."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from medsmith.cli.app import app
from medsmith.cli.options import (
    ConfigValues,
    ContextClasses,
    Preset,
    RequestFile,
    SamplingSteps,
    Seed,
    Solver,
    Workers,
)
from medsmith.cli.terminal import terminal

WithheldOption = Annotated[
    Path | None, typer.Option(help="Labeled cohort of other patients to measure with; default: a share of LABELED.")
]
WithheldShareOption = Annotated[
    float, typer.Option(help="Share of the labeled patients to withhold, where no cohort is given.")
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        help="Regular expression that extracts the patient from a case id; needed without --withheld. "
        "Each slice is its own patient if omitted."
    ),
]
_PRESET = "tiny"
RunOption = Annotated[
    Path | None, typer.Option(help="Trained run of mddpm; default: one is trained on all images but the withheld.")
]
TrainOnOption = Annotated[
    str,
    typer.Option(
        metavar="<generated|generated+real|generated-then-real>",
        help="Training data of a turn; the paper's is generated.",
    ),
]
MaxMinutesOption = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        help="Training time of the generator in minutes, over all stages and repeated calls, without reading and "
        "encoding; default: no limit.",
    ),
]
SizeOption = Annotated[
    int | None, typer.Option(help="Edge of the labeler's grid, a multiple of 8; default: the generator's.")
]
MirrorOption = Annotated[
    float, typer.Option(help="Probability that augmentation mirrors a slice left to right; 0 where sides differ.")
]


@app.command()
def annotate(  # noqa: PLR0913
    labeled: Annotated[Path, typer.Argument(help="Cohort of few slices with labels.")],
    unlabeled: Annotated[Path, typer.Argument(help="Cohort of many slices; labels in it are ignored.")],
    out: Annotated[Path, typer.Argument(help="Output folder; run the same command again to continue.")],
    withheld: WithheldOption = None,
    withheld_share: WithheldShareOption = 0.25,
    group: GroupOption = None,
    run: RunOption = None,
    preset: Preset = _PRESET,
    set_: ConfigValues = None,
    max_minutes: MaxMinutesOption = None,
    turns: Annotated[int, typer.Option(min=1, help="Largest number of turns; may be raised later.")] = 3,
    pairs: Annotated[int, typer.Option(min=1, help="Generated pairs of each turn.")] = 200,
    train_on: TrainOnOption = "generated+real",
    steps: Annotated[int, typer.Option(min=2, help="Gradient steps of each labeler and of the control.")] = 1000,
    batch: Annotated[int, typer.Option(min=1, help="Slices per step.")] = 16,
    size: SizeOption = None,
    mirror: MirrorOption = 0.0,
    context: ContextClasses = "auto",
    request: RequestFile = None,
    solver: Solver = None,
    sampling_steps: SamplingSteps = None,
    workers: Workers = None,
    seed: Seed = 0,
) -> None:
    """Label many slices from few labeled ones, in turns that are measured on withheld labels beside a control."""
    from medsmith.lazy_imports import import_monai

    import_monai()
    from medsmith.annotation import AnnotationOptions
    from medsmith.annotation import annotate as annotate_cohort
    from medsmith.formats.json_file import read_json
    from medsmith.methods.config import validated

    loop = {"turns": turns, "pairs": pairs, "train_on": train_on, "context": context, "seed": seed}
    withholding = {"withheld_share": withheld_share, "group": group}
    if run is not None:
        _refuse_training_options({"--preset": preset != _PRESET, "--set": set_, "--max-minutes": max_minutes})
    generator = {"preset": preset, "settings": tuple(set_ or ()), "max_minutes": max_minutes}
    sampling = {
        "request": dict(read_json(request)) if request else {},
        "solver": solver,
        "sampling_steps": sampling_steps,
    }
    labeler = {"size": size, "labeler": {"steps": steps, "batch": batch}, "augmentation": {"mirror": mirror}}
    options = validated(AnnotationOptions, "annotate", {**loop, **withholding, **generator, **sampling, **labeler})
    found = annotate_cohort(
        labeled,
        unlabeled,
        out,
        withheld=withheld,
        run=run,
        options=options,
        workers=workers,
        progress=terminal().progress,
        report=terminal().note,
    )
    terminal().result({"out": out, **read_json(out / "annotate.json")}, [found.line])


def _refuse_training_options(given: Mapping[str, object]) -> None:
    """Options of a generator that is not trained here would be ignored."""
    from medsmith.errors import RequestError

    ignored = ", ".join(option for option, there in given.items() if there)
    if ignored:
        raise RequestError(ignored, "--run is given", "that run is trained already", "leave out one or the other")
