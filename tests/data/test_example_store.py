"""Prepared examples on disk: what goes in comes out, whatever kills the writer, and memory does not grow."""

import json
import subprocess
import sys
import textwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.data.example_store import COMPLETE, INDEX, ExampleStore, ExampleView, build_store, remove_other_stores
from medsmith.errors import FileError

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.uint8, torch.int8, torch.int64, torch.bool)


def nothing(_steps, _note):
    pass


def example(number):
    rng = torch.Generator().manual_seed(number)
    tensors = {
        "image": torch.randn((2, 3, 4), generator=rng),
        "words": torch.randn((5,), generator=rng).half(),
        "flag": torch.tensor(number % 2 == 0),
        "empty": torch.zeros((0, 3)),
    }
    if number % 3:
        tensors["mask"] = torch.randint(-1, 2, (1, 3, 4), generator=rng, dtype=torch.int8)
    return tensors


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert torch.equal(found[name], tensor)


def kinds(number):
    return ["image", "labels"] if number % 3 else ["image"]


def make(id):
    number = int(id)
    return kinds(number), example(number)


def test_what_goes_in_comes_out(tmp_path):
    ids = [str(number) for number in range(40)]
    store = build_store(tmp_path / "store", ids, make, nothing)
    assert len(store) == 40
    assert [entry.id for entry in store.entries] == ids
    for number in range(40):
        same(store[number], example(number))
        assert list(store.entries[number].kinds) == kinds(number)
    same(ExampleStore(tmp_path / "store")[7], example(7))
    assert [len(each) for each in store[38:]] == [len(example(38)), len(example(39))]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=4), st.sampled_from(DTYPES))
def test_any_shape_and_dtype_survives(tmp_path_factory, shape, dtype):
    tensor = (torch.arange(torch.Size(shape).numel()) % 2).reshape(shape).to(dtype)
    folder = tmp_path_factory.mktemp("store") / "s"
    same(build_store(folder, ["a"], lambda _: ((), {"x": tensor}), nothing)[0], {"x": tensor})


def test_a_view_has_the_tensors_that_all_of_its_examples_have(tmp_path):
    store = build_store(tmp_path / "store", [str(n) for n in range(9)], make, nothing)
    mixed = ExampleView(store, [0, 1, 2])
    assert set(mixed[0]) == set(mixed[1]) == {"image", "words", "flag", "empty"}
    whole = ExampleView(store, [1, 2, 4], without=frozenset(("words",)))
    assert set(whole[2]) == {"image", "mask", "flag", "empty"}
    assert (whole.ids, len(whole)) == (["1", "2", "4"], 3)


def test_a_complete_store_is_not_made_again(tmp_path):
    build_store(tmp_path / "store", ["1", "2"], make, nothing)
    again = build_store(tmp_path / "store", ["1", "2"], lambda _: pytest.fail("made again"), nothing)
    same(again[1], example(2))


