"""Reports written by a language model; the response is validated and may be corrected once."""

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from medsmith.errors import RequestError
from medsmith.formats.validation import first_problem
from medsmith.reports.organs import members_of
from medsmith.reports.rules import LESION_TYPES, combinations, find_type
from medsmith.reports.sampling import complete_report, sample_report
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import ATTRIBUTES
from medsmith.reports.writing.endpoint import Endpoint, Message, ask

_ROLE: Final = "You are a radiologist. You describe one lesion in a CT scan as a JSON object, and write nothing else."


_SHOWN: Final = 300


def write_report(
    lesion_type: str, endpoint: Endpoint, rng: np.random.Generator, fixed: Mapping[str, Any] | None = None
) -> LesionReport:
    """Generates a complete report of one lesion type with a language model.

    Fixed values override the response; missing attributes are sampled by the rules. A response that is not JSON or
    violates the schema or the rules is returned once, with the reason, for correction.

    Args:
        lesion_type: key of `rules.LESION_TYPES`.
        endpoint: the language model.
        rng: source of randomness for missing attributes.
        fixed: attribute -> value that the report must have.

    Raises:
        RequestError: the rules do not allow the fixed values (no request is sent), the endpoint does not respond, or
            its response is invalid twice.
    """
    rules, fixed = find_type(lesion_type), dict(fixed or {})
    sample_report(rules.name, np.random.default_rng(0), fixed)
    messages = [_message("system", _ROLE), _message("user", _question(rules.name, fixed))]
    answer = ask(endpoint, messages)
    try:
        return _read(answer, rules.name, fixed, rng)
    except RequestError as error:
        complaint = f"This cannot be used: {error.line}. Answer with the corrected JSON object only."
        messages += [_message("assistant", answer), _message("user", complaint)]
    try:
        return _read(ask(endpoint, messages), rules.name, fixed, rng)
    except RequestError as error:
        if error.subject == endpoint.address:
            raise
        cure = "try another --llm-model, or use: medsmith report sample"
        raise RequestError(endpoint.address, "answered badly twice", _shortened(error.line), cure) from error


def _shortened(line: str) -> str:
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _question(lesion_type: str, fixed: Mapping[str, Any]) -> str:
    said = f" These values are given, keep them: {json.dumps(fixed)}." if fixed else ""
    return (
        f"Describe a typical {lesion_type}.{said} Use exactly these keys: {', '.join(ATTRIBUTES)}. shape and features"
        " are lists of strings, size_mm is a list of three edges in mm (right-left, front-back, feet-head), ct_value_hu"
        " is a number, every other value a string. Values that are possible, with what goes together:\n"
        f"{json.dumps(_allowed(lesion_type), indent=1)}"
    )


def _allowed(lesion_type: str) -> dict[str, Any]:
    """The rules of a type as data: any appearance combines with any morphology."""
    rules = LESION_TYPES[lesion_type]
    choices = combinations(lesion_type)
    appearances = [
        {
            "density": appearance.density,
            "density_variation": appearance.variation,
            "ct_value_hu by enhancement": {enhancement: list(hu) for enhancement, hu in appearance.phases()},
        }
        for appearance in rules.appearances
    ]
    morphologies = [
        {
            "shape": list(morphology.shape),
            "longest edge, mm": list(morphology.longest_mm),
            "shortest edge at least": f"{morphology.min_aspect:g} of the longest",
            "surface": list(morphology.surfaces),
            "relationship": list(morphology.relationships),
            "cavity": list(morphology.cavities),
        }
        for morphology in rules.morphologies
    ]
    features = [list(features) for features in dict.fromkeys(choice.features for choice in choices)]
    return {
        "organ": list(members_of(rules.organ)),
        "one of": appearances,
        "and one of": morphologies,
        "features": features,
    }


def _read(answer: str, lesion_type: str, fixed: Mapping[str, Any], rng: np.random.Generator) -> LesionReport:
    """The report in an answer, completed.

    Raises:
        RequestError: not JSON, not of the schema, or against the rules.
    """
    value = _json_object(answer)
    unknown = next((key for key in value if key not in ATTRIBUTES and key != "lesion_type"), None)
    if unknown is not None:
        raise RequestError("answer", f"key '{unknown}'", f"there are {', '.join(ATTRIBUTES)}")
    said = {name: content for name, content in value.items() if name in ATTRIBUTES and content not in ("", None)}
    try:
        report = LesionReport.model_validate({**said, **fixed, "lesion_type": lesion_type})
    except ValidationError as error:
        problem = first_problem(error)
        raise RequestError(f"answer, {problem.key}", f"{problem.value!r}", problem.rule) from error
    return complete_report(report, rng)


def _json_object(answer: str) -> dict[str, Any]:
    """The JSON object from the first to the last brace; some models wrap it in text or a code fence."""
    first, last = answer.find("{"), answer.rfind("}")
    try:
        value = json.loads(answer[first : last + 1]) if first >= 0 else None
    except (ValueError, RecursionError) as error:
        raise RequestError("answer", f"not JSON ({error})") from error
    if not isinstance(value, dict):
        raise RequestError("answer", "no JSON object in it")
    return value
