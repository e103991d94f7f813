"""What pydantic finds wrong is said in the words of JSON."""

from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from medsmith.formats.validation import first_problem


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: tuple[Annotated[int, Field(ge=1)], ...] = (1,)

    @field_validator("size")
    @classmethod
    def _even(cls, size: tuple[int, ...]) -> tuple[int, ...]:
        if size[0] == 7:
            raise ValueError("7 is no size")
        return size


class Outer(BaseModel):
    name: str
    inner: Inner = Inner()
    place: tuple[float, float] | tuple[float, float, float] | None = None
    two: Annotated[tuple[float, ...], Field(min_length=2, max_length=2)] = (0, 0)
    weight: Annotated[float, Field(ge=0, strict=True)] | dict[str, Annotated[float, Field(ge=0, strict=True)]] = 1
    least: Annotated[float, Field(allow_inf_nan=False)] = 0


@pytest.mark.parametrize(
    ("values", "found", "limit"),
    [
        ({}, "'name' is missing", ""),
        ({"name": "a", "inner": {"sise": 3}}, "unknown key 'inner.sise'", ""),
        ({"name": "a", "inner": {"s" * 90: 3}}, f"unknown key 'inner.{'s' * 54}...'", ""),
        ({"name": "a", "weight": -1}, "weight = -1", "must be greater than or equal to 0"),
        ({"name": "a", "weight": {"b": -1}}, 'weight = {"b": -1}', "must be a valid number"),
        ({"name": "a", "inner": {"size": "abc"}}, 'inner.size = "abc"', "must be a list"),
        ({"name": "a", "inner": {"size": [2, 0]}}, "inner.size.1 = 0", "must be greater than or equal to 1"),
        ({"name": "a", "inner": {"size": ["x"]}}, 'inner.size.0 = "x"', "must be a valid integer"),
        ({"name": "a", "inner": {"size": [7]}}, "inner.size = [7]", "7 is no size"),
        ({"name": "a", "inner": 5}, "inner = 5", "must be an object"),
        ({"name": ["b" * 90]}, f'name = ["{"b" * 58}...', "must be a valid string"),
        (5, "5", "must be an object"),
        ({"name": "a", "place": ["x", 1]}, 'place.0 = "x"', "must be a valid number"),
        ({"name": "a", "two": [1]}, "two = [1]", "must have at least 2 entries"),
        ({"name": "a", "two": [1, 2, 3]}, "two = [1, 2, 3]", "must have at most 2 entries"),
        ({"name": "a", "least": float("nan")}, "least = NaN", "must be a finite number"),
    ],
)
def test_the_first_problem_names_key_value_and_rule(values: object, found: str, limit: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(values)
    problem = first_problem(caught.value)
    assert (problem.found, problem.limit) == (found, limit)
