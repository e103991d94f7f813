"""Where the organ map of a template comes from."""

from pathlib import Path
from typing import Literal

from medsmith.cases.canonical import canonical_geometry, canonical_view
from medsmith.cases.case import Case
from medsmith.errors import RequestError
from medsmith.insertion.coarse_map import coarse_map
from medsmith.insertion.completing import completed
from medsmith.insertion.organ_file import read_organ_map
from medsmith.insertion.organ_map import OrganMap, organ_map_from_case
from medsmith.insertion.totalsegmentator import segment

OrganSource = Literal["template", "totalsegmentator", "coarse"] | Path
_ENDINGS = (".nii.gz", ".nii")


def organ_map_of(source: OrganSource, scan: Case, file: Path, numbers: Literal["v1", "v2"]) -> OrganMap:
    """The organ map of a template, completed by density.

    Without labels of organs, the coarse map is returned; its source says so.

    Args:
        source: the template's labels, a run of TotalSegmentator, densities alone, or the path of a label map or of a
            folder with one label map per case id.
        scan: the template.
        file: its image file.
        numbers: TotalSegmentator's class map for a file without a table of names.

    Raises:
        RequestError: TotalSegmentator is not installed, or the folder has no map of this case.
        FileError, GeometryError, ContentError: the map cannot be read, or does not fit.
    """
    image = canonical_view(scan.require_image()[0], scan.geometry)
    given: OrganMap | None = None
    match source:
        case "template":
            given = organ_map_from_case(scan)
        case "totalsegmentator":
            given = segment(file, scan.geometry)
        case Path():
            given = read_organ_map(_map_in(source, scan.id), file, scan.geometry, numbers)
    if given is None or set(given.names.values()) <= set(given.lesions):
        return coarse_map(image, canonical_geometry(scan.geometry))
    return completed(given, image)


def _map_in(place: Path, id: str) -> Path:
    if not place.is_dir():
        return place
    found = next((place / f"{id}{ending}" for ending in _ENDINGS if (place / f"{id}{ending}").is_file()), None)
    if found is None:
        raise RequestError("organ_map", f"no {id}.nii.gz in {place}", "one label map per template", "add it")
    return found
