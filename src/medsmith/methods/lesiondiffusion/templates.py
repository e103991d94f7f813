"""The scans that lesions are put into."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from medsmith.case import Case
from medsmith.case_ref import CaseRef, ids_of, opened
from medsmith.conditioning.organs import is_lesion
from medsmith.data.fingerprint import Fingerprint
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError

LESION = "lesion"
LARGEST_LABEL = 255
TRIED = 20
"""Templates that are tried until one has room for what is asked."""


def templates_in_turn(templates: CaseRef, seed: int) -> Iterator[Case]:
    """Scans to put lesions into, in an order drawn by lot: the one that is named, or as many as are tried.

    They are as stored: lesions are put into their arrays, which are written back along the axes of the file.

    Raises:
        RequestError: there is no such case, or a scan is not in three dimensions.
    """
    scans = _scans(templates)
    lots = np.random.Generator(np.random.PCG64(derive_seed(seed, "template"))).permutation(len(scans))
    for lot in lots[:TRIED]:
        case = opened(templates).stored(scans[lot])
        if case.geometry.dimensions != 3:
            found = f"case '{case.id}' of {templates.cohort} is 2-D"
            raise RequestError("templates", found, "lesions are made in 3-D")
        yield case if case.labels is not None else replace(case, labels=np.zeros(case.geometry.shape, np.uint8))


def _scans(templates: CaseRef) -> list[str]:
    """Ids of the cases with an image: the one that is named, or all.

    Raises:
        RequestError: there is none.
    """
    with_image = set(opened(templates).ids_with_image)
    scans = [id for id in ids_of(templates) if id in with_image]
    if not scans:
        found = f"{f'case {templates.case!r} of ' if templates.case else ''}{templates.cohort} has no image"
        raise RequestError("templates", found, "at least one", "name the cohort that holds the scans")
    return scans


def image_file(templates: CaseRef, id: str) -> Path:
    """The file of a template's image."""
    return opened(templates).files(id).channels[0].path


def facts_of(templates: CaseRef | None, training: Fingerprint) -> Fingerprint:
    """What the cases made for a request are like: as the templates, with a label for lesions.

    Raises:
        RequestError: the cohort has no such case, no case at all, or more than one channel.
    """
    if templates is None:
        return training.model_copy(update={"label_names": with_lesion(training.label_names)})
    _scans(templates)
    cohort = opened(templates)
    if len(cohort.channel_names) != 1:
        found = f"{templates.cohort} has channels {', '.join(cohort.channel_names)}"
        raise RequestError("templates", found, "a CT has one", "prepare a cohort of the CT alone")
    return training.model_copy(
        update={
            "channel_names": cohort.channel_names,
            "label_names": with_lesion(cohort.label_names),
            "file_ending": cohort.file_ending,
        }
    )


def with_lesion(label_names: Mapping[str, int]) -> dict[str, int]:
    """The labels with one for lesions: the first that is there, or a new one.

    Raises:
        RequestError: no value is left.
    """
    if any(is_lesion(name) for name in label_names):
        return dict(label_names)
    value = max(label_names.values()) + 1
    if value > LARGEST_LABEL:
        raise RequestError("templates", f"{len(label_names)} labels leave no value for lesions", "255 at most")
    return {**label_names, LESION: value}


def lesion_value(label_names: Mapping[str, int]) -> int:
    """The value of the label that lesions are written as."""
    return label_names.get(LESION) or next(value for name, value in label_names.items() if is_lesion(name))
