"""What is stored beside a result: no folder of this machine, and enough to run it again."""

import platform
import re
import subprocess
import sys
from importlib import metadata, util

import pytest
import torch

from medsmith import machine
from medsmith.machine import facts, processor, torch_without_gpu, versions


def test_the_command_has_no_folders_of_this_machine():
    found = facts(["/home/someone/bench.py", "/data/private/work", "relative/work", "--count", "4", "two words"])
    assert found["command"] == "python bench.py work relative/work --count 4 'two words'"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
    assert f"torch {metadata.version('torch')}" in found["versions"]
    assert found["versions"].startswith(f"Python {platform.python_version()}, ")


@pytest.mark.parametrize("program", ["/site/medsmith/__main__.py", "/somewhere/bin/medsmith"])
def test_the_command_of_medsmith_can_be_typed_again(program):
    assert facts([program, "bench", "pig", "/data/out"])["command"] == "medsmith bench pig out"


@pytest.mark.parametrize(
    ("text", "expected"), [("a : 1\nmodel name\t: Some CPU: v2\n", "Some CPU: v2"), ("a : 1\n", platform.machine())]
)
def test_the_processor_has_its_name_where_the_system_tells_it(tmp_path, monkeypatch, text, expected):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(machine, "_PROCESSORS", tmp_path / "cpuinfo")
    assert processor() == expected


def test_the_processor_has_its_kind_where_there_is_no_such_file(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_PROCESSORS", tmp_path / "missing")
    assert processor() == platform.machine()


def test_the_build_of_pytorch_is_what_pytorch_says():
    assert torch_without_gpu() == (torch.version.cuda is None and torch.version.hip is None)


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("from typing import Optional\ncuda: Optional[str] = None\nhip: Optional[str] = None\n", True),
        ("cuda = None\n", True),
        ("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", False),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.4'\n", False),
        ("__version__ = '2.13.0+cpu'\n", False),
        (None, False),
    ],
)
def test_the_build_is_read_from_the_file_of_its_version(text, without, tmp_path, monkeypatch):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise RuntimeError('is not to be imported')\n")
    if text is not None:
        (tmp_path / "torch" / "version.py").write_text(text)
    found = util.spec_from_file_location("torch", tmp_path / "torch" / "__init__.py")
    monkeypatch.setattr(util, "find_spec", lambda name: found if name == "torch" else None)
    assert torch_without_gpu() == without


def test_versions_and_build_are_told_without_importing_pytorch():
    script = (
        "import sys; from medsmith.machine import torch_without_gpu, versions; print(versions()); torch_without_gpu();"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [versions(), "False"]
