"""What a request asks of an organ map that no scan can give: refused before scans and weights are loaded."""

from pathlib import Path
from shutil import which
from typing import final

from pydantic import BaseModel, ConfigDict

from medsmith.cases.case_ref import CaseRef, InputPath, open_cohort
from medsmith.errors import FileError, RequestError
from medsmith.insertion.coarse_map import NAMES, SOURCE
from medsmith.insertion.organ_map import AIR, absent
from medsmith.insertion.organ_sources import OrganSource
from medsmith.insertion.totalsegmentator import COMMAND, not_installed
from medsmith.reports.collection import read_reports
from medsmith.reports.organs import is_lesion, labels_of
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.schema import LesionReport


@final
class AskedOrgans(BaseModel):
    """The entries of a request that organs depend on; others are passed over.

    Attributes:
        templates: the scans; None asks for no organ map.
        lesions: reports of lesions.
        reports: a file or folder of further reports.
        lesion_type: type of a lesion.
        organ_map: source of the organ map.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    templates: CaseRef | None = None
    lesions: tuple[LesionReport, ...] = ()
    reports: InputPath | None = None
    lesion_type: str | None = None
    organ_map: OrganSource = "template"

    def check(self) -> None:
        """Refuses what can be refused before a scan is read.

        Raises:
            RequestError: TotalSegmentator is asked for and not installed, or no map of the source has an organ that is
                named.
            FileError, CohortError: a file or cohort that is named cannot be read.
        """
        if self.templates is None:
            return
        if self.organ_map == "totalsegmentator" and which(COMMAND) is None:
            raise not_installed()
        if isinstance(self.organ_map, Path):
            if not self.organ_map.exists():
                limit = "a label map, or template, totalsegmentator, coarse"
                raise FileError(self.organ_map, "does not exist", limit, "name the label map of the organs")
        elif self.organ_map != "totalsegmentator":
            self._check_organs(self.templates)

    def _check_organs(self, templates: CaseRef) -> None:
        known, source = _known(templates if self.organ_map == "template" else None)
        kinds = (LesionReport(lesion_type=self.lesion_type),) if self.lesion_type else ()
        listed = read_reports(self.reports) if self.reports else ()
        for report in (*self.lesions, *kinds, *(lesion for each in listed for lesion in each.lesions)):
            usual = LESION_TYPES[report.lesion_type].organ if report.lesion_type in LESION_TYPES else None
            organs = [organ for organ in (report.organ, usual) if organ is not None]
            if organs and not any(labels_of(organ, dict.fromkeys(known, 1)) for organ in organs):
                found, limit = absent(organs[0], source), f"it knows {', '.join(known)}"
                cure = "name one of these, or give a map that has it: --organ-map"
                raise RequestError("report", found, limit, cure)


def _known(templates: CaseRef | None) -> tuple[tuple[str, ...], str]:
    """Names of places for a lesion in an organ map of the templates' labels, or of densities alone, and its source."""
    places = tuple(name for name in NAMES if name != AIR)
    labels = open_cohort(templates).label_names if templates else {}
    organs = tuple(name for name, value in labels.items() if value and not is_lesion(name))
    if not organs:
        return places, SOURCE
    return tuple(dict.fromkeys((*organs, *places))), f"labels of the template; the rest a {SOURCE}"
