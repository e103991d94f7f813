"""What a request asks that no lesion or organ map can give: refused before scans and weights are loaded."""

from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import final

from pydantic import BaseModel, ConfigDict

from medsmith.cases.case_ref import CaseRef, InputPath, open_cohort
from medsmith.cases.hounsfield import is_ct
from medsmith.errors import FileError, RequestError
from medsmith.insertion.coarse_map import NAMES, SOURCE
from medsmith.insertion.organ_map import AIR, absent, to_name
from medsmith.insertion.organ_sources import OrganSource
from medsmith.insertion.stand_ins import placed_in, stand_in, to_ask_for
from medsmith.insertion.totalsegmentator import COMMAND, not_installed
from medsmith.reports.collection import read_reports
from medsmith.reports.organs import is_lesion, labels_of
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.sampling import check_requested
from medsmith.reports.schema import LesionReport

_UNNAMED = "image"
"""How a channel is called of which nothing is known."""
_NO_CT = (
    "for other images: medsmith synthesize copypaste, which places lesions by the cohort's own labels (--organ); if "
    "the values are Hounsfield units, prepare with --channel CT"
)


@final
class AskedOrgans(BaseModel):
    """The entries of a request that can be judged before a scan is read; others are passed over.

    Attributes:
        templates: the scans; None asks for no organ map.
        lesions: reports of lesions.
        without: for each lesion, options that it must not have.
        reports: a file or folder of further reports.
        lesion_type: type of a lesion.
        organ_map: source of the organ map.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    templates: CaseRef | None = None
    lesions: tuple[LesionReport, ...] = ()
    without: tuple[tuple[str, ...], ...] = ()
    reports: InputPath | None = None
    lesion_type: str | None = None
    organ_map: OrganSource = "template"

    def check(self) -> tuple[str, ...]:
        """Refuses what can be refused before a scan is read.

        Returns:
            That organs are told by density for want of labels, and what is placed in another organ than the one asked
            for, one line each.

        Raises:
            RequestError: the words or numbers of a lesion contradict each other or its organ, the scans are no CT,
                TotalSegmentator is asked for and not installed, or no map of the source has an organ that is named.
            FileError, CohortError: a file or cohort that is named cannot be read.
        """
        for number, report in enumerate(self.lesions):
            check_requested(report, self.without[number] if number < len(self.without) else ())
        if self.templates is None:
            return ()
        self._check_modality(self.templates)
        if self.organ_map == "totalsegmentator" and which(COMMAND) is None:
            raise not_installed()
        if isinstance(self.organ_map, Path):
            if not self.organ_map.exists():
                limit = "a label map, or template, totalsegmentator, coarse"
                raise FileError(self.organ_map, "does not exist", limit, "name the label map of the organs")
        elif self.organ_map != "totalsegmentator":
            known, source = _known(self.templates if self.organ_map == "template" else None)
            coarse = _by_density(self.templates) if (self.organ_map, source) == ("template", SOURCE) else ()
            return tuple(dict.fromkeys((*coarse, *self._placed_elsewhere(known, source))))
        return ()

    def _check_modality(self, templates: CaseRef) -> None:
        """Refuses lesions from reports, and organ maps that are made from CT, for scans of another modality.

        Channels that are called no more than images may be CT; their values tell when they are read.

        Raises:
            RequestError: see above.
        """
        made = self.organ_map in ("totalsegmentator", "coarse")
        channels = open_cohort(templates).channel_names
        unnamed = any(name.startswith(_UNNAMED) for name in channels)
        if unnamed or any(map(is_ct, channels)) or not (made or self.lesions or self.reports or self.lesion_type):
            return
        found = f"{templates.cohort} holds {', '.join(channels)}"
        limit = f"the organ map '{self.organ_map}' is made from CT" if made else "lesions from reports are made in CT"
        raise RequestError("--organ-map" if made else "templates", found, limit, _NO_CT)

    def _placed_elsewhere(self, known: tuple[str, ...], source: str) -> Iterator[str]:
        kinds = (LesionReport(lesion_type=self.lesion_type),) if self.lesion_type else ()
        listed = read_reports(self.reports) if self.reports else ()
        for report in (*self.lesions, *kinds, *(lesion for each in listed for lesion in each.lesions)):
            usual = LESION_TYPES[report.lesion_type].organ if report.lesion_type in LESION_TYPES else None
            organ, names = report.organ or usual, dict.fromkeys(known, 1)
            if organ is None or labels_of(organ, names):
                continue
            instead = stand_in(organ, names)
            if instead is None:
                found, limit = absent(organ, source), f"it knows {to_name(known)}"
                cure = f"{to_ask_for(organ, names)}, or give a map that has it: --organ-map"
                raise RequestError("report", found, limit, cure)
            yield placed_in(organ, instead)


def _by_density(templates: CaseRef) -> tuple[str, ...]:
    """That the scans have no labels of organs; nothing of images that are no CT, into which lesions are pasted."""
    if not any(map(is_ct, open_cohort(templates).channel_names)):
        return ()
    cure = "--organ-map totalsegmentator or FILE knows organs"
    return (f"{templates.cohort}: no labels of organs: lesions are placed by a {SOURCE} ({cure})",)


def _known(templates: CaseRef | None) -> tuple[tuple[str, ...], str]:
    """Names of places for a lesion in an organ map of the templates' labels, or of densities alone, and its source."""
    places = tuple(name for name in NAMES if name != AIR)
    labels = open_cohort(templates).label_names if templates else {}
    organs = tuple(name for name, value in labels.items() if value and not is_lesion(name))
    if not organs:
        return places, SOURCE
    return tuple(dict.fromkeys((*organs, *places))), f"labels of the template; the rest a {SOURCE}"
