"""Commands that train methods and make cases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from medsmith.cli.app import Seed, app, pairs, say


@app.command()
def train(
    method: Annotated[str, typer.Argument(help="ddpm, lesiondiffusion, pig or segguided.")],
    cohort: Annotated[Path, typer.Argument(help="Annotated images to learn from.")],
    run: Annotated[Path, typer.Option(help="Run folder; the same command again continues.")],
    preset: Annotated[str, typer.Option(help="paper, released, best or tiny.")] = "tiny",
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value of the config: training.batch=8.")] = None,
    stage: Annotated[str | None, typer.Option(help="Train one stage; all in order if not given.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Steps of each stage.")] = None,
    max_minutes: Annotated[float | None, typer.Option(min=0, help="Minutes over all stages and calls.")] = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes, one per GPU where there are GPUs.")] = 1,
    seed: Seed = 0,
) -> None:
    """Train a method on a cohort."""
    from medsmith.cases.cohort import Cohort
    from medsmith.progress import Shown
    from medsmith.runs.checkpoints import is_finished
    from medsmith.training import Budget
    from medsmith.training import train as train_method

    budget = Budget(steps=max_steps, minutes=max_minutes, stage=stage)
    cases = Cohort.open(cohort)
    train_method(
        method,
        cases,
        run,
        preset=preset,
        settings=set_ or (),
        seed=seed,
        budget=budget,
        devices=devices,
        progress=Shown(),
    )
    if is_finished(run):
        say(f"{run}: trained; next: medsmith synthesize {run} OUT --count 100")
    else:
        say(f"{run}: stage '{stage}' is trained; next: the same command with another stage, or without --stage")


@app.command()
def clean(run: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Remove the prepared cases of a run; weights and checkpoints stay."""
    from medsmith.runs.folder import clean as clean_run

    say(f"{run}: {clean_run(run) / 2**20:.0f} MiB freed")


def _request(
    file: Path | None, templates: tuple[Path | None, str | None], options: Mapping[str, str | None], report: str | None
) -> dict[str, Any]:
    """The request file with what the options add; what no attribute took of the words is said."""
    from medsmith.formats.json_file import read_json
    from medsmith.reports.reading import read_report

    asked: dict[str, Any] = dict(read_json(file)) if file else {}
    scans = _named(asked.get("templates"), *templates)
    asked |= {key: value for key, value in {"templates": scans, **options}.items() if value is not None}
    if report is not None:
        parsed = read_report(report)
        for remark in parsed.remarks:
            typer.echo(remark, err=True)
        asked["lesions"] = [lesion.model_dump(mode="json", exclude_defaults=True) for lesion in parsed.report.lesions]
        asked["without"] = parsed.excluded
    return asked


def _named(templates: object, cohort: Path | None, case: str | None) -> object:
    """The templates of a request file, with what the options say of them."""
    said = dict(templates) if isinstance(templates, Mapping) else {"cohort": templates}
    options = {"cohort": None if cohort is None else str(cohort), "case": case}
    given = {key: value for key, value in options.items() if value is not None}
    return {**said, **given} if given else templates


def _cohort_of(templates: object) -> Path | None:
    """The cohort that templates are taken from; what cannot be understood the method refuses by name."""
    folder = templates.get("cohort") if isinstance(templates, Mapping) else templates
    return Path(folder) if isinstance(folder, str) else None


@app.command()
def synthesize(  # noqa: PLR0913
    run: Annotated[str, typer.Argument(help="A run folder, or the name of shipped weights: lesiondiffusion or pig.")],
    out: Annotated[Path, typer.Argument(help="Folder of the synthetic cohort.")],
    count: Annotated[int, typer.Option(min=1, help="Cases the folder will hold.")] = 100,
    seed: Seed = 0,
    templates: Annotated[Path | None, typer.Option(help="Cohort of scans that lesions are put into.")] = None,
    template: Annotated[str | None, typer.Option(help="The one case of it that is used; drawn if not given.")] = None,
    report: Annotated[str | None, typer.Option(help="The lesions in words, or a JSON file of their reports.")] = None,
    lesion_type: Annotated[str | None, typer.Option(help="Draw reports of this type: 'kidney cyst'.")] = None,
    organ_map: Annotated[str | None, typer.Option(help="template, totalsegmentator, coarse, or a label map.")] = None,
    request: Annotated[Path | None, typer.Option(help="JSON file of what is asked of each case.")] = None,
    solver: Annotated[str | None, typer.Option(help="ddpm, ddim, dpm++2m or euler; the method's if not given.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps; the method's if not given.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core or GPU if not given.")] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help="cpu if not given; or cuda, cuda:1, ... Several share the work."),
    ] = None,
) -> None:
    """Make synthetic cases, each checked before it is written; the same command again continues."""
    options = {"lesion_type": lesion_type, "organ_map": organ_map}
    asked = _request(request, (templates, template), options, report)
    from medsmith.insertion.memory import memory_needed
    from medsmith.progress import Shown
    from medsmith.synthesis import SynthesisOptions, write_lesions_page
    from medsmith.synthesis import synthesize as make_cases

    cohort = _cohort_of(asked.get("templates"))
    if cohort:
        say(f"memory: at most {memory_needed(cohort) / 2**30:.1f} GiB per worker")
    summary = make_cases(
        run,
        out,
        count=count,
        seed=seed,
        request=asked,
        solver=solver,
        steps=steps,
        workers=workers,
        options=SynthesisOptions(devices=tuple(device or ("cpu",))),
        progress=Shown(),
    )
    say(summary.line)
    page = write_lesions_page(out, cohort) if cohort else None
    if page:
        say(f"requested and measured: {page}")


@app.command()
def regenerate(
    out: Annotated[Path, typer.Argument(help="A synthetic cohort.")],
    case: Annotated[str, typer.Argument(help="Case to make again.")],
    run: Annotated[Path | None, typer.Option(help="Run folder, where it has moved.")] = None,
    input_: Annotated[
        list[str] | None, typer.Option("--input", help="key=PATH of files that have moved: templates=SCANS.")
    ] = None,
) -> None:
    """Make a case again from its provenance; succeeds only if every byte is the same."""
    from medsmith.synthesis import regenerate as make_again

    files = make_again(out, case, run=run, inputs=pairs("--input", input_ or []))
    say(f"{case}: {', '.join(files)} made again, byte for byte")
