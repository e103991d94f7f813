"""Commands that evaluate synthetic cohorts."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from medsmith.cli.app import app, echo

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
    extractor: Annotated[
        list[str] | None,
        typer.Option(
            help="Features to compare: inception, radiomics, medicalnet-resnet50, radimagenet-resnet50, or NAME=PATH "
            "with a safetensors file of weights; repeat for several. Default: inception if installed, and radiomics."
        ),
    ] = None,
) -> None:
    """Compare a synthetic cohort with a real one: feature distances, memorization, masks, example images."""
    from medsmith.cases.cohort import Cohort
    from medsmith.evaluation import evaluate as compare
    from medsmith.evaluation import summary_lines
    from medsmith.evaluation.fidelity.named_extractors import extractors_named
    from medsmith.progress import ConsoleProgress

    training_cohort = Cohort.open(training) if training else None
    result = compare(
        Cohort.open(real),
        Cohort.open(synthetic),
        out,
        training=training_cohort,
        size=size,
        extractors=extractors_named(extractor or ()),
        progress=ConsoleProgress(),
    )
    for line in summary_lines(result):
        echo(line)
    echo(f"report: {out / 'evaluation.html'}")


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
    from medsmith.progress import ConsoleProgress

    cohorts = (Cohort.open(real), Cohort.open(synthetic), Cohort.open(test))
    config = SegmenterConfig(architecture=network, steps=steps)
    result = try_out(*cohorts, out, ratios=ratio, seeds=seeds, size=size, config=config, progress=ConsoleProgress())
    for line in summary_lines(result):
        echo(line)
    echo(f"report: {out / 'utility.html'}")
