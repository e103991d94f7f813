"""Commands for structured lesion reports."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsmith.cli.app import app, pairs
from medsmith.cli.options import Seed
from medsmith.cli.terminal import terminal

if TYPE_CHECKING:
    from medsmith.reports.parsing.report import ParsedReport
    from medsmith.reports.rules_types import LesionType
    from medsmith.reports.schema import LesionReport, ScanReport

group = typer.Typer(help="Sample, parse, read and write structured lesion reports.", no_args_is_help=True)
app.add_typer(group, name="report", rich_help_panel=None)


class OutputFormat(StrEnum):
    """Output format of reports."""

    JSON = "json"
    TEXT = "text"
    RELEASED = "released"


TypeOption = Annotated[str, typer.Option("--type", help="Lesion type; see: medsmith report types.")]
Count = Annotated[int, typer.Option(min=1, help="Number of reports.")]
Fixed = Annotated[
    list[str] | None,
    typer.Option("--set", help="Fix an attribute, such as organ=kidney_left or size_mm=8x12x14. Repeatable."),
]
Format = Annotated[
    OutputFormat,
    typer.Option("--format", help="One report per line: medsmith JSON, text, or LesionDiffusion's released JSON."),
]


def _told(report: "LesionReport | ScanReport", output: OutputFormat) -> Any:
    """The report as JSON values, or as text."""
    from medsmith.reports.schema import ScanReport
    from medsmith.reports.wording import to_text
    from medsmith.reports.writing.authors import to_released

    scan = report if isinstance(report, ScanReport) else ScanReport(lesions=(report,))
    if output is OutputFormat.TEXT:
        return to_text(scan)
    if output is OutputFormat.RELEASED:
        return to_released(scan)
    lesions = [lesion.model_dump(mode="json", exclude_defaults=True) for lesion in scan.lesions]
    return {"lesions": lesions, **scan.model_dump(mode="json", exclude={"lesions"})}


def _line(told: Any) -> str:
    import json

    return told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)


def _tell(reports: "Iterable[LesionReport | ScanReport]", output: OutputFormat) -> None:
    """A list of reports, one per line as soon as it is there."""
    terminal().results((_told(report, output) for report in reports), _line)


def _tell_parsed(parsed: "ParsedReport", output: OutputFormat) -> None:
    for remark in parsed.remarks:
        terminal().remark(remark)
    told = _told(parsed.whole, output)
    terminal().result({"report": told, "remarks": parsed.remarks}, [_line(told)])


@group.command("sample")
def sample(
    lesion_type: TypeOption,
    count: Count = 1,
    seed: Seed = 0,
    set_: Fixed = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Option to exclude, such as 'enhanced CT'. Repeatable.")
    ] = None,
    output: Format = OutputFormat.JSON,
) -> None:
    """Sample reports of one lesion type with consistent attributes, sizes and densities."""
    import numpy as np

    from medsmith.reports.sampling import sample_report
    from medsmith.reports.values import read_option, read_values

    fixed = read_values(pairs("--set", set_ or []))
    excluded = [option for phrase in without or [] for option in read_option(phrase)]
    rng = np.random.Generator(np.random.PCG64(seed))
    _tell((sample_report(lesion_type, rng, fixed, excluded) for _ in range(count)), output)


@group.command("parse")
def parse(
    text: Annotated[
        str, typer.Argument(help="Description, such as 'a 20 mm round-like hypodense cyst inside the right kidney'.")
    ],
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Go on without the words that are not understood.")
    ] = False,
    output: Format = OutputFormat.JSON,
) -> None:
    """Parse a free-text description. What was assumed or set aside is listed on standard error.

    Words that are not understood are refused, with the nearest terms of the vocabulary.
    """
    from medsmith.reports.parsing.report import parse_report
    from medsmith.reports.reading import check_report_text

    parsed = parse_report(text)
    check_report_text(parsed, text, lenient=lenient)
    _tell_parsed(parsed, output)


@group.command("read")
def read(
    file: Annotated[Path, typer.Argument(help="JSON file in LesionDiffusion's released report format.")],
    lesion_type: Annotated[
        str | None,
        typer.Option("--type", help="Lesion type, which the format does not state; see: medsmith report types."),
    ] = None,
    output: Format = OutputFormat.JSON,
) -> None:
    """Convert a report in LesionDiffusion's released format. Unmatched phrases are listed on standard error."""
    from medsmith.reports.reading import check_describes_lesion
    from medsmith.reports.writing.authors import read_released

    parsed = read_released(file, lesion_type)
    check_describes_lesion(parsed, str(file))
    _tell_parsed(parsed, output)


