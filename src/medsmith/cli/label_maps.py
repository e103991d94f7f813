"""Options of ``synthesize`` that say which label maps the images follow, as entries of a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, final

import typer

from medsmith.cli.steering import case_entry

LabelsOption = Annotated[
    str | None,
    typer.Option(help="Case whose label map each image follows (lldm, segguided): COHORT/CASE, or COHORT for any."),
]
AugmentLabelsOption = Annotated[
    bool,
    typer.Option(
        "--augment-labels",
        help="Deform each label map, given by --labels or of the training cohort, another way for each image (lldm, "
        "segguided); maps that are then unlike those of training are drawn again.",
    ),
]
MapsOption = Annotated[
    str | None,
    typer.Option(
        metavar="<generated|deformed>",
        help="Label maps without --labels (lldm): generated, or deformed from those of the training cohort.",
    ),
]


@final
@dataclass(frozen=True)
class LabelMapOptions:
    """Values of the options; None where they were not given."""

    labels: str | None = None
    maps: str | None = None
    augment: bool = False

    def entries(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Entries of a request that these options set; how far maps are deformed may stand in the request.

        Raises:
            RequestError: both are given, or the case cannot be read from the text.
        """
        from medsmith.errors import RequestError

        if self.labels is not None and self.maps is not None:
            raise RequestError("--maps", f"'{self.maps}' beside --labels", "the labels are given", "leave one out")
        found: dict[str, Any] = {} if self.labels is None else {"labels": case_entry("--labels", self.labels)}
        if self.augment:
            found["augment_labels"] = request.get("augment_labels") or {}
        return found if self.maps is None else {**found, "maps": self.maps}
