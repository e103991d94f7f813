"""Samples consistent reports: fixed values are kept, the rest is sampled from compatible options."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from medsmith.errors import RequestError, similar
from medsmith.formats.validation import first_problem
from medsmith.reports.organs import members_of
from medsmith.reports.possibility import check_numbers, check_requestable
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
    """Samples a complete report of one lesion type.

    Args:
        lesion_type: key of `rules.LESION_TYPES`.
        rng: source of randomness.
        fixed: attribute -> value that the report must have.
        without: options that the report must not have.

    Raises:
        RequestError: no such type or attribute, or the rules do not allow what is fixed; names what they allow.
    """
    rules = find_type(lesion_type)
    wanted = stated_attributes(_validated(rules.name, fixed or {}))
    choices = _compatible(rules, wanted, without)
    weights = np.array([choice.weight for choice in choices])
    choice = choices[int(rng.choice(len(choices), p=weights / weights.sum()))]
    sampled: dict[str, Any] = {
        "organ": rules.organ,
        "size_mm": _size(choice.morphology, rng),
        "ct_value_hu": float(round(rng.uniform(*choice.hu))),
        **{name: getattr(choice, name) for name in ATTRIBUTES if hasattr(choice, name)},
    }
    return LesionReport(lesion_type=rules.name, **{**sampled, **wanted})


def complete_report(report: LesionReport, rng: np.random.Generator, without: Collection[str] = ()) -> LesionReport:
    """Samples the attributes that a report leaves open. A report of an unknown type is checked and returned unchanged.

    Raises:
        RequestError: the rules do not allow the report's values.
    """
    check_requested(report)
    if report.lesion_type is None or report.lesion_type not in LESION_TYPES:
        return report
    complete = sample_report(report.lesion_type, rng, stated_attributes(report), without)
    return complete.model_copy(update={"measured": report.measured})


def check_requested(report: LesionReport, without: Collection[str] = ()) -> None:
    """Checks that a report can be completed, without completing it.

    Args:
        report: that is asked for.
        without: options that the lesion must not have.

    Raises:
        RequestError: as of ``complete_report``.
    """
    check_anatomy(report)
    check_numbers(report)
    check_requestable(report)
    if report.lesion_type is not None and report.lesion_type in LESION_TYPES:
        _compatible(LESION_TYPES[report.lesion_type], stated_attributes(report), without)


def check_report(report: LesionReport) -> None:
    """Checks a report against the anatomical rules and, if its type is known, the rules of the type.

    Raises:
        RequestError: values are incompatible; names the allowed ones.
    """
    check_anatomy(report)
    check_numbers(report)
    if report.lesion_type is not None and report.lesion_type in LESION_TYPES:
        _compatible(LESION_TYPES[report.lesion_type], stated_attributes(report), ())


def _validated(lesion_type: str, fixed: Mapping[str, Any]) -> LesionReport:
    unknown = next((name for name in fixed if name not in ATTRIBUTES), None)
    if unknown is not None:
        raise RequestError(
            unknown, "no such attribute", f"there are {', '.join(ATTRIBUTES)}", similar(unknown, ATTRIBUTES)
        )
    try:
        return LesionReport(lesion_type=lesion_type, **fixed)
    except ValidationError as error:
        problem = first_problem(error)
        name = problem.key.partition(".")[0]
        options = ATTRIBUTES[name].options
        limit = f"there are {', '.join(options)}" if options else problem.rule
        raise RequestError(name, f"{problem.value!r} is not possible", limit) from error


def _compatible(rules: LesionType, wanted: Mapping[str, object], without: Collection[str]) -> Sequence[Combination]:
    """The combinations that agree with all fixed values."""
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
            found = f"{_format_value(value)} does not go with {', '.join(given)}"
            raise RequestError(name, found, _allowed(_options(name, left)), _CURE)
        left = agreeing
        given.append(_format_value(value))
    free = [choice for choice in left if not choice.words() & set(without)] if without else left
    if not free:
        raise RequestError(
            "report", f"nothing is left without {_format_value(tuple(without))}", f"of {', '.join(given)}"
        )
    return free


def _options(name: str, choices: Sequence[Combination]) -> list[str]:
    """The distinct options of an attribute, for an error line."""
    if name == "ct_value_hu":
        said = (
            f"{choice.hu[0]:g} to {choice.hu[1]:g} HU ({choice.density}, {choice.enhancement})" for choice in choices
        )
    elif name == "size_mm":
        said = (_size_limits(choice.morphology) for choice in choices)
    else:
        said = (_format_value(getattr(choice, name)) for choice in choices)
    return list(dict.fromkeys(said))


def _size_limits(morphology: Morphology) -> str:
    low, high = morphology.longest_mm
    shape = " + ".join(morphology.shape)
    return f"longest edge {low:g} to {high:g} mm and shortest at least {morphology.min_aspect:g} of it ({shape})"


def _allowed(options: Sequence[str]) -> str:
    return f"allowed: {'; '.join(options)}"


def _format_value(value: object) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], float):
        return f"{' x '.join(f'{edge:g}' for edge in value)} mm"
    if isinstance(value, tuple):
        return f"'{' + '.join(map(str, value))}'" if value else "none"
    return f"{value:g} HU" if isinstance(value, float) else f"'{value}'"


def _size(morphology: Morphology, rng: np.random.Generator) -> tuple[float, float, float]:
    """Bounding-box edges in mm, in steps of 0.5 mm: the longest log-uniform, the others skewed towards it."""
    low, high = np.log(morphology.longest_mm)
    longest = _round_to_step(np.exp(rng.uniform(low, high)))
    others = [_round_to_step(longest * rng.triangular(morphology.min_aspect, 1, 1)) for _ in range(2)]
    edges = list(rng.permutation([longest, *others]))
    if morphology.longest_axis is not None:
        at = edges.index(longest)
        edges[at], edges[morphology.longest_axis] = edges[morphology.longest_axis], longest
    return float(edges[0]), float(edges[1]), float(edges[2])


def _round_to_step(edge: float) -> float:
    return max(round(edge / _STEP_MM) * _STEP_MM, _STEP_MM)