@pytest.mark.parametrize("name", ["image.bin", INDEX, COMPLETE])
@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_store_is_written_anew(name, cut, tmp_path):
    folder = tmp_path / "store"
    build_store(folder, ["1", "2"], make, nothing)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    data = before[name]
    (folder / name).write_bytes(data[: len(data) // 2] if cut else data[:5] + bytes([data[5] ^ 0x80]) + data[6:])
    build_store(folder, ["1", "2"], make, nothing)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("after", [1, 31, 32, 33, 70])
def test_a_build_that_stopped_goes_on_and_ends_in_the_same_bytes(after, tmp_path):
    ids = [str(number) for number in range(80)]
    made: list[str] = []

    def dies(id):
        if len(made) == after:
            raise KeyboardInterrupt
        made.append(id)
        return make(id)

    with pytest.raises(KeyboardInterrupt):
        build_store(tmp_path / "store", ids, dies, nothing)
    assert not (tmp_path / "store" / COMPLETE).exists()
    again: list[str] = []

    def counted(id):
        again.append(id)
        return make(id)

    store = build_store(tmp_path / "store", ids, counted, nothing)
    assert len(again) == 80 - after // 32 * 32
    calm = build_store(tmp_path / "calm", ids, make, nothing)
    for number in range(80):
        same(store[number], calm[number])
    for path in (tmp_path / "calm").iterdir():
        assert (tmp_path / "store" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("torn", [b'{"id": "31", "kin', b"\n", b"\x00\x00"])
def test_a_torn_index_and_bytes_beyond_it_are_cut_off(torn, tmp_path):
    folder = tmp_path / "store"
    build_store(folder, [str(number) for number in range(5)], make, nothing)
    (folder / COMPLETE).unlink()
    with (folder / INDEX).open("ab") as file:
        file.write(torn)
    with (folder / "image.bin").open("ab") as file:
        file.write(b"half a tensor")
    store = build_store(folder, [str(number) for number in range(8)], make, nothing)
    assert len(store) == 8
    for number in range(8):
        same(store[number], example(number))


def test_a_full_disk_is_one_line(tmp_path):
    code = f"""
        import resource, sys
        sys.path[:0] = {sys.path!r}
        import torch
        from medsmith.data.example_store import build_store
        from medsmith.errors import FileError
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        from pathlib import Path
        try:
            build_store(Path({str(tmp_path / "s")!r}), map(str, range(100)), lambda _: ((), {{"x": torch.ones(4096)}}),
                        lambda *_: None)
        except FileError as error:
            print(error.line)
    """
    said = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert said.stdout == (f"{tmp_path}/s: cannot be written (File too large); free or choose another disk\n")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        FileError, match=r"file/store: cannot be written \(Not a directory\); part of its path is a file"
    ):
        build_store(tmp_path / "file" / "store", ["1"], make, nothing)


def test_stores_that_are_out_of_date_go_and_others_stay(tmp_path):
    for name in ("prepared-a", "prepared-b", "mask-a"):
        build_store(tmp_path / name, ["1"], make, nothing)
    remove_other_stores(tmp_path, ["prepared-b"], "prepared-")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask-a", "prepared-b"]


def test_reading_every_example_does_not_hold_them(tmp_path):
    """64 MiB of examples, read twice: the resident set grows by a few of them."""
    code = f"""
        import sys, resource
        sys.path[:0] = {sys.path!r}
        import torch
        from pathlib import Path
        from medsmith.data.example_store import build_store
        store = build_store(Path({str(tmp_path / "s")!r}), map(str, range(64)),
                            lambda _: ((), {{"x": torch.ones(256, 1024)}}), lambda *_: None)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        total = sum(float(store[n]["x"].sum()) for _ in range(2) for n in range(64))
        print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    said = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    total, grown = said.stdout.split()
    assert float(total) == 2 * 64 * 256 * 1024
    assert int(grown) < 8 * 1024  # KiB


def test_an_index_is_json_lines(tmp_path):
    build_store(tmp_path / "s", ["1"], make, nothing)
    (line,) = (tmp_path / "s" / INDEX).read_text().splitlines()
    facts = json.loads(line)
    assert facts["id"] == "1"
    assert facts["tensors"]["image"] == [0, "float32", [2, 3, 4]]


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "image.bin").unlink(),
        lambda folder: (folder / "image.bin").write_bytes(b"short"),
        lambda folder: (folder / INDEX).write_text((folder / INDEX).read_text().replace("float32", "load")),
        lambda folder: (folder / INDEX).write_text('{"id": "0", "kinds": [], "tensors": [1]}\n'),
    ],
)
def test_an_incomplete_store_that_lacks_what_its_index_names_is_written_anew(tmp_path, harm):
    """Otherwise the bytes of one example would be taken for those of another."""
    ids = [str(number) for number in range(40)]

    def fail(id):
        if id == "35":
            raise KeyboardInterrupt
        return make(id)

    with pytest.raises(KeyboardInterrupt):
        build_store(tmp_path / "store", ids, fail, nothing)
    assert len(ExampleStore(tmp_path / "store")) == 32
    harm(tmp_path / "store")
    store = build_store(tmp_path / "store", ids, make, nothing)
    for number in range(40):
        same(store[number], example(number))
