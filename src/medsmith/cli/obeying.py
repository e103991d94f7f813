"""The command that measures whether a method makes what is asked for."""

from pathlib import Path
from typing import Annotated

import typer

from medsmith.cli.app import app
from medsmith.cli.options import MethodFiles
from medsmith.cli.terminal import terminal


@app.command()
def adherence(  # noqa: PLR0913
    run: Annotated[str, typer.Argument(help="Run folder, or the name of shipped weights, such as lesiondiffusion.")],
    out: Annotated[Path, typer.Argument(help="Output folder for the report; run again to continue.")],
    templates: Annotated[
        Path | None, typer.Option(help="Cohort of scans, or of label maps to follow, for methods that need it.")
    ] = None,
    anatomy: Annotated[Path | None, typer.Option(help="Shape space of label maps, for mddpm.")] = None,
    pathology: Annotated[Path | None, typer.Option(help="Cohort of slices with lesions, for mddpm.")] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            help="Attribute to measure, such as shape; an unknown name lists the known. Repeatable. Default: all."
        ),
    ] = None,
    pairs: Annotated[
        int, typer.Option(min=10, help="Pairs of each attribute, at least 10; cases for the label fidelity.")
    ] = 50,
    real: Annotated[
        Path | None,
        typer.Option(help="Labeled real cohort to train segmenters on, for the label fidelity; with --test."),
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Real cohort of other patients to test them on.")] = None,
    steps: Annotated[int, typer.Option(min=2, help="Gradient steps of each segmenter.")] = 1000,
    batch: Annotated[int, typer.Option(min=1, help="Cases per step.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all cases and segmenters.")] = 0,
    method_file: MethodFiles = None,  # noqa: ARG001
) -> None:
    """Measure whether cases are what was asked for: pairs of requests that differ in one attribute; label fidelity."""
    if real is not None:
        from medsmith.lazy_imports import import_monai

        import_monai()
    from medsmith.evaluation.adherence import AdherenceOptions, summary_lines
    from medsmith.evaluation.adherence import adherence as measure
    from medsmith.methods.config import validated

    trained = {"steps": steps, "batch": batch}
    chosen = {"attributes": tuple(attribute or ()), "pairs": pairs, "seed": seed, **trained}
    result = measure(
        run,
        out,
        templates=templates,
        anatomy=anatomy,
        pathology=pathology,
        real=real,
        test=test,
        options=validated(AdherenceOptions, "adherence", chosen),
        progress=terminal().progress,
    )
    page = out / "adherence.html"
    terminal().result({**result.as_json(), "page": page}, (*summary_lines(result), f"report: {page}"))
