"""A label map that the user gives: checked against what the networks have seen."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.case_ref import load_cases
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.label_facts import LabelFacts
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError
from medsmith.methods.fit import check_extent, check_orientation
from medsmith.methods.lldm.examples import extent_of, indices_of
from medsmith.methods.lldm.label_source import DrawnMap
from medsmith.methods.lldm.request import LldmRequest


def given_map(
    request: LldmRequest, facts: Fingerprint, size: tuple[int, ...], seen: LabelFacts | None, seed: int
) -> DrawnMap:
    """The map of the case that a request names, or of the first that fits of a cohort, from where the seed begins.

    Args:
        request: with labels.
        facts: of the training cohort.
        size: grid of the network.
        seen: ranges of the training maps.
        seed: chooses a case where the request names a cohort alone.

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
            return replace(found, origin=origin)
    assert first is not None
    raise first


def _checked(
    case: Case, request: LldmRequest, facts: Fingerprint, size: tuple[int, ...], seen: LabelFacts | None
) -> DrawnMap:
    assert request.labels is not None
    subject = f"case '{case.id}' of {request.labels.cohort}"
    _check_grid(case, facts, subject)
    labels = indices_of(_renamed(case, facts, subject), facts, size).numpy()
    problems = () if seen is None else seen.problems(labels)
    if problems and request.unusual == "refuse":
        found = ", ".join(readable(problems, facts))
        cure = 'choose another map, or go on with {"unusual": "flag"} in a file for --request'
        raise RequestError("labels", f"{subject} is unlike all training maps: {found}", "see Legal maps", cure)
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


def readable(problems: Sequence[str], facts: Fingerprint) -> list[str]:
    """Problems with names of labels in place of the numbers of classes.

    Args:
        problems: of ``LabelFacts.problems``.
        facts: of the training cohort.
    """
    names = ("background", *(_name(facts, value) for value in facts.foreground_labels))
    return [
        " ".join(names[int(word)] if word.isdecimal() else word for word in problem.split()) for problem in problems
    ]


def _name(facts: Fingerprint, value: int) -> str:
    return next(name for name, number in facts.label_names.items() if number == value)
