"""Whether the cases of a request fit the training cohort: orientation, field of view, gray scale."""

from collections.abc import Iterable, Sequence

import numpy as np

from medsmith.cases.case import Case
from medsmith.data.fingerprint import Fingerprint
from medsmith.errors import RequestError

EXTENT = 1.3
"""Largest ratio of the fields of view of a guide and the training images, along each axis."""


def check_orientation(oriented: bool, facts: Fingerprint, key: str, what: str) -> None:
    """Check that a map lies on training images the right way up: pictures have y down, oriented slices y to the front.

    Args:
        oriented: whether its file stores spacing and orientation.
        facts: of the training cohort.
        key: in the request, for the message.
        what: its source, for the message.

    Raises:
        RequestError: one of them is a picture, and the other is oriented.
    """
    if oriented != facts.spacing_known:
        fact = f"{what} has {'an' if oriented else 'no'} orientation"
        limit = f"the training images have {'one' if facts.spacing_known else 'none'}"
        raise RequestError(key, fact, limit, f"make it from {'NIfTI' if facts.spacing_known else 'PNG'} files")


def check_extent(extent: Sequence[float], facts: Fingerprint, key: str, what: str) -> None:
    """Check that a field of view is about that of the training images, which it is stretched to.

    Args:
        extent: in mm, along as many axes as the training images have.
        facts: of the training cohort.
        key: in the request, for the message.
        what: its source, for the message.

    Raises:
        RequestError: an axis is more than 1.3 times as long as the median of the training images, or they are.
    """
    ours = [edge * count for edge, count in zip(facts.spacing, facts.shape, strict=True)][: facts.dimensions]
    if not all(1 / EXTENT <= their / our <= EXTENT for their, our in zip(extent, ours, strict=True)):
        there, limit = (" x ".join(f"{edge:.0f}" for edge in edges) for edges in (extent, ours))
        cure = "give one of that field of view"
        raise RequestError(key, f"{what} shows {there} mm", f"trained on {limit} mm", cure)


def of_same_extent(cases: Iterable[Case], facts: Fingerprint, key: str, cohort: object) -> Case:
    """The first of some cases with the field of view of the training images, as ``check_extent``; any without spacing.

    Args:
        cases: candidates, at least one.
        facts: of the training cohort.
        key: of the reference in the request, for messages.
        cohort: that they are from, for messages.

    Raises:
        RequestError: none has it.
    """
    failed: RequestError | None = None
    for case in cases:
        grid = case.geometry
        if not (grid.spacing_known and facts.spacing_known) or grid.dimensions != facts.dimensions:
            return case
        try:
            extent = np.multiply(grid.shape, grid.spacing)[: facts.dimensions]
            check_extent([float(edge) for edge in extent], facts, key, f"case '{case.id}' of {cohort}")
        except RequestError as error:
            failed = failed or error
        else:
            return case
    assert failed is not None
    raise failed


def check_gray_scale(found: tuple[float, float], facts: Fingerprint, key: str, what: str) -> None:
    """Check that gray values can be on the scale of the training cohort, where all its cases share one.

    Args:
        found: low and high gray value.
        facts: of the training cohort.
        key: in the request, for the message.
        what: their source, for the message.

    Raises:
        RequestError: they lie far outside the training images' range, or have no air where those are in HU.
    """
    if not facts.absolute:
        return
    low, high = min(low for low, _ in facts.full_range), max(high for _, high in facts.full_range)
    margin = (high - low) / 2
    without_air = facts.is_hounsfield and found[0] >= 0
    if without_air or found[0] < low - margin or found[1] > high + margin:
        fact = f"{what} has gray values from {found[0]:g} to {found[1]:g}"
        raise RequestError(key, fact, f"trained on {low:g} to {high:g}", "bring it to the same scale")
