"""What pydantic found wrong with values from outside, in the words of JSON."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from pydantic import ValidationError

_SHOWN = 60
_RULES = {
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "missing": "is missing",
    "model_type": "must be an object",
    "tuple_type": "must be a list",
}
_COUNTS = {
    "string_too_long": ("at most", "max_length", "character", "characters"),
    "string_too_short": ("at least", "min_length", "character", "characters"),
    "too_long": ("at most", "max_length", "entry", "entries"),
    "too_short": ("at least", "min_length", "entry", "entries"),
}
"""Kind of error -> bound, its key in the context of the error, what is counted: one, several."""
_BRANCH = re.compile(r"^(?:constrained-[a-z]+|[a-z-]+[\[(].*[\])])$")
"""In a part of a location that is no key: pydantic adds the branch of a union, such as "tuple[float, float]"."""


@final
@dataclass(frozen=True)
class Problem:
    """The first error of a validation.

    Attributes:
        kind: pydantic's name of the error, such as "extra_forbidden".
        key: dotted key of the value; empty if the whole is wrong.
        value: the value found.
        rule: the broken rule, such as "must be greater than 0".
    """

    kind: str
    key: str
    value: Any
    rule: str

    @property
    def found(self) -> str:
        """Key and value in one phrase."""
        if self.kind == "missing":
            return f"'{self.key}' is missing"
        if self.kind == "extra_forbidden":
            return f"unknown key '{_shortened(self.key)}'"
        shown = _shortened(json.dumps(self.value, default=str))
        return f"{_shortened(self.key)} = {shown}" if self.key else shown

    @property
    def limit(self) -> str:
        """The rule, where ``found`` does not state it already."""
        return "" if self.kind in ("missing", "extra_forbidden") else self.rule


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def first_problem(error: ValidationError) -> Problem:
    """The first error of a validation."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if not _is_branch(part))
    if first["type"] == "value_error":
        return Problem(first["type"], key, first["input"], str(first["ctx"]["error"]))
    message = first["msg"].partition(", unable to parse")[0].replace("Input should", "must")
    rule = _count_rule(first["type"], first.get("ctx", {})) or _RULES.get(first["type"], message)
    return Problem(first["type"], key, first["input"], rule)


def _count_rule(kind: str, context: Mapping[str, Any]) -> str:
    """The rule for a number of entries or characters; "" for other errors."""
    if kind not in _COUNTS:
        return ""
    bound, key, one, several = _COUNTS[kind]
    return f"must have {bound} {context[key]} {one if context[key] == 1 else several}"


def _is_branch(part: int | str) -> bool:
    return isinstance(part, str) and _BRANCH.match(part) is not None
