"""What is handed out: a wheel that works by itself, a source archive that builds it, one version everywhere."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest

import medsmith
from medsmith import Cohort

ROOT = Path(__file__).parents[1]
MOST_MB = 40
"""The limit on all tensors that ship in the wheel."""


def run(*arguments: str | Path, cwd: Path) -> str:
    """Standard output of a command that sees nothing of this checkout."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(arguments, cwd=cwd, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(kind: str, source: Path, out: Path) -> Path:
    run(sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", out, source, cwd=out)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel, and this environment's libraries behind it."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    programs = home / "bin"
    site = Path(
        run(programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip()
    )
    # A plain line adds the folder alone: what its own .pth files add, the editable checkout, stays out.
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "libraries.pth").write_text("\n".join(sorted(libraries)))
    pip = (sys.executable, "-m", "pip", "--python", programs / "python")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=home)
    return programs


def test_one_version_everywhere() -> None:
    said = run(sys.executable, "-m", "medsmith", "--version", cwd=ROOT)
    assert said == f"medsmith {medsmith.__version__}\n"
    assert metadata.version("medsmith") == medsmith.__version__


def test_the_change_log_opens_with_what_is_next_or_with_this_version() -> None:
    heading = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading is not None
    assert heading[1] in {"Unreleased", medsmith.__version__}


def test_the_wheel_holds_what_the_code_reads(wheel: Path) -> None:
    listed = {name for name in ZipFile(wheel).namelist() if name.startswith("medsmith/")}
    sources = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "medsmith").rglob("*") if path.is_file()}
    assert listed == {name for name in sources if "__pycache__" not in name}
    suffixes = {"weights.safetensors", "memory.safetensors", "minilm.safetensors", "page.html", "py.typed"}
    assert suffixes <= {Path(name).name for name in listed}


def test_shipped_tensors_are_small(wheel: Path) -> None:
    sizes = [entry.file_size for entry in ZipFile(wheel).infolist() if entry.filename.endswith(".safetensors")]
    assert len(sizes) >= 3
    assert sum(sizes) <= MOST_MB * 1e6


def test_the_archive_holds_tests_and_docs_and_builds_the_same_wheel(archive: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    for name in ("tests/conftest.py", "tests/test_distribution.py", "docs/architecture.md", "docs/report.schema.json"):
        assert (source / name).is_file()
    (tmp_path / "out").mkdir()
    assert build("wheel", source, tmp_path / "out").read_bytes() == wheel.read_bytes()


def test_the_installed_wheel_works_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import medsmith; print(medsmith.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    command = installed / "medsmith"
    assert run(command, "--version", cwd=tmp_path) == f"medsmith {medsmith.__version__}\n"
    assert run(command, "report", "schema", cwd=tmp_path) == (ROOT / "docs" / "report.schema.json").read_text()
    run(command, "phantom", "breast", "phantoms", "--count", "2", "--size", "32", cwd=tmp_path)
    assert len(Cohort.open(tmp_path / "phantoms")) == 2
    few = ("--count", "1", "--seed", "0", "--steps", "4", "--workers", "1")
    run(command, "synthesize", "pig", "made", *few, cwd=tmp_path)
    (made,) = Cohort.open(tmp_path / "made")
    assert made.require_labels().any()
