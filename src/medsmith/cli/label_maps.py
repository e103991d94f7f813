"""Options of ``synthesize`` that say which label maps the images follow, as entries of a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, final

import typer

from medsmith.cli.steering import case_entry

LabelsOption = Annotated[
    str | None, typer.Option(help="Case whose label map each image follows (lldm): COHORT/CASE, or COHORT for any.")
]
MapsOption = Annotated[
    str | None,
    typer.Option(help="Label maps without --labels (lldm): generated, or deformed from those of the training cohort."),
]


@final
@dataclass(frozen=True)
class LabelMapOptions:
    """Values of the options; None where they were not given."""

    labels: str | None = None
    maps: str | None = None

    def entries(self, request: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Entries of a request that these options set.

        Raises:
            RequestError: both are given, or the case cannot be read from the text.
        """
        from medsmith.errors import RequestError

        if self.labels is not None and self.maps is not None:
            raise RequestError("--maps", f"'{self.maps}' beside --labels", "the labels are given", "leave one out")
        found = {} if self.labels is None else {"labels": case_entry("--labels", self.labels)}
        return found if self.maps is None else {**found, "maps": self.maps}
