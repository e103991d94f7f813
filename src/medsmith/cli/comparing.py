"""Commands that evaluate synthetic cohorts."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from medsmith.cli.app import app
from medsmith.cli.terminal import terminal

Network = Literal["unet", "resunet", "wide_resunet", "dynunet", "vnet"]
"""``Architecture`` of medsmith.evaluation.downstream, which takes seconds to load."""


@app.command()
def evaluate(
    real: Annotated[Path, typer.Argument(help="Real reference cohort, preferably not used to train the generator.")],
    synthetic: Annotated[Path, typer.Argument(help="Synthetic cohort to evaluate.")],
    out: Annotated[Path, typer.Option(help="Output folder for the report.")],
    training: Annotated[
        Path | None, typer.Option(help="Cohort the generator was trained on, searched for copies; default: REAL.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=16, help="Edge of the common grid, pixels or voxels; default: the smaller median image size."),
    ] = None,
) -> None:
    """Compare a synthetic cohort with a real one: feature distances, memorization, masks, example images."""
    from medsmith.cases.cohort import Cohort
    from medsmith.evaluation import evaluate as compare
    from medsmith.evaluation import summary_lines

    training_cohort = Cohort.open(training) if training else None
    result = compare(
        Cohort.open(real),
        Cohort.open(synthetic),
        out,
        training=training_cohort,
        size=size,
        progress=terminal().progress,
    )
    page = out / "evaluation.html"
    terminal().result({**result.as_json(), "report": page}, [*summary_lines(result), f"report: {page}"])


@app.command()
def privacy(
    synthetic: Annotated[Path, typer.Argument(help="Synthetic cohort to search, of any generator.")],
    training: Annotated[Path, typer.Option(help="Cohort that the generator was trained on.")],
    out: Annotated[Path, typer.Option(help="Output folder for the report; run again to continue.")],
    held_out: Annotated[
        Path | None,
        typer.Option(help="Real cohort that the generator was not trained on: sets thresholds, tests membership."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Label of the lesions; default: all labels but the background.")
    ] = None,
) -> None:
    """Search a synthetic cohort for copies of training cases; measure membership inference by distance."""
    from medsmith.cases.cohort import Cohort
    from medsmith.evaluation.privacy import measure_privacy, summary_lines

    held_out_cohort = Cohort.open(held_out) if held_out else None
    result = measure_privacy(
        Cohort.open(synthetic),
        Cohort.open(training),
        out,
        held_out=held_out_cohort,
        label=label,
        progress=terminal().progress,
    )
    page = out / "privacy.html"
    terminal().result({**result.as_json(), "page": page}, (*summary_lines(result), f"report: {page}"))


@app.command()
def utility(
    real: Annotated[Path, typer.Argument(help="Real cohort to train segmentation networks on.")],
    synthetic: Annotated[
        Path, typer.Argument(help="Synthetic cohort; its generator must not have seen the test cases.")
    ],
    test: Annotated[Path, typer.Option(help="Real cohort used only for testing.")],
    out: Annotated[Path, typer.Option(help="Output folder for the results; run again to continue.")],
    ratio: Annotated[
        list[float] | None,
        typer.Option(
            help="Synthetic cases per real case; repeat for each ratio. Default: 0.5, 1, 2, 4 as far as cases suffice."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Networks trained per mixture.")] = 3,
    size: Annotated[
        int | None,
        typer.Option(
            min=16,
            help="Edge of the training grid, a multiple of 8 (vnet: 16); default: the smaller image, at most 64 for "
            "volumes.",
        ),
    ] = None,
    network: Annotated[Network, typer.Option(help="Architecture of the segmentation networks.")] = "resunet",
    steps: Annotated[int, typer.Option(min=2, help="Gradient steps of each network.")] = 1000,
) -> None:
    """Train segmentation networks on real, synthetic and mixed data with equal steps; compare test Dice."""
    from medsmith.lazy_imports import import_monai

    import_monai()
    from medsmith.cases.cohort import Cohort
    from medsmith.evaluation.downstream import SegmenterConfig, summary_lines
    from medsmith.evaluation.downstream import utility as try_out

    cohorts = (Cohort.open(real), Cohort.open(synthetic), Cohort.open(test))
    config = SegmenterConfig(architecture=network, steps=steps)
    result = try_out(*cohorts, out, ratios=ratio, seeds=seeds, size=size, config=config, progress=terminal().progress)
    page = out / "utility.html"
    terminal().result({**result.as_json(), "report": page}, [*summary_lines(result), f"report: {page}"])
