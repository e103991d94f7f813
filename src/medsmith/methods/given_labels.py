"""Label maps that the user gives: chosen by a seed, checked against what the networks have seen, deformed if asked."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.case_ref import CaseRef, load_cases
from medsmith.data.deformation import DeformationConfig
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.label_facts import LabelFacts
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError
from medsmith.methods.fit import check_extent, check_orientation
from medsmith.methods.label_maps import DrawnMap, deform_map, draw_legal, extent_of, indices_of, readable

Unusual = Literal["refuse", "flag"]


@runtime_checkable
class LabelRequest(Protocol):
    """What the request of any method says of label maps that its images follow."""

    @property
    def labels(self) -> CaseRef | None:
        """The case whose map is followed, or a cohort from which the seed chooses one."""
        ...

    @property
    def augment_labels(self) -> DeformationConfig | None:
        """How far maps are deformed; None takes them as they are."""
        ...

    @property
    def unusual(self) -> Unusual:
        """Whether given maps that are unlike those of training are refused, or only flagged in the provenance."""
        ...

    @property
    def draws(self) -> int:
        """Largest number of maps that are drawn until one is legal."""
        ...


def given_map(
    request: LabelRequest, facts: Fingerprint, size: tuple[int, ...], seen: LabelFacts | None, seed: int
) -> DrawnMap:
    """The map of the case that a request names, or of the first that fits of a cohort, from where the seed begins.

    Where the request says so, it is deformed until it is legal: several seeds give several maps of one case.

    Args:
        request: with labels.
        facts: of the training cohort.
        size: grid of the network.
        seen: ranges of the training maps.
        seed: chooses a case where the request names a cohort alone, and the deformation.

    Raises:
        RequestError: other dimensions, classes or field of view than in training, or volumes outside their range; of a
            cohort, what is wrong with the first of its cases where none fits.
        MedsmithError: a case cannot be read.
    """
    assert request.labels is not None
    first: RequestError | None = None
    passed: list[str] = []
    for case in load_cases(request.labels, derive_seed(seed, "case"), "labels"):
        try:
            found = _checked(case, request, facts, size, seen)
        except RequestError as error:
            first = first or error
            passed.append(case.id)
        else:
            origin = {"cases": {"labels": case.id}} | ({"passed_over": passed} if passed else {})
            return augmented_map(replace(found, origin=origin), request, facts, seen, seed)
    assert first is not None
    raise first


def augmented_map(
    drawn: DrawnMap, request: LabelRequest, facts: Fingerprint, seen: LabelFacts | None, seed: int
) -> DrawnMap:
    """A map as it is, or where the request says so the first of its deformations that is legal.

    Args:
        drawn: the map.
        request: says whether it is deformed, and how far.
        facts: of the training cohort.
        seen: ranges of the training maps.
        seed: of the deformation.
    """
    config = request.augment_labels
    if config is None:
        return drawn

    def draw(each: int) -> DrawnMap:
        return deform_map(drawn, facts, config, derive_seed(each, "deformation"))

    return draw_legal(draw, seen, seed, request.draws)


def record_of(drawn: DrawnMap, request: LabelRequest, facts: Fingerprint) -> Mapping[str, Any]:
    """What the provenance says of a map: its origin, and how it is unlike those of training.

    Problems of a map that the method drew make the check ``labels_legal`` refuse the case; those of a given map that
    the user lets pass are flagged.

    Args:
        drawn: the map.
        request: that it was drawn for.
        facts: of the training cohort.
    """
    problems = readable(drawn.problems, facts)
    as_given = request.labels is not None and request.augment_labels is None
    drawn_by_method = {} if as_given else {"label_draws": drawn.draws}
    if as_given or (request.labels is not None and request.unusual == "flag"):
        return {**drawn.origin, **drawn_by_method, "unusual": problems}
    return {**drawn.origin, **drawn_by_method, "label_problems": problems}


def _checked(
    case: Case, request: LabelRequest, facts: Fingerprint, size: tuple[int, ...], seen: LabelFacts | None
) -> DrawnMap:
    assert request.labels is not None
    subject = f"case '{case.id}' of {request.labels.cohort}"
    _check_grid(case, facts, subject)
    labels = indices_of(_renamed(case, facts, subject), facts, size).numpy()
    problems = () if seen is None else seen.problems(labels)
    if problems and request.unusual == "refuse":
        found = ", ".join(readable(problems, facts))
        cure = 'choose another map, or go on with {"unusual": "flag"} in a file for --request'
        raise RequestError(
            "labels", f"{subject} is unlike all training maps: {found}", "see docs/methods/lldm.md, Legal maps", cure
        )
    return DrawnMap(labels, extent_of(case, facts), grid=case.geometry, problems=problems)


def _check_grid(case: Case, facts: Fingerprint, subject: str) -> None:
    grid = case.geometry
    if grid.dimensions != facts.dimensions:
        raise RequestError("labels", f"{subject} is {grid.dimensions}-D", f"trained on {facts.dimensions}-D")
    check_orientation(grid.spacing_known, facts, "labels", subject)
    if facts.spacing_known:
        extent = [n * mm for n, mm in zip(grid.shape, grid.spacing, strict=True)][: facts.dimensions]
        check_extent(extent, facts, "labels", subject)


def _renamed(case: Case, facts: Fingerprint, subject: str) -> Case:
    """The case with the values of the training cohort; labels are matched by their names."""
    labels = case.require_labels()
    values = np.zeros_like(labels)
    for name, value in case.label_names.items():
        there = labels == value
        if value == 0 or not there.any():
            continue
        if name not in facts.label_names:
            known = ", ".join(known for known, number in facts.label_names.items() if number)
            raise RequestError("labels", f"{subject} has label '{name}'", f"trained on {known}", "rename or remove it")
        values[there] = facts.label_names[name]
    return Case(case.id, case.image, values, case.geometry, case.channel_names, facts.label_names, case.stored)
