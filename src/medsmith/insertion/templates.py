"""Template scans for lesion insertion."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.case_ref import CaseRef, candidate_ids, ids_with, open_cohort
from medsmith.cases.hounsfield import check_hounsfield
from medsmith.errors import RequestError

MOST_TEMPLATES = 20
"""Most templates that are tried until one has room for the requested lesions."""


def templates_in_turn(templates: CaseRef, rng: np.random.Generator) -> Iterator[Case]:
    """Template scans in random order: the named one, or at most ``MOST_TEMPLATES`` of the cohort.

    The arrays are as stored, in file order: lesions are written into them in place.

    Raises:
        RequestError: there is no such case, or a scan is not in three dimensions.
        ContentError: a scan is not in Hounsfield units, whatever its channel is called.
    """
    scans = scans_of(templates)
    for index in rng.permutation(len(scans))[:MOST_TEMPLATES]:
        case = open_cohort(templates).stored(scans[index])
        if case.geometry.dimensions != 3:
            found = f"case '{case.id}' of {templates.cohort} is 2-D"
            raise RequestError("templates", found, "lesions are made in 3-D")
        check_hounsfield(case.require_image()[0], f"case '{case.id}' of {templates.cohort}")
        yield case if case.labels is not None else replace(case, labels=np.zeros(case.geometry.shape, np.uint8))


def scans_of(templates: CaseRef) -> tuple[str, ...]:
    """Ids of the cases with an image: the named one, or all.

    Raises:
        RequestError: there is none.
    """
    if templates.case is not None:
        scans = tuple(id for id in candidate_ids(templates) if open_cohort(templates).files(id).channels)
    else:
        scans = ids_with(templates, "image") if candidate_ids(templates) else ()
    if not scans:
        found = f"{f'case {templates.case!r} of ' if templates.case else ''}{templates.cohort} has no image"
        raise RequestError("templates", found, "at least one", "name the cohort that holds the scans")
    return scans


def image_file(templates: CaseRef, id: str) -> Path:
    """The file of a template's image."""
    return open_cohort(templates).files(id).channels[0].path
