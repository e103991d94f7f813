"""Methods of other packages and of single files."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import micro
from medsmith import Cohort
from medsmith.errors import FileError, RequestError, RunError
from medsmith.formats.atomic import sha256_of
from medsmith.formats.json_file import read_json
from medsmith.methods import elsewhere, method_class, method_names
from medsmith.methods.elsewhere import VARIABLE, use_method_file
from medsmith.runs.checkpoints import load_method
from medsmith.runs.method_version import changed_method_warnings
from medsmith.training import Budget, train

TOY = Path(__file__).parents[1] / "support" / "toy_methods" / "latent_pair.py"


@pytest.fixture(autouse=True)
def _no_files(monkeypatch):
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setattr(elsewhere, "_LOADED", {})  # tests after these are of other methods


def installed(folder, monkeypatch, name="shape_pair", value="my_methods:LatentPair", package="my-methods"):
    """A package with a method, as pip would leave it."""
    (folder / "my_methods.py").write_text(TOY.read_text())
    facts = folder / f"{package.replace('-', '_')}-1.2.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (facts / "entry_points.txt").write_text(f"[medsmith.methods]\n{name} = {value}\n")
    monkeypatch.syspath_prepend(str(folder))
    return folder


def medsmith(*words, path=()):
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, *map(str, path)])}
    command = [sys.executable, "-m", "medsmith", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("value", ["my_methods:LatentPair", "my_methods"])
def test_an_installed_package_registers_a_method(tmp_path, monkeypatch, value):
    installed(tmp_path, monkeypatch, value=value)
    assert "shape_pair" in method_names()
    assert method_class("shape_pair").__name__ == "LatentPair"
    sys.modules.pop("my_methods")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("my_methods:torch", "my_methods:torch: defines 0 methods; one per module; see docs/add-a-method.md"),
        ("my_methods:LatentPairConfig", "my_methods:LatentPairConfig: is no method; a subclass of medsmith.methods"),
        ("my_methods:Nothing", "my_methods:Nothing: cannot be imported (AttributeError: "),
        ("no_such_module", "no_such_module: cannot be imported (ModuleNotFoundError: "),
    ],
)
def test_what_is_registered_and_no_method_is_refused(tmp_path, monkeypatch, value, said):
    installed(tmp_path, monkeypatch, value=value)
    with pytest.raises(RequestError, match=re.escape(said)):
        method_class("shape_pair")
    sys.modules.pop("my_methods", None)


def test_a_method_that_two_packages_register_is_refused_by_their_names(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch)
    installed(tmp_path, monkeypatch, package="other-methods", value="my_methods")
    with pytest.raises(RequestError) as error:
        method_class("shape_pair")
    assert error.value.line == (
        "shape_pair: is registered by my-methods 1.2 (my_methods:LatentPair) and by other-methods 1.2 (my_methods); "
        "one package for each name of medsmith.methods; uninstall the others"
    )
    assert "shape_pair" in method_names()
    assert method_class("pig").__name__ == "Pig"


def test_no_method_takes_the_name_of_another(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch, name="pig")
    with pytest.raises(RequestError, match="pig: is a method of medsmith and of another source"):
        method_class("pig")


def test_a_file_that_is_no_method_is_refused(tmp_path):
    with pytest.raises(FileError, match="no such file; name the Python file of a method"):
        use_method_file(tmp_path / "none.py")
    (tmp_path / "my-method.py").write_text("")
    with pytest.raises(RequestError, match="no name of a method"):
        use_method_file(tmp_path / "my-method.py")
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.py").write_text("")
    use_method_file(tmp_path / "one" / "same.py")
    with pytest.raises(RequestError, match=re.escape(f"{tmp_path / 'one' / 'same.py'} has that name too")):
        use_method_file(tmp_path / "two" / "same.py")
    for name, text, said in (
        ("broken", "1 / 0", "cannot be imported (ZeroDivisionError: division by zero); it defines the method 'broken'"),
        ("empty_file", "", "defines 0 methods; one per module"),
    ):
        (tmp_path / f"{name}.py").write_text(text)
        use_method_file(tmp_path / f"{name}.py")
        with pytest.raises(RequestError, match=re.escape(said)):
            method_class(name)


def test_a_method_of_a_file_is_trained_and_its_file_recorded(tmp_path):
    file = tmp_path / "own_method.py"
    file.write_text(TOY.read_text())
    use_method_file(file)
    use_method_file(file)
    assert os.environ[VARIABLE] == str(file)
    run = train("own_method", micro.micro_cohort(tmp_path / "cohort"), tmp_path / "run", budget=Budget(steps=1))
    assert read_json(run / "run.json")["versions"]["method own_method"] == sha256_of(file)
    assert type(load_method(run)) is method_class("own_method")
    assert changed_method_warnings(run) == []
    file.write_text(TOY.read_text() + "# changed\n")
    (line,) = changed_method_warnings(run)
    assert re.search(r"method own_method was \w{24} when this run began and is \w{24}; what it makes may not", line)
    with pytest.raises(RunError, match="one run is trained by one version; restore it, or choose another folder"):
        train("own_method", Cohort.open(tmp_path / "cohort"), run, budget=Budget(steps=2))


@pytest.mark.slow
def test_a_method_of_a_file_is_trained_and_used_by_workers(tmp_path):
    file = tmp_path / "my_method.py"
    file.write_text(TOY.read_text())
    cohort = micro.micro_cohort(tmp_path / "cohort").root
    run, out = tmp_path / "run", tmp_path / "out"
    unknown = medsmith("train", "my_method", cohort, "--run", run)
    assert unknown.returncode == 2
    assert unknown.stderr.count("\n") == 1
    assert "a method of your own: --method-file FILE" in unknown.stderr
    trained = medsmith("train", "my_method", cohort, "--run", run, "--max-steps", 2, "--method-file", file)
    assert trained.returncode == 0, trained.stderr
    assert read_json(run / "run.json")["versions"]["method my_method"] == sha256_of(file)
    options = ("--count", 1, "--workers", 1, "--method-file", file)
    made = medsmith("synthesize", run, out, *options)
    assert made.returncode == 0, made.stderr
    assert len(Cohort.open(out)) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys; sys.exit(0)", "cannot be imported (SystemExit: 0); it defines the method 'odd'"),
        (
            "from medsmith.methods.base import Method\nclass Mine(Method): pass",
            "Mine has no loss; every method has one; see docs/add-a-method.md",
        ),
        (TOY.read_text().replace("    presets: ", "    preset: "), "LatentPair has no presets; every method has one"),
    ],
)
def test_a_file_that_is_half_a_method_is_refused(tmp_path, text, said):
    (tmp_path / "odd.py").write_text(text)
    use_method_file(tmp_path / "odd.py")
    sys.modules.pop("medsmith_method_file_odd", None)
    with pytest.raises(RequestError, match=re.escape(said)):
        method_class("odd")


def test_a_link_has_a_name_of_its_own(tmp_path):
    (tmp_path / "latent.py").write_text(TOY.read_text())
    (tmp_path / "linked.py").symlink_to("latent.py")
    use_method_file(tmp_path / "linked.py")
    assert method_class("linked").__name__ == "LatentPair"


@pytest.mark.skipif(os.pathsep != ":", reason="other systems separate paths otherwise")
def test_a_path_that_the_environment_cannot_hold_is_refused(tmp_path):
    (tmp_path / "a:b").mkdir()
    (tmp_path / "a:b" / "mine.py").write_text("")
    with pytest.raises(RequestError, match="its path has a ':'; MEDSMITH_METHOD_FILES separates files by it; move it"):
        use_method_file(tmp_path / "a:b" / "mine.py")
