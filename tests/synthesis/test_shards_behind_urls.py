"""Tar shards behind a URL, by fsspec's file system in memory: the bytes of those in a folder, resumed, repaired."""

import errno
import io
from dataclasses import replace

import fsspec
import pytest

from medsmith.errors import FileError, RequestError
from medsmith.formats.storage import Storage
from medsmith.synthesis import synthesize, synthesize_shards, unpack
from synthesis_fakes import contents, in_process, write_run

pytestmark = pytest.mark.usefixtures("no_fsync")
COUNT, SHARD = 7, 3


def make(folder, location):
    return synthesize_shards(folder / "run", location, count=COUNT, options=replace(in_process(), shard_cases=SHARD))


@pytest.fixture
def place(tmp_path):
    """A URL that holds all shards, its file system, and the path there."""
    write_run(tmp_path / "run")
    location = f"memory://{tmp_path.name}/tars"
    summary = make(tmp_path, location)
    assert (summary.shards, summary.count, summary.made) == (3, COUNT, 3)
    return location, fsspec.filesystem("memory"), f"/{tmp_path.name}/tars"


def files_at(files, path):
    return {name.rpartition("/")[2]: files.cat_file(name) for name in files.ls(path, detail=False)}


def test_shards_in_memory_have_the_bytes_of_those_in_a_folder_and_unpack_to_the_plain_cohort(place, tmp_path):
    location, files, path = place
    make(tmp_path, tmp_path / "tars")
    found, in_folder = files_at(files, path), contents(tmp_path / "tars")
    assert found.keys() == in_folder.keys()
    assert {name for name in found if found[name] != in_folder[name]} == {"shards.json"}  # it has an absolute path
    synthesize(tmp_path / "run", tmp_path / "plain", count=COUNT, options=in_process())
    unpack(location, tmp_path / "out")
    plain = contents(tmp_path / "plain").items()
    assert contents(tmp_path / "out") == {name: data for name, data in plain if not name.startswith("rejected")}


def test_whole_shards_are_left_and_torn_ones_made_again(place, tmp_path):
    location, files, path = place
    whole = files_at(files, path)
    assert make(tmp_path, location).made == 0
    files.pipe_file(f"{path}/fake-000001.tar", whole["fake-000001.tar"][:-512])
    files.rm_file(f"{path}/fake-000002.json")
    untouched = files.modified(f"{path}/fake-000000.tar")
    assert make(tmp_path, location).made == 2
    assert files_at(files, path) == whole
    assert files.modified(f"{path}/fake-000000.tar") == untouched


def test_an_upload_that_breaks_off_leaves_no_manifest_and_the_next_call_makes_that_shard(place, tmp_path, monkeypatch):
    location, files, path = place
    whole = files_at(files, path)
    for name in ("fake-000001.tar", "fake-000001.json"):
        files.rm_file(f"{path}/{name}")

    def broken(file, data):
        if file.path.endswith("fake-000001.tar") and file.tell() > 1000:
            raise ConnectionResetError(errno.ECONNRESET, "reset by the store")
        return io.BytesIO.write(file, data)

    with files.open(f"{path}/any", "wb") as file:
        kind = type(file)
    files.rm_file(f"{path}/any")
    monkeypatch.setattr(kind, "write", broken, raising=False)
    with pytest.raises(FileError) as caught:
        make(tmp_path, location)
    assert caught.value.line == (
        f"{location}/fake-000001.tar: cannot be written (reset by the store); check the place and your access to it"
    )
    monkeypatch.undo()
    left = files_at(files, path)
    assert "fake-000001.json" not in left
    others = {name: data for name, data in whole.items() if not name.startswith("fake-000001")}
    assert {name: left[name] for name in others} == others
    assert make(tmp_path, location).made == 1
    assert files_at(files, path) == whole


def test_a_file_system_that_is_not_installed_is_named_with_its_extra():
    with pytest.raises(
        RequestError, match=r"s3://b/x: the package for s3:// is not installed; install the extra s3: pip"
    ):
        Storage.at("s3://b/x")
    with pytest.raises(RequestError, match=r"cannot be used \(Protocol not known: nowhere\)"):
        Storage.at("nowhere://b")