@group.command("write")
def write(
    lesion_type: TypeOption,
    llm_url: Annotated[
        str, typer.Option(help="URL of an OpenAI-compatible endpoint, such as http://localhost:8000/v1.")
    ],
    llm_model: Annotated[str, typer.Option(help="Name of the language model.")],
    count: Count = 1,
    seed: Seed = 0,
    set_: Fixed = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a response.")] = 60.0,
    output: Format = OutputFormat.JSON,
) -> None:
    """Generate reports with a language model and check them against the rules.

    The API key is read from the environment variable MEDSMITH_LLM_KEY.
    """
    import os

    import numpy as np

    from medsmith.reports.values import read_values
    from medsmith.reports.writing.endpoint import KEY_VARIABLE, Endpoint
    from medsmith.reports.writing.writer import write_report

    endpoint = Endpoint(llm_url, llm_model, os.environ.get(KEY_VARIABLE), timeout)
    fixed = read_values(pairs("--set", set_ or []))
    rng = np.random.Generator(np.random.PCG64(seed))
    _tell((write_report(lesion_type, endpoint, rng, fixed) for _ in range(count)), output)


@group.command("schema")
def schema() -> None:
    """Print the JSON Schema of a scan report."""
    import json

    from medsmith.reports.schema import json_schema

    terminal().result(json_schema(), json.dumps(json_schema(), indent=2).splitlines())


@group.command("types")
def types() -> None:
    """List the lesion types with rules, their organ and the range of their longest edge in mm."""
    from medsmith.reports.rules import LESION_TYPES

    def facts(row: "LesionType") -> dict[str, Any]:
        low = min(morphology.longest_mm[0] for morphology in row.morphologies)
        high = max(morphology.longest_mm[1] for morphology in row.morphologies)
        return {"type": row.name, "organ": row.organ, "longest_mm": (low, high)}

    def line(row: dict[str, Any]) -> str:
        low, high = row["longest_mm"]
        return f"{row['type']:24}{row['organ']:16}{low:g} to {high:g} mm"

    terminal().results(map(facts, LESION_TYPES.values()), line)


AttributesToCombine = Annotated[
    str,
    typer.Option(
        metavar="NAME,...",
        help="Attributes to combine: enhancement, shape, density, density_variation, surface, relationship, "
        "features, cavity.",
    ),
]


@app.command()
def coverage(
    cohort: Annotated[Path, typer.Argument(help="Cohort with reports of its lesions.")],
    by: AttributesToCombine = "density",
    wanted: Annotated[int, typer.Option(help="Lesions that each combination should have.")] = 1,
    type_: Annotated[
        list[str] | None,
        typer.Option(
            "--type", help="Lesion type (medsmith report types lists them); default: those of the cohort. Repeatable."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for reports (.jsonl) that fill the gaps: synthesize --report FILE.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Count the lesions of a cohort by combinations of attributes that the rules allow, and fill the gaps.

    Of lesions without a type of the rules the combinations that occur are counted, their sizes and organs.
    """
    import numpy as np

    from medsmith.cases.cohort import Cohort
    from medsmith.errors import FileError, RequestError, counted
    from medsmith.formats.folders import check_outside
    from medsmith.reports.coverage import check_asked, count_unplaced, lesions_of, missing_reports, write_reports
    from medsmith.reports.coverage import coverage as count_lesions
    from medsmith.reports.untyped import count_untyped

    if out is not None and (out.exists() or out.suffix != ".jsonl"):
        found = "exists" if out.exists() else "does not end in .jsonl"
        raise FileError(out, found, "a new .jsonl file", "choose another name")
    if out is not None:
        check_outside(out, [cohort])
    names = [name.strip() for name in by.split(",") if name.strip()]
    check_asked(names, wanted)
    lesions = lesions_of(Cohort.open(cohort))
    if not lesions and not type_:
        limit, cure = "the lesions of reports are counted", f"run medsmith describe {cohort}"
        raise RequestError(cohort, "no lesion in any report", limit, cure)
    untyped = count_untyped(lesions, names)
    if untyped.lesions == len(lesions) and not type_ and out is None:
        counts: dict[str, Any] = {"combinations": [], "missing": None, "unplaced": 0, "untyped": untyped.as_json()}
        terminal().result(counts, untyped.lines)
        return
    cells = count_lesions(lesions, names, wanted, type_ or ())
    unplaced = count_unplaced(lesions, cells)
    missing = sum(cell.missing for cell in cells)
    last = f"missing: {counted(missing, 'lesion')}, for at least {wanted} of each combination"
    if out is not None and missing:
        write_reports(out, missing_reports(cells, np.random.default_rng(seed)))
        made_by = f"medsmith synthesize lesiondiffusion MORE --templates SCANS --report {out} --count {missing}"
        last = f"{out}: {counted(missing, 'report')} of missing lesions; to make them: {made_by}"
    combinations = [cell.as_json() for cell in cells]
    value = {"combinations": combinations, "missing": missing, "unplaced": unplaced, "untyped": untyped.as_json()}
    lines = [f"lesions of each type, {', '.join(names)}:", *(cell.line for cell in cells)]
    if unplaced:
        does, breaks = ("lesion does", "breaks") if unplaced == 1 else ("lesions do", "break")
        lines.append(f"{unplaced} {does} not state {', '.join(names)}, or {breaks} the rules")
    terminal().result(value, (*lines, last, *(untyped.lines if untyped.lesions else ())))
