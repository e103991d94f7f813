"""Whole numbers that decide how much is computed or held have an upper bound, said before memory is asked for."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from medsmith.errors import RequestError
from medsmith.evaluation.downstream.segmenter import SegmenterConfig
from medsmith.methods import method_class
from medsmith.methods.config import apply_settings

METHODS = ("copypaste", "ddpm", "lesiondiffusion", "lldm", "mddpm", "pig", "segguided")


def unbounded(schema: Any, path: str) -> Iterator[str]:
    """Places in a JSON schema of whole numbers without an upper bound."""
    if isinstance(schema, Mapping):
        if schema.get("type") == "integer" and not schema.keys() & {"maximum", "exclusiveMaximum", "enum", "const"}:
            yield path
        for key, inner in schema.items():
            yield from unbounded(inner, path if key in ("properties", "$defs", "items") else f"{path}.{key}")
    elif isinstance(schema, list):
        for inner in schema:
            yield from unbounded(inner, path)


def test_the_search_finds_what_has_no_bound() -> None:
    schema = {"properties": {"a": {"type": "integer", "minimum": 1}, "b": {"anyOf": [{"type": "integer"}]}}}
    assert list(unbounded(schema, "")) == [".a", ".b.anyOf"]


@pytest.mark.parametrize("name", METHODS)
def test_every_whole_number_of_a_method_has_an_upper_bound(name: str) -> None:
    kind = method_class(name)
    assert list(unbounded(kind.Config.model_json_schema(), name)) == []
    assert list(unbounded(kind.Request.model_json_schema(), f"{name} request")) == []


def test_every_whole_number_of_the_segmenter_has_an_upper_bound() -> None:
    assert list(unbounded(SegmenterConfig.model_json_schema(), "segmenter")) == []


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("training.batch=1000000000", "training.batch = 1000000000; must be less than or equal to 4096"),
        ("network.residual_blocks=99999", "network.residual_blocks = 99999; must be less than or equal to 32"),
        ("network.channels=[900000,900000]", "network.channels.0 = 900000; must be less than or equal to 4096"),
        ("training.steps=1e12", "training.steps = 1000000000000.0; must be less than or equal to 1000000000"),
    ],
)
def test_an_absurd_setting_is_refused_by_name(setting: str, said: str) -> None:
    with pytest.raises(RequestError, match=re.escape(said)):
        apply_settings(method_class("ddpm").presets["tiny"], [setting])


def test_a_batch_that_no_machine_holds_is_refused() -> None:
    said = "training.batch = 1024 cases of 16777216 voxels; a batch has 4294967296 voxels at most"
    with pytest.raises(RequestError, match=re.escape(said)):
        apply_settings(method_class("ddpm").presets["tiny"], ["size=[256,256,256]", "training.batch=1024"])
