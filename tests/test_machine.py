"""What is stored beside a result: no folder of this machine, and enough to run it again."""

import platform
import re
from importlib import metadata

import pytest

from medsmith import machine
from medsmith.machine import facts, processor


def test_the_command_has_no_folders_of_this_machine():
    found = facts(["/home/someone/bench.py", "/data/private/work", "relative/work", "--count", "4", "two words"])
    assert found["command"] == "python bench.py work relative/work --count 4 'two words'"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
    assert f"torch {metadata.version('torch')}" in found["versions"]
    assert found["versions"].startswith(f"Python {platform.python_version()}, ")


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
