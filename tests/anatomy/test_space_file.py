"""Shape spaces on disk: whole or refused in one line."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from safetensors.numpy import load, save

from medsmith.anatomy import ShapeSpace
from medsmith.errors import FileError


@pytest.fixture
def path(space, tmp_path):
    space.save(tmp_path / "space.safetensors")
    return tmp_path / "space.safetensors"


def test_a_space_is_read_as_it_was_written(space, path):
    loaded = ShapeSpace.load(path)
    assert loaded.record == space.record
    assert loaded.content_hash == space.content_hash
    for seed in range(3):
        one, other = space.sample(seed, (64, 64)), loaded.sample(seed, (64, 64))
        assert one.regions.tobytes() == other.regions.tobytes()


def test_fitting_again_gives_the_same_bytes(organs, space):
    assert ShapeSpace.fit(organs, points=16).content_hash == space.content_hash


def test_saving_again_changes_nothing_and_nothing_else_is_overwritten(space, path, tmp_path):
    before = path.read_bytes()
    space.save(path)
    assert path.read_bytes() == before
    with pytest.raises(FileError, match="holds another shape space; choose another file"):
        space.with_gray_values({"organ": (9,)}).save(path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match=r"notes.txt: exists and is no shape space; choose another file"):
        space.save(tmp_path / "notes.txt")
    with pytest.raises(FileError, match="exists and is no shape space"):
        space.save(tmp_path)
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["notes.txt", "space.safetensors"]


def test_two_at_once_give_one_whole_file(space, tmp_path):
    path, start = tmp_path / "space.safetensors", threading.Barrier(6)
    spaces = [space, space.with_gray_values({"organ": (9,)})] * 3

    def save_together(one):
        start.wait()
        with suppress(FileError):  # the other was first
            one.save(path)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(save_together, spaces))
    assert ShapeSpace.load(path).content_hash in {one.content_hash for one in spaces}
    assert list(tmp_path.iterdir()) == [path]


def test_a_cut_file_is_refused(path):
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(FileError, match="is no shape space"):
        ShapeSpace.load(path)


@pytest.mark.parametrize("content", [b"", b"x", b"\x00" * 64, b"{}"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(FileError, match=r"s: (is no shape space|empty)"):
        ShapeSpace.load(tmp_path / "s")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileError, match="gone: does not exist"):
        ShapeSpace.load(tmp_path / "gone")


def rewritten(path, arrays=None, **changes):
    """The file with other arrays or other entries of its record."""
    length = int.from_bytes(path.read_bytes()[:8], "little")
    said = json.loads(path.read_bytes()[8 : 8 + length])["__metadata__"]["shape_space"]
    record = {**json.loads(said), **changes}
    path.write_bytes(save({**load(path.read_bytes()), **(arrays or {})}, {"shape_space": json.dumps(record)}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"points": 4}, "points = 4; must be greater than or equal to 8"),
        ({"points": 513}, "points = 513; must be less than or equal to 512"),
        ({"gray_values": {"organ": [1e300], "vessel": [1]}}, r"gray_values.organ.0 = 1e\+300; must be less than or eq"),
        ({"extent_mm": [1e300, 1]}, r"extent_mm.0 = 1e\+300; must be less than or equal to 10000"),
        ({"extent_mm": [400, 1e-300]}, r"extent_mm.1 = 1e-300; must be greater than or equal to 1"),
        ({"size": [10**9, 1]}, "size.0 = 1000000000; must be less than or equal to 65536"),
        ({"cases": 10**30}, "cases = 10+; must be less than or equal to 1000000000"),
        ({"patterns": [{"slots": [0], "slices": 10**400}]}, "patterns.0.slices = "),
        ({"cohort": "\ud800"}, r"its record is not JSON \(a text holds \\ud800, half of a character\)"),
        ({"label_names": {"background": 0, "organ": 1, "\udfff": 2}}, r"a text holds \\udfff, half of a character"),
        ({"variance": float("nan")}, r"its record is not JSON \(variance = NaN is no number of JSON\)"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"slots": []}, r"slots = \[\]"),
        ({"patterns": [{"slots": [5], "slices": 1}]}, "a pattern names no slot"),
        ({"context_names": {"body": 1}}, "do not give each class a value of its own"),
        ({"context_names": {"organ": 3}}, "do not give each class|a class is both label and context"),
        ({"gray_values": {"liver": [1]}}, "gray_values names no class"),
        ({"label_names": {"organ": 1}}, "do not give each class a value of its own"),
        ({"explained": [0.5]}, "components is "),
        ({"gray_values": {"organ": [1.0, 2.0], "vessel": [1.0]}}, "the same number of channels"),
    ],
)
def test_a_record_that_is_not_consistent_is_refused(path, changes, said):
    rewritten(path, **changes)
    with pytest.raises(FileError, match=said) as refused:
        ShapeSpace.load(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"mean": np.zeros((2, 16, 3))}, r"mean is \(2, 16, 3\) float64; needed \(2, 16, 2\) float64"),
        ({"mean": np.full((2, 16, 2), np.nan)}, "mean has numbers that are not finite"),
        ({"mean": np.full((2, 16, 2), 1e300)}, r"mean has numbers up to 1e\+300; at most 10; restore it, or fit"),
        ({"excess": np.full((2, 2), -1e300)}, r"excess has numbers up to 1e\+300; at most 10"),
        ({"low": np.zeros((2, 2), np.float32)}, "needed .* float64"),
        ({"more": np.zeros(3)}, "holds .*more"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(path, arrays, said):
    rewritten(path, arrays)
    with pytest.raises(FileError, match=said):
        ShapeSpace.load(path)


def test_safetensors_of_something_else_are_refused(path):
    path.write_bytes(save({"mean": np.zeros(3)}))
    with pytest.raises(FileError, match=r"is no shape space \(safetensors without its record\); name another file"):
        ShapeSpace.load(path)
