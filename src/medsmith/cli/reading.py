"""Commands of the reader study."""

from pathlib import Path
from typing import Annotated

import typer

from medsmith.cli.app import app
from medsmith.cli.options import PatientGroup, Seed
from medsmith.cli.terminal import terminal

DisplayWindows = Annotated[
    str,
    typer.Option(
        metavar="<lung|bone|soft|NAME=LEVEL/WIDTH,...>", help="Windows of CT in HU, in the order of the key w."
    ),
]


@app.command()
def turing(  # noqa: PLR0913
    real: Annotated[Path, typer.Argument(help="Cohort of real images.")],
    synthetic: Annotated[Path, typer.Argument(help="Cohort of synthetic images with the same channels.")],
    out: Annotated[Path, typer.Argument(help="Output folder: study.html for the readers, key.json for the scoring.")],
    count: Annotated[
        int | None, typer.Option(help="Images of each kind, at least 5; default: 100, or as many as both cohorts have.")
    ] = None,
    synthetic_count: Annotated[int | None, typer.Option(help="Synthetic images, if not as many as real ones.")] = None,
    seed: Seed = 0,
    mode: Annotated[
        str,
        typer.Option(
            metavar="<single|pairs>", help="single: one image, rated on five points; pairs: which of two is synthetic?"
        ),
    ] = "single",
    repeats: Annotated[float, typer.Option(help="Share of the trials shown twice, for each reader's agreement.")] = 0.1,
    learning: Annotated[
        int, typer.Option(min=0, help="Images of each kind shown first with feedback, and not again.")
    ] = 0,
    margin: Annotated[
        float, typer.Option(help="Equivalence margin: AUC (or share of right pairs) .5 +- this counts as chance.")
    ] = 0.1,
    windows: DisplayWindows = "lung,bone,soft",
    group: PatientGroup = None,
    channel: Annotated[str | None, typer.Option(help="Name of the channel shown; default: the first.")] = None,
    slices: Annotated[
        int | None, typer.Option(min=1, help="Slices of a volume that can be scrolled; default: up to 9.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=32, help="Largest edge of the images, pixels; default: 512, 256 for stacks.")
    ] = None,
) -> None:
    """Create a blind reader study: can readers tell synthetic from real images? Send them study.html, keep key.json."""
    from medsmith.cases.cohort import Cohort
    from medsmith.errors import RequestError
    from medsmith.evaluation.reader_study import StudyPlan, create_study
    from medsmith.evaluation.reader_study.plan import Mode

    if mode not in list(Mode):
        raise RequestError("--mode", f"{mode!r}", "single or pairs", "choose one")
    plan = StudyPlan(
        count=count,
        synthetic_count=synthetic_count,
        seed=seed,
        mode=Mode(mode),
        repeats=repeats,
        learning=learning,
        margin=margin,
        windows=windows,
        group=group,
        channel=channel,
        slices=slices,
        size=size,
    )
    study = create_study(Cohort.open(real), Cohort.open(synthetic), out, plan, progress=terminal().progress)
    files = {"readers": out / "study.html", "key": out / "key.json"}
    last = f"for the readers: {files['readers']}; keep to yourself: {files['key']}"
    terminal().result({**study.as_json(), **files}, [*study.lines, last])


@app.command(name="turing-score")
def turing_score(
    results: Annotated[list[Path], typer.Argument(metavar="FILES...", help="Result files, one per reader.")],
    key: Annotated[Path | None, typer.Option(help="The study's key.json; default: beside the first file.")] = None,
    margin: Annotated[
        float | None, typer.Option(help="Another equivalence margin than the declared one; the report flags it.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for score.json and score.html; default: that of the key.")
    ] = None,
) -> None:
    """Score the result files of a reader study: accuracy, AUC, skill and bias, equivalence to chance, agreement."""
    from medsmith.evaluation.reader_study import score_study
    from medsmith.evaluation.reader_study.score_page import score_lines

    key = key or results[0].parent / "key.json"
    folder = out or key.parent
    score, page = score_study(results, key, folder, margin=margin), folder / "score.html"
    terminal().result({**score.as_json(), "report": page}, [*score_lines(score), f"report: {page}"])
