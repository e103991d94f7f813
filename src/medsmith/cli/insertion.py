"""Options of ``synthesize`` that name lesions to insert and scans to insert them into, as entries of a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, final

import typer

TemplatesOption = Annotated[Path | None, typer.Option(help="Cohort of scans to insert lesions into.")]
TemplateOption = Annotated[str | None, typer.Option(help="Id of the template case; default: chosen at random.")]
ReportOption = Annotated[
    str | None, typer.Option(help="Lesions to insert: a description in words, or a JSON report file.")
]
LesionTypeOption = Annotated[
    str | None, typer.Option(help="Sample reports of this lesion type, such as 'kidney cyst'.")
]
OrganMapOption = Annotated[
    str | None,
    typer.Option(help="template (its own labels; default), totalsegmentator, coarse (by HU), or a label file."),
]

LabelAsOption = Annotated[
    str | None,
    typer.Option(help="Label of inserted lesions; default: lesion, or synthetic_lesion beside labels of real lesions."),
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
    label_as: str | None = None

    def entries(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Entries of a request that these options set. Remarks on the parsed report go to standard error.

        Args:
            request: from the request file.

        Raises:
            RequestError: the report describes no lesion, or an impossible one.
            FileError: the file of the report cannot be read.
        """
        given = {
            "templates": self._templates(request.get("templates")),
            "lesion_type": self.lesion_type,
            "organ_map": self.organ_map,
            "label_as": self.label_as,
        }
        found = {key: value for key, value in given.items() if value is not None}
        return found if self.report is None else found | _lesions(self.report)

    def _templates(self, stored: object) -> object:
        """The templates entry of a request file, updated by --templates and --template."""
        entry = dict(stored) if isinstance(stored, Mapping) else {"cohort": stored}
        options = {"cohort": None if self.templates is None else str(self.templates), "case": self.template}
        given = {key: value for key, value in options.items() if value is not None}
        return {**entry, **given} if given else stored


def _lesions(report: str) -> dict[str, Any]:
    from medsmith.reports.reading import read_report

    parsed = read_report(report)
    for remark in parsed.remarks:
        typer.echo(remark, err=True)
    lesions = [lesion.model_dump(mode="json", exclude_defaults=True) for lesion in parsed.report.lesions]
    return {"lesions": lesions, "without": parsed.excluded}
