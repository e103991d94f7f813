"""The command that labels an unlabelled cohort."""

from pathlib import Path
from typing import Annotated

import typer

from medsmith.cli.app import Seed, app, echo


@app.command()
def annotate(  # noqa: PLR0913
    labelled: Annotated[Path, typer.Argument(help="Cohort of few slices with labels.")],
    unlabelled: Annotated[Path, typer.Argument(help="Cohort of many slices; labels in it are ignored.")],
    out: Annotated[Path, typer.Argument(help="Output folder; run the same command again to continue.")],
    withheld: Annotated[
        Path | None,
        typer.Option(help="Labelled cohort of other patients to measure with; default: a share of LABELLED."),
    ] = None,
    withheld_share: Annotated[
        float, typer.Option(help="Share of the labelled patients to withhold, where no cohort is given.")
    ] = 0.25,
    group: Annotated[
        str | None,
        typer.Option(
            help="Regular expression that extracts the patient from a case id. Each case is its own patient if omitted."
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Trained run of mddpm; default: one is trained on all images but the withheld.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Configuration of the generator that is trained.")] = "tiny",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a value of it, such as size=[32,32]. Repeatable.")
    ] = None,
    max_minutes: Annotated[float | None, typer.Option(min=0.01, help="Its training time; default: no limit.")] = None,
    turns: Annotated[int, typer.Option(min=1, help="Largest number of turns; may be raised later.")] = 3,
    pairs: Annotated[int, typer.Option(min=1, help="Generated pairs of each turn.")] = 200,
    train_on: Annotated[
        str,
        typer.Option(
            help="Training data of a turn: generated (as in the paper), generated+real, or generated-then-real."
        ),
    ] = "generated+real",
    steps: Annotated[int, typer.Option(min=2, help="Gradient steps of each labeller and of the control.")] = 1000,
    batch: Annotated[int, typer.Option(min=1, help="Slices per step.")] = 16,
    size: Annotated[
        int | None, typer.Option(help="Edge of the labeller's grid, a multiple of 8; default: the generator's.")
    ] = None,
    mirror: Annotated[
        float, typer.Option(help="Probability that augmentation mirrors a slice left to right; 0 where sides differ.")
    ] = 0.0,
    context: Annotated[
        str, typer.Option(help="Classes that thresholds add below the labels: auto, none, or of body, lung and bone.")
    ] = "auto",
    request: Annotated[
        Path | None, typer.Option(help="JSON file with further entries of the request for each pair, such as guides.")
    ] = None,
    solver: Annotated[str | None, typer.Option(help="Sampler of the pairs; default: as configured.")] = None,
    sampling_steps: Annotated[int | None, typer.Option(min=1, help="Its steps; default: as configured.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes that generate pairs; default: one per CPU core.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Label many slices from few labelled ones, in turns that are measured on withheld labels beside a control."""
    from medsmith.lazy_imports import import_monai

    import_monai()
    from medsmith.annotation import AnnotationOptions
    from medsmith.annotation import annotate as annotate_cohort
    from medsmith.formats.json_file import read_json
    from medsmith.methods.config import validated
    from medsmith.progress import ConsoleProgress

    options = validated(
        AnnotationOptions,
        "annotate",
        {
            "turns": turns,
            "pairs": pairs,
            "train_on": train_on,
            "withheld_share": withheld_share,
            "group": group,
            "preset": preset,
            "settings": tuple(set_ or ()),
            "max_minutes": max_minutes,
            "size": size,
            "labeller": {"steps": steps, "batch": batch},
            "augmentation": {"mirror": mirror},
            "context": context,
            "request": dict(read_json(request)) if request else {},
            "solver": solver,
            "sampling_steps": sampling_steps,
            "seed": seed,
        },
    )
    annotate_cohort(
        labelled,
        unlabelled,
        out,
        withheld=withheld,
        run=run,
        options=options,
        workers=workers,
        progress=ConsoleProgress(),
        report=echo,
    )
