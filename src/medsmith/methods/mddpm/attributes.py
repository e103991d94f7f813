"""What guidance images can be asked for, and how it is measured: a lesion at a place, and regions of a map.

Slices in Hounsfield units of the chest, since the measures find the lung by thresholds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from medsmith.anatomy.context import BODY, LUNG
from medsmith.cases.case import Case
from medsmith.cases.case_ref import CaseRef
from medsmith.errors import RequestError
from medsmith.methods.attributes import Attribute, Draw
from medsmith.methods.mddpm.adherence import context_agreement, lesion_contrast
from medsmith.methods.mddpm.request import Anatomy, MddpmRequest, Pathology

_CLASSES = (BODY, LUNG)


def guide_attributes() -> tuple[Attribute, ...]:
    """Agreement with the map that an image follows, and contrast of a lesion where it is asked for."""
    agreement = Attribute(
        "anatomy",
        ("another's map", "its own map"),
        "Dice of the lung found by thresholds",
        _two_maps,
        _agreements,
        cases=("first map", "second map"),
    )
    lesion = Attribute(
        "lesion", ("absent", "present"), "contrast to the lung around it, gray values", _with_and_without, _contrasts
    )
    return agreement, lesion


def _two_maps(draw: Draw) -> list[MddpmRequest]:
    """Two cases that follow the maps of neighbors in the cohort, from one seed."""
    own, other = (followed_map(replace(draw, number=number), _CLASSES) for number in (draw.number, draw.number + 1))
    return [MddpmRequest(anatomy=own), MddpmRequest(anatomy=other)]


def _with_and_without(draw: Draw) -> list[MddpmRequest]:
    """One map, without and with a lesion of another case in the lung."""
    anatomy = followed_map(draw, _CLASSES)
    if draw.pathology is None:
        cure = "name a cohort of slices with one label of lesions"
        raise RequestError("pathology", "none given", "lesions of cases are transplanted", cure)
    lesion = Pathology(case=CaseRef(cohort=draw.pathology), within=LUNG)
    return [MddpmRequest(anatomy=anatomy), MddpmRequest(anatomy=anatomy, pathologies=(lesion,))]


def followed_map(draw: Draw, classes: tuple[str, ...] = ()) -> Anatomy:
    """The map of the draw's template, followed by means of the shape space.

    Args:
        draw: names both.
        classes: that are annotated; empty takes those of the space.

    Raises:
        RequestError: one of them is not given.
    """
    if draw.anatomy is None:
        raise RequestError("anatomy", "none given", "label maps are followed by a shape space", "name its file")
    maps = draw.template("image", "labels")
    if maps is None:
        cure = "name a cohort of slices with labels"
        raise RequestError("templates", "none given", "the maps of cases are followed", cure)
    return Anatomy(space=draw.anatomy, labels=maps, classes=classes)


def _agreements(cases: Sequence[Case]) -> list[float]:
    """Dice with the other's map and with its own, mean over the two cases."""
    maps = [_regions(case) for case in cases]
    found = [[context_agreement(case, regions).get(LUNG, np.nan) for regions in maps] for case in cases]
    return [float(np.mean([found[0][1], found[1][0]])), float(np.mean([found[0][0], found[1][1]]))]


def _regions(case: Case) -> Mapping[str, Bool[np.ndarray, "x y"]]:
    plane = case.require_labels()[:, :, 0]
    return {name: plane == case.label_names[name] for name in _CLASSES}


def _contrasts(cases: Sequence[Case]) -> list[float]:
    """Of both cases, the contrast where the second has its lesion; NaN where the ring around it is empty."""
    labels, names = cases[1].require_labels()[:, :, 0], cases[1].label_names
    lesion = ~np.isin(labels, [0, *(names[name] for name in _CLASSES)])
    lung = labels == names[LUNG]
    return [lesion_contrast(case.require_image()[0, :, :, 0], lesion, lung) for case in cases]
