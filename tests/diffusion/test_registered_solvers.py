"""Solvers that other packages register."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medsmith.diffusion import NoiseSchedule, Sampling, solver_names
from medsmith.diffusion.solvers import solver_version_of, solver_weights
from medsmith.errors import RequestError

SOURCE = """
from medsmith.diffusion.solvers import SolverStep, Weights

def halves(step: SolverStep) -> Weights:
    return Weights(0.5 * step.current.noise, step.target.signal)

def numbers(step):
    return 1.0, 2.0
"""


@pytest.fixture
def register(tmp_path, monkeypatch):
    """Leaves a package with a solver as pip would; its name is that of its value."""

    def registered(value, name="halves", package="my-solvers"):
        (tmp_path / "my_solvers.py").write_text(SOURCE)
        facts = tmp_path / f"{package.replace('-', '_')}-1.2.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        (facts / "entry_points.txt").write_text(f"[medsmith.solvers]\n{name} = {value}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        return tmp_path

    yield registered
    sys.modules.pop("my_solvers", None)


def test_a_registered_solver_gives_the_weights_and_its_version_is_known(register):
    register("my_solvers:halves")
    schedule = NoiseSchedule.cosine(30)
    assert solver_names()[-1] == "halves"
    assert Sampling(solver="halves", steps=3).override(steps=4) == Sampling(solver="halves", steps=4)
    found = solver_weights(schedule, [29, 10, -1], "halves")
    noise, signal = schedule.noise.tolist(), schedule.signal.tolist()
    np.testing.assert_allclose([each[:2] for each in found], [(noise[29] / 2, signal[10]), (noise[10] / 2, 1.0)])
    assert (solver_version_of("halves"), solver_version_of("ddim")) == ({"solver halves": "my-solvers 1.2"}, {})


def test_a_solver_that_two_packages_register_is_refused_by_their_names(register):
    register("my_solvers:halves")
    register("my_solvers:numbers", package="other-solvers")
    said = (
        "halves: is registered by my-solvers 1.2 (my_solvers:halves) and by other-solvers 1.2 (my_solvers:numbers); "
        "one package for each name of medsmith.solvers; uninstall the others"
    )
    with pytest.raises(RequestError) as error:
        Sampling(solver="halves")
    assert error.value.line == said
    with pytest.raises(RequestError, match=r"is registered by my-solvers 1\.2 "):
        solver_weights(NoiseSchedule.cosine(30), [29, 10, -1], "halves")
    assert solver_names() == ("ddpm", "ddim", "dpm++2m", "euler", "halves")
    assert Sampling(solver="ddim").solver == "ddim"  # what is not asked for disturbs nothing


def test_another_process_finds_it(register):
    """As a worker does, which is given the name alone."""
    folder = register("my_solvers:halves")
    script = "from medsmith.diffusion import Sampling; print(Sampling(solver='halves').solver)"
    path = f"{folder}:{Path(__file__).parents[2] / 'src'}"
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "halves\n"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("my_solvers:numbers", "solver 'halves': returned no Weights; see docs/diffusion.md"),
        ("my_solvers:__name__", "my_solvers:__name__: is no function; from SolverStep to Weights"),
        ("my_solvers:nothing", "my_solvers:nothing: cannot be imported (AttributeError: "),
    ],
)
def test_what_is_no_solver_is_refused(register, value, said):
    register(value)
    with pytest.raises(RequestError, match=re.escape(said)):
        solver_weights(NoiseSchedule.cosine(30), [29, -1], "halves")


def test_no_solver_takes_the_name_of_one_of_medsmith(register):
    before = solver_weights(NoiseSchedule.cosine(30), [29, -1], "ddim")
    register("my_solvers:halves", name="ddim")
    assert solver_weights(NoiseSchedule.cosine(30), [29, -1], "ddim") == before
    with pytest.raises(ValueError, match="'dpm\\+\\+2m' or 'euler'"):
        Sampling(solver="halves")
