"""The scans that lesions are put into."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from medsmith.case import Case
from medsmith.cohort import Cohort
from medsmith.conditioning.organs import is_lesion
from medsmith.data.fingerprint import Fingerprint
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError
from medsmith.integrity import first_of
from medsmith.methods.lesiondiffusion.request import LesionDiffusionRequest

LESION = "lesion"
LARGEST_LABEL = 255
TRIED = 20
"""Templates that are tried until one has room for what is asked."""


def templates_in_turn(request: LesionDiffusionRequest, seed: int) -> Iterator[Case]:
    """The scans of a request, in an order drawn by lot: the one that is named, or as many as are tried.

    Raises:
        RequestError: a scan is not in three dimensions.
    """
    assert request.templates is not None
    cohort = opened(request.templates)
    scans = cohort.ids_with_image
    lots = np.random.Generator(np.random.PCG64(derive_seed(seed, "template"))).permutation(len(scans))
    names = [request.template] if request.template else [scans[lot] for lot in lots[:TRIED]]
    for name in names:
        case = cohort.stored(name)  # it is edited in place and written back as it came
        if case.geometry.dimensions != 3:
            raise RequestError("templates", f"case '{name}' of {request.templates} is 2-D", "lesions are made in 3-D")
        yield case if case.labels is not None else replace(case, labels=np.zeros(case.geometry.shape, np.uint8))


def image_file(request: LesionDiffusionRequest, id: str) -> Path:
    """The file of a template's image."""
    assert request.templates is not None
    return opened(request.templates).files(id).channels[0].path


def facts_of(request: LesionDiffusionRequest, training: Fingerprint) -> Fingerprint:
    """What the cases made for a request are like: as the templates, with a label for lesions.

    Raises:
        RequestError: the cohort has no such case, no case at all, or more than one channel.
    """
    if request.templates is None:
        return training.model_copy(update={"label_names": with_lesion(training.label_names)})
    cohort = opened(request.templates)
    scans = cohort.ids_with_image
    if not scans:
        found = f"{request.templates} has no {'images' if len(cohort) else 'cases'}"
        raise RequestError("templates", found, "at least one", "name the cohort that holds the scans")
    if request.template is not None and request.template not in scans:
        found = f"no {'image' if request.template in cohort else 'case'} '{request.template}' in {request.templates}"
        raise RequestError("templates", found, f"it has {first_of(scans)}", "name one of these")
    if len(cohort.channel_names) != 1:
        found = f"{request.templates} has channels {', '.join(cohort.channel_names)}"
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


@lru_cache(maxsize=4)
def opened(folder: Path) -> Cohort:
    """A cohort, opened once per process."""
    return Cohort.open(folder)
