"""Commands that say what cases are worth."""

from pathlib import Path
from typing import Annotated

import typer

from medsmith.cli.app import app, echo


@app.command()
def evaluate(
    real: Annotated[Path, typer.Argument(help="Real cohort, best one the generator never saw.")],
    synthetic: Annotated[Path, typer.Argument(help="Synthetic cohort.")],
    out: Annotated[Path, typer.Option(help="Folder of the report.")],
    training: Annotated[Path | None, typer.Option(help="What the generator learnt from, for the copy check.")] = None,
    size: Annotated[int | None, typer.Option(min=16, help="Edge of the common grid.")] = None,
) -> None:
    """Compare a synthetic cohort with a real one: distances with floors, copies, masks, pictures."""
    from medsmith.cases.cohort import Cohort
    from medsmith.evaluation import evaluate as compare
    from medsmith.evaluation import summary_lines
    from medsmith.progress import ConsoleProgress

    learnt_from = Cohort.open(training) if training else None
    result = compare(
        Cohort.open(real), Cohort.open(synthetic), out, training=learnt_from, size=size, progress=ConsoleProgress()
    )
    for line in summary_lines(result):
        echo(line)
    echo(f"report: {out / 'evaluation.html'}")


@app.command()
def utility(
    real: Annotated[Path, typer.Argument(help="Real cases to train a segmentation network on.")],
    synthetic: Annotated[Path, typer.Argument(help="Synthetic cases, made without sight of TEST.")],
    test: Annotated[Path, typer.Option(help="Real cases that only test.")],
    out: Annotated[Path, typer.Option(help="Folder of the results; the same command again continues.")],
    ratio: Annotated[list[float] | None, typer.Option(help="Synthetic per real case; once per ratio.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Networks per mixture.")] = 3,
    size: Annotated[int | None, typer.Option(min=16, help="Edge of the grid, a multiple of 8.")] = None,
) -> None:
    """Train a segmentation network on real, synthetic and both, with equal steps; compare Dice on TEST."""
    from medsmith.lazy_imports import import_monai

    import_monai()
    from medsmith.cases.cohort import Cohort
    from medsmith.evaluation.downstream import summary_lines
    from medsmith.evaluation.downstream import utility as try_out
    from medsmith.progress import ConsoleProgress

    cohorts = (Cohort.open(real), Cohort.open(synthetic), Cohort.open(test))
    result = try_out(*cohorts, out, ratios=ratio, seeds=seeds, size=size, progress=ConsoleProgress())
    for line in summary_lines(result):
        echo(line)
    echo(f"report: {out / 'utility.html'}")
