"""What a training will take, in words."""

import re
from datetime import UTC, datetime
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

import micro
from medsmith.errors import RequestError
from medsmith.methods import method_class
from medsmith.training import Budget, train
from medsmith.training.forecast import stage_line, start_line

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("steps", "seconds", "allowed", "said"),
    [
        (600, 1.0, inf, "image: 600 steps of 1 s: until 12:10, "),
        (600, 0.123, inf, "image: 600 steps of 0.12 s: until 12:01, "),
        (2000, 60.0, 3600.0, "image: 2,000 steps of 60 s, of which the limit of time allows about 60: until 13:00, "),
        (200_000, 104.0, inf, "image: 200,000 steps of 104 s: until 31 Oct 05:46, "),
    ],
)
def test_how_long_a_stage_takes(steps, seconds, allowed, said):
    line = stage_line("image", steps, seconds, allowed, "cpu", NOON)
    assert line.startswith(said)
    assert re.search(r", \d+\.\d GiB", line)
    assert ("medsmith plan finds settings" in line) == (min(allowed, steps * seconds) > 12 * 3600)
    assert "medsmith plan" not in stage_line("image", steps, seconds, allowed, "cuda", NOON)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(("minutes", "said"), [(1, "1 minute"), (0.5, "0.5 minutes"), (30, "30 minutes")])
def test_the_limit_of_a_call_is_said_in_the_right_number(minutes, said):
    stage = SimpleNamespace(name="stack", parts=())
    method: Any = SimpleNamespace(name="pig", stages=lambda: [stage])
    assert start_line(method, "tiny", "cpu", Budget(minutes=minutes)).endswith(f", at most {said} in all")


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"bank": ()}, "without steps: bank"),
        ({"image": ("net",), "bank": (), "frame": ()}, "steps: image 1,500; without steps: bank, frame"),
        ({"guider": ("net",), "image": ("net",)}, "steps: guider 1,500, image 1,500"),
    ],
)
def test_a_stage_without_steps_is_named_without_a_count(parts, said):
    stages = [SimpleNamespace(name=name, parts=of_stage) for name, of_stage in parts.items()]
    method: Any = SimpleNamespace(name="mine", stages=lambda: stages, training_of=lambda _: SimpleNamespace(steps=1500))
    assert start_line(method, "tiny", "cuda", Budget()) == f"mine, preset tiny, on cuda; {said}"


def test_training_says_what_it_will_do_and_take(tmp_path):
    cohort = micro.micro_cohort(tmp_path / "cohort")
    said: list[str] = []
    settings = micro.micro_settings("pig", method_class("pig"), 2)
    train("pig", cohort, tmp_path / "run", settings=settings, budget=Budget(steps=6), report=said.append)
    assert re.fullmatch(r"pig, preset tiny, on cpu \(\d+ threads?\); steps: guider 6, image 6", said[0])
    assert re.match(r"guider: 3 steps of [\d.]+ s: until ", said[1])
    assert re.match(r"image: 3 steps of [\d.]+ s: until ", said[2])


def test_a_grid_of_other_dimensions_is_refused_before_the_cases_are_read(tmp_path, monkeypatch):
    cohort = micro.micro_cohort(tmp_path / "cohort", 3)
    monkeypatch.setattr("medsmith.training.start._fingerprint", None)
    with pytest.raises(RequestError, match=re.escape("size: [64, 64]; the cohort is 3-D; give --set size=[64,64,64]")):
        train("pig", cohort, tmp_path / "run")
