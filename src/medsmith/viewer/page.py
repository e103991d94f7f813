"""The page of the viewer, and the scripts that it always loads: its own and NiiVue."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from medsmith.cases.canonical import canonical_geometry
from medsmith.cases.case_io import read_records
from medsmith.cases.cohort import Cohort
from medsmith.evaluation.pages.viewer_link import relative_address
from medsmith.formats.atomic import write_bytes
from medsmith.synthesis.lesions_page import PAGE as LESIONS_PAGE
from medsmith.viewer.case_file import kind_of
from medsmith.viewer.facts import facts_of, failures

_PACKAGE = "medsmith.viewer"
_STATIC = {
    "viewer.js": "pages/viewer.js",
    "niivue.js": "niivue/niivue.umd.js",
    "niivue-licenses.txt": "niivue/LICENSES.txt",
}
"""Name in the folder -> place in the package."""


def write_static(folder: Path) -> None:
    """Writes the scripts that are the same for every cohort, unless they are there.

    Raises:
        FileError: one cannot be written.
    """
    for name, place in _STATIC.items():
        data, path = files(_PACKAGE).joinpath(place).read_bytes(), folder / name
        if not path.is_file() or path.read_bytes() != data:
            write_bytes(path, data)


def write_index(path: Path, cohort: Cohort, ids: Sequence[str]) -> None:
    """Writes the page; it is written last, so that it names no script that is missing.

    Args:
        path: the file.
        cohort: the cases.
        ids: of those that are shown.

    Raises:
        FileError: report or provenance of a case are damaged, or the page cannot be written.
    """
    lesions = cohort.root / LESIONS_PAGE
    index = {
        "title": cohort.root.resolve().name,
        "cases": [_listed(cohort, id) for id in ids],
        "pages": [relative_address(lesions, path.parent)] if lesions.is_file() else [],
    }
    environment = Environment(loader=PackageLoader(_PACKAGE, "pages"), autoescape=True, undefined=StrictUndefined)
    data = Markup(json.dumps(index, separators=(",", ":")).replace("<", "\\u003c"))
    write_bytes(path, environment.get_template("index.html").render(index=index, data=data).encode())


def _listed(cohort: Cohort, id: str) -> Mapping[str, Any]:
    """What the list of cases says of one."""
    report, provenance = read_records(cohort.root, id)
    tables = facts_of(id, canonical_geometry(cohort.geometry(id)), report, provenance)
    return {"id": id, "kind": kind_of(provenance), "failed": failures(tables)}
