import errno
import json
import os
import signal
import subprocess
import sys
import time
from types import MappingProxyType

import pytest

from medsmith.cases.cohort import Cohort
from medsmith.errors import FileError
from medsmith.formats.atomic import (
    is_free,
    remove_temporary_files,
    remove_temporary_files_below,
    replacing,
    sha256_of,
    temporary_name,
    write_bytes,
    write_json,
)
from medsmith.formats.json_file import read_json


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_json_is_sorted_indented_and_ends_with_a_newline(tmp_path):
    path = tmp_path / "new" / "x.json"
    write_json(path, {"b": MappingProxyType({"ä": 1}), "a": (1, 2)})
    assert path.read_text() == '{\n  "a": [\n    1,\n    2\n  ],\n  "b": {\n    "ä": 1\n  }\n}\n'
    assert read_json(path) == {"a": [1, 2], "b": {"ä": 1}}


def test_json_without_a_form_is_a_programming_error(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    with pytest.raises(TypeError, match="set has no JSON form"):
        write_json(tmp_path / "x.json", {"a": {1}})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "a": 2}', "key 'a' is given twice"),
        ('{"a": ', "not JSON"),
        ("[1]", "holds a JSON list"),
        ("[" * 100_000, "not JSON"),
        ('{"a": ' + "[" * 500 + "]" * 500 + "}", "nested more than 100 deep"),
        ("\udcff", "not JSON"),
        ('{"a": NaN}', "a = NaN is no number of JSON"),
        ("NaN", "value = NaN is no number of JSON"),
        ('{"b": {"c": 1}, "a": [0, -Infinity, NaN]}', "a.1 = -Infinity is no number of JSON"),
        (r'{"a": "\uD800b"}', r"a text holds \\ud800, half of a character"),
        (r'{"\udfff": 1}', r"a text holds \\udfff, half of a character"),
    ],
)
def test_bad_json_is_one_line(text, words, tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FileError, match=words):
        read_json(path)


def test_whole_surrogate_pairs_are_characters(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(r'{"a": "\ud83d\ude00"}')
    assert read_json(path) == {"a": "\U0001f600"}


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "x.nii.gz"
    write_bytes(path, b"old")

    def write_half():
        with replacing(path) as temporary:
            assert temporary.parent == path.parent
            assert temporary.name.endswith(".nii.gz")
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == [path.name]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_one_line_and_keeps_the_old_file(call, tmp_path, monkeypatch):
    path = tmp_path / "x"
    write_bytes(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    owner = os if call == "fsync" else type(path)
    monkeypatch.setattr(owner, call, full)
    with pytest.raises(FileError, match="No space left on device"):
        write_bytes(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["x"]


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(FileError, match="cannot be written"):
        write_bytes(tmp_path / "x" / "y", b"")


def test_the_mode_is_that_of_any_new_file(tmp_path):
    write_bytes(tmp_path / "x", b"")
    (tmp_path / "y").write_bytes(b"")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "y").stat().st_mode


def test_a_killed_writer_leaves_the_old_file_or_the_new_one(tmp_path):
    """SIGKILL at 12 moments of a loop that rewrites a file: it is always whole, leftovers can be swept."""
    code = (
        "import sys, pathlib; from medsmith.formats.atomic import write_bytes\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "while True:\n"
        "  for n in range(250): write_bytes(path, bytes([n]) * 50_000)\n"
    )
    path = tmp_path / "x"
    for moment in range(12):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)])
        deadline = time.monotonic() + 120
        first = path.stat().st_ino if path.exists() else 0
        while (not path.exists() or path.stat().st_ino == first) and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(0.003 * moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        data = path.read_bytes()
        assert len(data) == 50_000
        assert len(set(data)) == 1
    remove_temporary_files(tmp_path)
    assert names_in(tmp_path) == ["x"]


def test_leftovers_alone_are_removed(tmp_path):
    (tmp_path / ".medsmith-00ff00ff00ff00ff.png").write_bytes(b"half")
    (tmp_path / "kept.png").write_bytes(b"whole")
    for name in (".medsmith-notes", ".medsmith-00ff.png", ".medsmith.lock"):
        (tmp_path / name).write_bytes(b"of a user")
    assert remove_temporary_files(tmp_path) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".medsmith-00ff.png", ".medsmith-notes", ".medsmith.lock", "kept.png",
    ]  # fmt: skip


def test_leftovers_below_a_folder_are_removed_and_links_not_followed(tmp_path):
    left = [tmp_path / folder / temporary_name(".json") for folder in ("out", "out/a/b", "else")]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "else")
    remove_temporary_files_below(tmp_path / "out")
    remove_temporary_files_below(tmp_path / "missing")
    assert [path.exists() for path in left] == [False, False, True]


def test_a_killed_writers_first_file_blocks_no_new_folder(tmp_path):
    out = tmp_path / "out"
    assert is_free(out)
    out.mkdir()
    (out / ".medsmith-00ff00ff00ff00ff.json").write_text("{")
    assert is_free(out)
    names = {"background": 0}
    cohort = Cohort.create(out, channel_names=("gray",), label_names=names, file_ending=".png")
    assert cohort.ids == ()
    assert not is_free(out)
    assert not is_free(out / "dataset.json")


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_json_numbers_survive(tmp_path):
    write_json(tmp_path / "x.json", {"x": 0.1, "y": 2**53})
    assert json.loads((tmp_path / "x.json").read_text()) == {"x": 0.1, "y": 2**53}


def test_json_takes_no_name_that_is_no_text(tmp_path):
    with pytest.raises(FileError) as refusal:
        write_json(tmp_path / "x.json", {"a": 1, "b": "caf\udce9.png"})
    said = 'was to name "b": "caf\\udce9, which is no UTF-8; rename that file or folder'
    assert refusal.value.line == f"{tmp_path / 'x.json'}: {said}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "free or choose another disk"),
        (errno.EDQUOT, "free or choose another disk"),
        (errno.EIO, "free or choose another disk"),
        (errno.ENOENT, "its folder was removed meanwhile: restore it, or begin in a new one"),
        (errno.EEXIST, "a file has the name of its folder: choose another folder"),
        (errno.EACCES, "choose a folder that you may write to"),
        (errno.EROFS, "choose a folder that you may write to"),
    ],
)
def test_the_cure_fits_the_reason(tmp_path, number, cure, monkeypatch):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(FileError) as refusal:
        write_bytes(tmp_path / "x", b"x")
    assert refusal.value.line == f"{tmp_path / 'x'}: cannot be written ({os.strerror(number)}); {cure}"
    assert not list(tmp_path.iterdir())
