"""Options of ``synthesize`` that name lesions to insert and scans to insert them into, as entries of a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, final

import typer

from medsmith.cli.terminal import terminal

TemplatesOption = Annotated[Path | None, typer.Option(help="Cohort of scans to insert lesions into.")]
TemplateOption = Annotated[str | None, typer.Option(help="Id of the template case; default: chosen at random.")]
ReportOption = Annotated[
    str | None,
    typer.Option(
        help="Lesions to insert: a description in words or a JSON report file; or one report per case, in turn: a "
        ".jsonl file, a .json file with a list, or a folder of .json files."
    ),
]
LenientOption = Annotated[
    bool, typer.Option("--lenient", help="Go on without the words of --report that are not understood.")
]
LesionTypeOption = Annotated[
    str | None,
    typer.Option(help="Sample reports of this lesion type, such as 'kidney cyst'; see: medsmith report types."),
]
OrganMapOption = Annotated[
    str | None,
    typer.Option(
        metavar="<template|totalsegmentator|coarse|FILE>",
        help="Where organs are: template (its own labels; default), totalsegmentator, coarse (by HU), or a label file.",
    ),
]

LabelAsOption = Annotated[
    str | None,
    typer.Option(
        help="Label of inserted lesions; default: lesion, or synthetic_lesion where real scans have labels of lesions, "
        "so that the two can be told apart. The real label's name gives all lesions one label."
    ),
]
KeepMissedOption = Annotated[
    bool,
    typer.Option(
        "--keep-missed",
        help="Keep lesions that miss a requested attribute after all draws, marked; else such cases are not made.",
    ),
]


@final
@dataclass(frozen=True)
class InsertionOptions:
    """Values of the options for inserted lesions; None where they were not given."""

    templates: Path | None = None
    template: str | None = None
    report: str | None = None
    lesion_type: str | None = None
    organ_map: str | None = None
    lenient: bool = False
    label_as: str | None = None
    keep_missed: bool = False

    def entries(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Entries of a request that these options set. Remarks on the parsed report go to standard error.

        Args:
            request: from the request file.

        Raises:
            RequestError: the report describes no lesion, or an impossible one, or says what is not understood.
            FileError: the file of the report, or of one of several, cannot be read.
        """
        given = {
            "templates": self._templates(request.get("templates")),
            "lesion_type": self.lesion_type,
            "organ_map": self.organ_map,
            "label_as": self.label_as,
            "keep_missed": self.keep_missed or None,
        }
        found = {key: value for key, value in given.items() if value is not None}
        return found if self.report is None else found | _lesions(self.report, lenient=self.lenient)

    def _templates(self, stored: object) -> object:
        """The templates entry of a request file, updated by --templates and --template."""
        if self.template is not None and self.templates is None and Path(self.template).is_dir():
            from medsmith.errors import RequestError

            found = f"'{self.template}' is a folder"
            raise RequestError("--template", found, "it takes the id of one case", "did you mean --templates?")
        entry = dict(stored) if isinstance(stored, Mapping) else {"cohort": stored}
        options = {"cohort": None if self.templates is None else str(self.templates), "case": self.template}
        given = {key: value for key, value in options.items() if value is not None}
        return {**entry, **given} if given else stored


def check_organs(request: Mapping[str, Any]) -> None:
    """Refuses impossible lesions, and organs that no scan of the request can have, before scans and weights are loaded.

    Tells of stand-ins.

    Raises:
        RequestError: what a lesion is asked to be contradicts itself, TotalSegmentator is asked for and not installed,
            or the organ map cannot have an organ.
        FileError, CohortError: a file or cohort of the request cannot be read.
    """
    if not request.keys() & {"templates", "lesions"}:
        return
    from pydantic import ValidationError

    from medsmith.insertion.asked_organs import AskedOrgans

    try:
        asked = AskedOrgans.model_validate(request)
    except ValidationError:  # the method says better what is wrong
        return
    for remark in asked.check():
        terminal().remark(remark)


def _lesions(report: str, *, lenient: bool) -> dict[str, Any]:
    from medsmith.errors import RequestError, counted
    from medsmith.reports.collection import holds_reports, read_reports
    from medsmith.reports.reading import read_report
    from medsmith.reports.schema import MAX_LESIONS

    if holds_reports(report):
        path = Path(report.strip())
        listed = read_reports(path)
        terminal().remark(
            f"{path}: {counted(len(listed), 'report')}; case i gets report i, beginning again after the last"
        )
        for remark in dict.fromkeys(remark for report in listed for remark in report.remarks):
            terminal().remark(remark)
        return {"reports": str(path)}
    parsed = read_report(report, lenient=lenient)
    for remark in parsed.remarks:
        terminal().remark(remark)
    if len(parsed.report.lesions) > MAX_LESIONS:
        found = f"{len(parsed.report.lesions)} lesions in one text"
        raise RequestError("report", found, f"at most {MAX_LESIONS} in a scan", "divide them: one report per case")
    lesions = [lesion.model_dump(mode="json", exclude_defaults=True) for lesion in parsed.report.lesions]
    remarks = {"remarks": parsed.remarks} if parsed.remarks else {}
    return {"lesions": lesions, "without": parsed.excluded, **remarks}
