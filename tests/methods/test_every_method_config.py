"""Configs, requests and presets of every method."""

import json
from pathlib import Path
from typing import cast

import pytest

import micro
from medsmith.diffusion import SOLVERS
from medsmith.errors import RequestError
from medsmith.methods import method_class, method_names
from medsmith.methods.base import Method, MethodConfig
from medsmith.methods.config import validated
from medsmith.training import train

NAMES = method_names()
DOCS = Path(__file__).parents[2] / "docs" / "methods"


@pytest.fixture(scope="module", params=[(2, 1), (2, 2), (3, 2)], ids=lambda p: f"{p[0]}d-{p[1]}label")
def cohort(request, tmp_path_factory):
    return micro.micro_cohort(tmp_path_factory.mktemp("cohort") / "c", *request.param)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_request_is_refused_by_name_with_the_nearest(name):
    kind = method_class(name)
    fields = list(kind.Request.model_fields)
    for wrong, cure in [("lesionz", "")] + [(field + "x", field) for field in fields]:
        with pytest.raises(RequestError) as refusal:
            validated(kind.Request, "request", {wrong: 1})
        assert refusal.value.line.startswith(f"request: unknown key '{wrong}'; ")
        assert cure in refusal.value.limit
    if not fields:
        assert refusal.value.limit == "nothing can be asked for here"


@pytest.mark.parametrize("name", NAMES)
def test_a_request_is_json(name):
    kind = method_class(name)
    empty = kind.Request()
    assert validated(kind.Request, "request", json.loads("{}")) == empty
    assert validated(kind.Request, "request", json.loads(empty.model_dump_json())) == empty


@pytest.mark.parametrize("name", NAMES)
def test_presets_are_configs_that_survive_json(name):
    kind = method_class(name)
    assert {"paper", "best", "tiny"} <= kind.presets.keys()
    for preset in kind.presets.values():
        assert type(preset) is kind.Config
        back = validated(kind.Config, "config", json.loads(preset.model_dump_json()))
        assert back == preset
        assert cast(MethodConfig, preset).sampling.solver in SOLVERS


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_preset_or_setting_is_refused_and_nothing_is_written(name, cohort, tmp_path):
    with pytest.raises(RequestError) as refusal:
        train(name, cohort, tmp_path / "run", preset="huge")
    assert refusal.value.line == f"{name}: no preset 'huge'; there are {', '.join(method_class(name).presets)}"
    near = "nearest: training.batch" if "training" in method_class(name).Config.model_fields else "there are "
    with pytest.raises(RequestError, match=rf"unknown key 'trainng.batch'; {near}"):
        train(name, cohort, tmp_path / "run", settings=["trainng.batch=2"])
    assert not list((tmp_path / "run").glob("*"))


@pytest.mark.parametrize("name", NAMES)
def test_a_grid_of_other_dimensions_than_the_cohorts_is_refused(name, cohort, tmp_path):
    dimensions = cohort[cohort.ids[0]].geometry.dimensions
    if dimensions not in method_class(name).dimensions:
        with pytest.raises(RequestError, match=rf"{name}: the cohort is {dimensions}-D; it works in"):
            train(name, cohort, tmp_path / "run")
        return
    if "size" not in method_class(name).Config.model_fields:
        pytest.skip(f"{name} has no grid to set")
    settings = micro.micro_settings(name, method_class(name), 5 - dimensions)
    with pytest.raises(RequestError, match=rf"the cohort is {dimensions}-D; give --set size=\[8,8"):
        train(name, cohort, tmp_path / "run", settings=settings)


@pytest.mark.parametrize("name", NAMES)
def test_a_method_is_one_final_class_and_explained(name):
    kind = method_class(name)
    assert kind.__bases__ == (Method,)
    assert vars(kind)["__final__"]
    assert (DOCS / f"{name}.md").read_text().startswith("# ")


def test_an_unknown_method_is_refused_with_those_there_are(cohort, tmp_path):
    with pytest.raises(RequestError) as refusal:
        train("gan", cohort, tmp_path / "run")
    known = ", ".join(NAMES)
    assert refusal.value.line == f"gan: no such method; there are {known}; a method of your own: --method-file FILE"
