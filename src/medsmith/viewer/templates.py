"""The scans that the cases of a cohort were made from, to be shown before and after."""

from collections.abc import Mapping
from pathlib import Path

from medsmith.cases.canonical import canonical_geometry
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, MedsmithError
from medsmith.synthesis.plan import PLAN, read_plan, resolve_paths

TEMPLATE = "template"
"""Key of the provenance that names the scan."""
_APART_MM = 0.01


def recorded_templates(cohort: Cohort) -> tuple[Cohort | None, str]:
    """The cohort of templates that ``synthesis.json`` names, and why it cannot be used ("" if there is none)."""
    if not (cohort.root / PLAN).is_file():
        return None, ""
    try:
        folder = resolve_paths(read_plan(cohort.root).paths, cohort.root).get("templates")
        return (None, "") if folder is None else (Cohort.open(folder), "")
    except MedsmithError as error:
        return None, f"the scans before the edit are not shown: {error.line}; name them by --templates"


def match_templates(
    cohort: Cohort, named: Mapping[str, str], templates: Cohort | None, given: bool
) -> tuple[Mapping[str, str], str]:
    """Which cases can be shown before and after.

    Args:
        cohort: the cases.
        named: case -> template, as their provenance says.
        templates: the scans; None if there are none.
        given: whether the user named them.

    Returns:
        case -> template that is there and on the grid of the case, and a note on the rest ("" if there is none).

    Raises:
        CohortError: the scans that the user named are those of no case.
    """
    if templates is None:
        return {}, ""
    fitting = {case: scan for case, scan in named.items() if _fits(cohort, case, templates, scan)}
    if given and not named:
        found = "no case names the scan that it was made from"
        raise CohortError(cohort.root, found, f"provenance with a {TEMPLATE}", "leave --templates out")
    if given and not fitting:
        found = "holds the template of no case, on the same grid"
        raise CohortError(templates.root, found, f"the provenance names {_some(named)}", "give another --templates")
    left = len(named) - len(fitting)
    return fitting, f"{left} of {len(named)} templates are not in {templates.root}, or on another grid" if left else ""


def _fits(cohort: Cohort, case: str, templates: Cohort, scan: str) -> bool:
    if scan not in templates.ids_with_image or case not in cohort.ids_with_image:
        return False
    before, after = (canonical_geometry(each.geometry(id)) for each, id in ((templates, scan), (cohort, case)))
    same = before.shape == after.shape and len(templates.channel_names) == len(cohort.channel_names)
    return same and before.displacement(after) <= _APART_MM


def _some(named: Mapping[str, str]) -> str:
    scans = sorted(set(named.values()))
    return ", ".join(scans[:3]) + (", ..." if len(scans) > 3 else "")


def templates_root(templates: Cohort | None) -> tuple[Path, ...]:
    """The folder of the scans, as something that is read."""
    return () if templates is None else (templates.root,)
