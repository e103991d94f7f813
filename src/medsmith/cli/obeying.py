"""The command that measures whether a method makes what is asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medsmith.cli.app import app
from medsmith.cli.options import MethodFiles
from medsmith.cli.terminal import terminal

if TYPE_CHECKING:
    from medsmith.evaluation.adherence import Adherence, AdherenceOptions

_OF_COHORTS = ("dataset.json", "images", "labels")
"""What the folder of a cohort has one of: the file of nnU-Net or Decathlon, or folders."""


@app.command()
def adherence(  # noqa: PLR0913
    run: Annotated[
        str,
        typer.Argument(
            help="Run folder or shipped weights, such as lesiondiffusion; or a cohort: label fidelity alone."
        ),
    ],
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

    chosen = {"attributes": tuple(attribute or ()), "pairs": pairs, "seed": seed, "steps": steps, "batch": batch}
    options = validated(AdherenceOptions, "adherence", chosen)
    if _is_cohort(Path(run)):
        needless = {"--templates": templates, "--anatomy": anatomy, "--pathology": pathology, "--attribute": attribute}
        result = _of_cohort(Path(run), out, real, test, options, [name for name, given in needless.items() if given])
    else:
        result = measure(
            run,
            out,
            templates=templates,
            anatomy=anatomy,
            pathology=pathology,
            real=real,
            test=test,
            options=options,
            progress=terminal().progress,
        )
    lines = (*summary_lines(result), f"report: {out / 'adherence.html'}")
    terminal().result({**result.as_json(), "page": out / "adherence.html"}, lines)


def _is_cohort(folder: Path) -> bool:
    """Whether a folder holds cases and no run."""
    return not (folder / "run.json").exists() and any((folder / name).exists() for name in _OF_COHORTS)


def _of_cohort(
    made: Path, out: Path, real: Path | None, test: Path | None, options: "AdherenceOptions", needless: Sequence[str]
) -> "Adherence":
    """``adherence`` of the cases of a cohort.

    Raises:
        RequestError: real or test cases are missing, or something is given that only a method takes.
    """
    from medsmith.errors import RequestError

    if needless:
        found = f"{made} is a cohort, for which {', '.join(needless)} says nothing"
        raise RequestError("adherence", found, "only the label fidelity of its cases is measured", "leave it out")
    if real is None or test is None:
        missing = "--real" if real is None else "--test"
        raise RequestError(missing, f"none given, and {made} is a cohort", "its label fidelity needs both", "name it")
    from medsmith.evaluation.adherence import cohort_adherence

    return cohort_adherence(made, out, real=real, test=test, options=options, progress=terminal().progress)
