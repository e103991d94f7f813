"""The examples run, and what they leave is what they say."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from medsmith import Budget, Cohort, load_method, regenerate

EXAMPLES = Path(__file__).parents[1] / "examples"
# Eight is the fewest real cases that can be compared.
COUNT = 8


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / name))


def test_the_demo_makes_pairs_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example("demo.py")["main"](tmp_path, COUNT)
    made = Cohort.open(tmp_path / "synthetic")
    assert len(made) == COUNT
    assert all(case.synthetic and case.labels.any() for case in made)
    assert "Synthetic research data" in (tmp_path / "report" / "evaluation.html").read_text()
    assert str(tmp_path / "report" / "evaluation.html") in capsys.readouterr().out
    assert regenerate(tmp_path / "synthetic", made.ids[0])


def test_the_starter_weights_are_trained_by_their_example(tmp_path: Path) -> None:
    main = example("train_starter_weights.py")["main"]
    main(tmp_path / "work", tmp_path / "weights", cases=4, budget=Budget(steps=1))
    whole = tmp_path / "work" / "pig" / "weights.safetensors"
    shipped = tmp_path / "weights" / "weights.safetensors"
    assert shipped.stat().st_size < 0.55 * whole.stat().st_size
    assert load_method(tmp_path / "weights").name == "pig"


def test_shipped_weights_are_small() -> None:
    import medsmith

    shipped = Path(medsmith.__file__).parent / "weights"
    assert sum(path.stat().st_size for path in shipped.rglob("*")) < 25e6
