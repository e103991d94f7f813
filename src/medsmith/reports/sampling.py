"""Draws reports that make sense: what is fixed by hand stays, the rest is drawn among what goes with it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from medsmith.errors import RequestError
from medsmith.reports.organs import members_of
from medsmith.reports.rules import (
    LESION_TYPES,
    Combination,
    check_anatomy,
    combinations,
    find_type,
    stated_attributes,
)
from medsmith.reports.rules_types import LesionType, Morphology
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import ATTRIBUTES

_STEP_MM = 0.5
_CURE = "choose among them, or leave it open"


def sample_report(
    lesion_type: str,
    rng: np.random.Generator,
    fixed: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
) -> LesionReport:
    """Draws a full report of one type of lesion.

    Args:
        lesion_type: key of `rules.LESION_TYPES`.
        rng: everything that is drawn comes from it.
        fixed: attribute -> value that the report shall have.
        without: options that the report shall not have.

    Raises:
        RequestError: no such type or attribute, or the rules do not allow what is fixed; names what they allow.
    """
    rules = find_type(lesion_type)
    wanted = stated_attributes(_validated(rules.name, fixed or {}))
    choices = _narrowed(rules, wanted, without)
    weights = np.array([choice.weight for choice in choices])
    choice = choices[int(rng.choice(len(choices), p=weights / weights.sum()))]
    drawn: dict[str, Any] = {
        "organ": rules.organ,
        "size_mm": _size(choice.morphology, rng),
        "ct_value_hu": float(round(rng.uniform(*choice.hu))),
        **{name: getattr(choice, name) for name in ATTRIBUTES if hasattr(choice, name)},
    }
    return LesionReport(lesion_type=rules.name, **{**drawn, **wanted})


def complete_report(report: LesionReport, rng: np.random.Generator, without: Collection[str] = ()) -> LesionReport:
    """Draws what a report leaves open; a report of no known type is held against anatomy and stays as it is.

    Raises:
        RequestError: the rules do not allow what the report says.
    """
    check_anatomy(report)
    if report.lesion_type is None or report.lesion_type not in LESION_TYPES:
        return report
    complete = sample_report(report.lesion_type, rng, stated_attributes(report), without)
    return complete.model_copy(update={"measured": report.measured})


def check_report(report: LesionReport) -> None:
    """Holds a report against anatomy and, where its type is known, against the rules of the type.

    Raises:
        RequestError: something in it does not go together; names what does.
    """
    check_anatomy(report)
    if report.lesion_type is not None and report.lesion_type in LESION_TYPES:
        _narrowed(LESION_TYPES[report.lesion_type], stated_attributes(report), ())


def _validated(lesion_type: str, fixed: Mapping[str, Any]) -> LesionReport:
    unknown = next((name for name in fixed if name not in ATTRIBUTES), None)
    if unknown is not None:
        raise RequestError(unknown, "no such attribute", f"there are {', '.join(ATTRIBUTES)}")
    try:
        return LesionReport(lesion_type=lesion_type, **fixed)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        options = ATTRIBUTES[name].options
        limit = f"there are {', '.join(options)}" if options else first["msg"]
        raise RequestError(name, f"{first['input']!r} is not possible", limit) from error


def _narrowed(rules: LesionType, wanted: Mapping[str, object], without: Collection[str]) -> Sequence[Combination]:
    """The choices that agree with everything wanted."""
    organ = wanted.get("organ")
    if organ is not None and organ not in members_of(rules.organ):
        raise RequestError("organ", f"'{organ}' has no {rules.name}", _allowed(members_of(rules.organ)), _CURE)
    left: Sequence[Combination] = combinations(rules.name)
    given = [rules.name]
    for name, value in wanted.items():
        if name == "organ":
            continue
        agreeing = [choice for choice in left if choice.agrees(name, value)]
        if not agreeing:
            found = f"{_said(value)} does not go with {', '.join(given)}"
            raise RequestError(name, found, _allowed(_options(name, left)), _CURE)
        left = agreeing
        given.append(_said(value))
    free = [choice for choice in left if not choice.words() & set(without)] if without else left
    if not free:
        raise RequestError("report", f"nothing is left without {_said(tuple(without))}", f"of {', '.join(given)}")
    return free


def _options(name: str, choices: Sequence[Combination]) -> list[str]:
    """What an attribute may be, each option once."""
    if name == "ct_value_hu":
        said = (
            f"{choice.hu[0]:g} to {choice.hu[1]:g} HU ({choice.density}, {choice.enhancement})" for choice in choices
        )
    elif name == "size_mm":
        said = (_size_limits(choice.morphology) for choice in choices)
    else:
        said = (_said(getattr(choice, name)) for choice in choices)
    return list(dict.fromkeys(said))


def _size_limits(morphology: Morphology) -> str:
    low, high = morphology.longest_mm
    shape = " + ".join(morphology.shape)
    return f"longest edge {low:g} to {high:g} mm and shortest at least {morphology.min_aspect:g} of it ({shape})"


def _allowed(options: Sequence[str]) -> str:
    return f"allowed: {'; '.join(options)}"


def _said(value: object) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], float):
        return f"{' x '.join(f'{edge:g}' for edge in value)} mm"
    if isinstance(value, tuple):
        return f"'{' + '.join(map(str, value))}'" if value else "none"
    return f"{value:g} HU" if isinstance(value, float) else f"'{value}'"


def _size(morphology: Morphology, rng: np.random.Generator) -> tuple[float, float, float]:
    """Edges of a bounding box, mm, in steps of half a millimetre: the longest log-uniform, the others nearer to it."""
    low, high = np.log(morphology.longest_mm)
    longest = _stepped(np.exp(rng.uniform(low, high)))
    others = [_stepped(longest * rng.triangular(morphology.min_aspect, 1, 1)) for _ in range(2)]
    edges = list(rng.permutation([longest, *others]))
    if morphology.longest_axis is not None:
        at = edges.index(longest)
        edges[at], edges[morphology.longest_axis] = edges[morphology.longest_axis], longest
    return float(edges[0]), float(edges[1]), float(edges[2])


def _stepped(edge: float) -> float:
    return max(round(edge / _STEP_MM) * _STEP_MM, _STEP_MM)
