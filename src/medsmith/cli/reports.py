"""Commands about structured reports of lesions."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medsmith.cli.app import Seed, app, echo, pairs

if TYPE_CHECKING:
    from medsmith.reports.parsing.report import ParsedReport
    from medsmith.reports.schema import LesionReport, ScanReport

group = typer.Typer(help="Structured reports of lesions: draw, read, write.", no_args_is_help=True)
app.add_typer(group, name="report", rich_help_panel=None)


class Form(StrEnum):
    """How reports are printed."""

    JSON = "json"
    TEXT = "text"
    AUTHORS = "authors"


TypeOfLesion = Annotated[str, typer.Option("--type", help="Type of lesion; see: medsmith report types.")]
Count = Annotated[int, typer.Option(min=1, help="Number of reports.")]
Fixed = Annotated[list[str] | None, typer.Option("--set", help="attribute=value: organ=kidney_left, size_mm=8x12x14.")]
Printed = Annotated[Form, typer.Option(help="One report per line: our JSON, words, or the released JSON.")]


def _print(report: "LesionReport | ScanReport", form: Form) -> None:
    import json

    from medsmith.reports.schema import ScanReport
    from medsmith.reports.wording import to_text
    from medsmith.reports.writing.authors import to_released

    scan = report if isinstance(report, ScanReport) else ScanReport(lesions=(report,))
    if form is Form.TEXT:
        echo(to_text(scan))
    elif form is Form.AUTHORS:
        echo(json.dumps(to_released(scan), ensure_ascii=False))
    else:
        lesions = [lesion.model_dump(mode="json", exclude_defaults=True) for lesion in scan.lesions]
        echo(json.dumps({"lesions": lesions}, ensure_ascii=False))


def _print_parsed(parsed: "ParsedReport", form: Form) -> None:
    for remark in parsed.remarks:
        typer.echo(remark, err=True)
    _print(parsed.report, form)


@group.command("sample")
def sample(
    lesion_type: TypeOfLesion,
    count: Count = 1,
    seed: Seed = 0,
    set_: Fixed = None,
    without: Annotated[list[str] | None, typer.Option(help="Option that shall not be said; once per option.")] = None,
    form: Printed = Form.JSON,
) -> None:
    """Draw reports of one type of lesion whose words, sizes and densities go together."""
    import numpy as np

    from medsmith.reports.sampling import sample_report
    from medsmith.reports.values import read_option, read_values

    fixed = read_values(pairs("--set", set_ or []))
    excluded = [option for said in without or [] for option in read_option(said)]
    rng = np.random.Generator(np.random.PCG64(seed))
    for _ in range(count):
        _print(sample_report(lesion_type, rng, fixed, excluded), form)


@group.command("parse")
def parse(
    text: Annotated[str, typer.Argument(help="'a 20 mm round-like hypodense cyst inside the right kidney'.")],
    form: Printed = Form.JSON,
) -> None:
    """Read a description in words; what found no place is said on standard error."""
    from medsmith.reports.parsing.report import parse_report
    from medsmith.reports.reading import check_describes_lesion

    parsed = parse_report(text)
    check_describes_lesion(parsed, text)
    _print_parsed(parsed, form)


@group.command("read")
def read(
    file: Annotated[
        Path, typer.Argument(help="JSON file in the form that LesionDiffusion's reports were released in.")
    ],
    lesion_type: Annotated[
        str | None, typer.Option("--type", help="What the lesions are; the form does not say.")
    ] = None,
    form: Printed = Form.JSON,
) -> None:
    """Read a report in the released form; what found no place is said on standard error."""
    from medsmith.reports.reading import check_describes_lesion
    from medsmith.reports.writing.authors import read_released

    parsed = read_released(file, lesion_type)
    check_describes_lesion(parsed, str(file))
    _print_parsed(parsed, form)


@group.command("write")
def write(
    lesion_type: TypeOfLesion,
    llm_url: Annotated[str, typer.Option(help="OpenAI-compatible endpoint: http://localhost:8000/v1.")],
    llm_model: Annotated[str, typer.Option(help="Name of the language model there.")],
    count: Count = 1,
    seed: Seed = 0,
    set_: Fixed = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for one answer.")] = 60.0,
    form: Printed = Form.JSON,
) -> None:
    """Have a language model write reports; they are checked by the rules. The key is read from MEDSMITH_LLM_KEY."""
    import os

    import numpy as np

    from medsmith.reports.values import read_values
    from medsmith.reports.writing.endpoint import KEY_VARIABLE, Endpoint
    from medsmith.reports.writing.writer import write_report

    endpoint = Endpoint(llm_url, llm_model, os.environ.get(KEY_VARIABLE), timeout)
    fixed = read_values(pairs("--set", set_ or []))
    rng = np.random.Generator(np.random.PCG64(seed))
    for _ in range(count):
        _print(write_report(lesion_type, endpoint, rng, fixed), form)


@group.command("schema")
def schema() -> None:
    """Print the JSON Schema of a scan's report."""
    import json

    from medsmith.reports.schema import json_schema

    echo(json.dumps(json_schema(), indent=2))


@group.command("types")
def types() -> None:
    """List the types of lesion that rules are known of, with their organ and sizes."""
    from medsmith.reports.rules import LESION_TYPES

    for row in LESION_TYPES.values():
        low = min(morphology.longest_mm[0] for morphology in row.morphologies)
        high = max(morphology.longest_mm[1] for morphology in row.morphologies)
        echo(f"{row.name:24}{row.organ:16}{low:g} to {high:g} mm")
