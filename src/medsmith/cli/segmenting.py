"""The command that trains nnU-Net with and without synthetic cases."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from medsmith.cli.app import app
from medsmith.cli.checks import check_given_roles
from medsmith.cli.options import (
    Gain,
    GeneratorCohort,
    PatientGroup,
    ResultsFolder,
    SyntheticForTraining,
    TestCohort,
    TestScenes,
    Tolerance,
)
from medsmith.cli.terminal import terminal


@app.command()
def nnunet(  # noqa: PLR0913
    real: Annotated[Path, typer.Argument(help="Real cohort to train nnU-Net on; its plans are made from it alone.")],
    synthetic: SyntheticForTraining,
    test: TestCohort,
    out: ResultsFolder,
    training: GeneratorCohort = None,
    configuration: Annotated[Literal["2d", "3d_fullres"], typer.Option(help="Of nnU-Net's plans.")] = "2d",
    fold: Annotated[
        list[int] | None,
        typer.Option(min=0, max=4, help="Fold of nnU-Net's cross-validation; repeat for several. Default: 0."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each training; nnU-Net's own are 1000.")] = 1000,
    iterations: Annotated[int, typer.Option(min=1, help="Iterations of an epoch; nnU-Net's own are 250.")] = 250,
    share: Annotated[float, typer.Option(help="Share of synthetic cases in the batches of R + S, on average.")] = 0.5,
    alone: Annotated[bool, typer.Option("--alone", help="Add an arm that learns from synthetic cases alone.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and folds; nnU-Net is not deterministic.")] = 0,
    device: Annotated[
        Literal["cpu", "cuda"] | None,
        typer.Option(help="Device that nnU-Net computes on. Default: cuda if there is a GPU."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes of nnU-Net that read, augment and write; default: up to 8.")
    ] = None,
    group: PatientGroup = None,
    scenes: TestScenes = "apart",
    tolerance: Tolerance = 2.0,
    gain: Gain = 2.0,
) -> None:
    """Train nnU-Net v2 on real cases, and on real and synthetic ones; compare the networks on test patients."""
    check_given_roles(real, synthetic, test)
    from medsmith.lazy_imports import import_monai

    import_monai()
    from medsmith.evaluation.nnunet import NnunetOptions, nnunet_utility, summary_lines
    from medsmith.methods.config import validated

    trained = {"configuration": configuration, "folds": tuple(fold or (0,)), "epochs": epochs, "iterations": iterations}
    drawn = {"share": share, "alone": alone, "seed": seed, "group": group, "scenes": scenes}
    computed = {**({"device": device} if device else {}), **({"workers": workers} if workers else {})}
    measured = {"tolerance": tolerance, "gain": gain}
    options = validated(NnunetOptions, "nnunet", {**trained, **drawn, **computed, **measured})
    result = nnunet_utility(
        real, synthetic, test, out, training=training, options=options, progress=terminal().progress
    )
    page = out / "nnunet.html"
    terminal().result({**result.as_json(), "report": page}, [*summary_lines(result), f"report: {page}"])
