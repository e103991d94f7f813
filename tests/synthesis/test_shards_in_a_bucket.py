"""Tar shards in a bucket: a local server of S3's protocol (moto), where it and s3fs are installed."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from medsmith.synthesis import synthesize_shards, unpack
from synthesis_fakes import contents, in_process, write_run

server = pytest.importorskip("moto.server")
s3fs = pytest.importorskip("s3fs")
pytestmark = pytest.mark.usefixtures("no_fsync")
COUNT, SHARD = 20, 5
KILLED = """
import os, signal, sys
from dataclasses import replace
from medsmith.formats.storage import Storage
from medsmith.synthesis import synthesize_shards
from synthesis_fakes import in_process

move = Storage.write

def write(storage, name, data):
    if name == "fake-000001.json":
        storage.files.mv = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    move(storage, name, data)

Storage.write = write
synthesize_shards(sys.argv[1], sys.argv[2], count=20, options=replace(in_process(), shard_cases=5))
"""


@pytest.fixture
def bucket(monkeypatch):
    """Location in a bucket of a server on this machine, and its file system."""
    running = server.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    port = running.get_host_and_port()[1]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem()
    files.mkdir("cases")
    yield "s3://cases/tars", files
    running.stop()


def test_shards_in_a_bucket_survive_a_kill_and_have_the_bytes_of_those_in_a_folder(bucket, tmp_path):
    location, files = bucket
    write_run(tmp_path / "run")
    options = replace(in_process(), shard_cases=SHARD)
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "run", location], env=variables, check=False)
    assert ended.returncode == -9
    assert any(".medsmith-" in name for name in files.find("cases/tars"))
    summary = synthesize_shards(tmp_path / "run", location, count=COUNT, options=options)
    assert (summary.shards, summary.made) == (4, 3)
    synthesize_shards(tmp_path / "run", tmp_path / "tars", count=COUNT, options=options)
    found = {name.rpartition("/")[2]: files.cat_file(name) for name in files.find("cases/tars")}
    in_folder = contents(tmp_path / "tars")
    assert found.keys() == in_folder.keys()
    assert {name for name in found if found[name] != in_folder[name]} == {"shards.json"}  # it has an absolute path
    unpack(location, tmp_path / "from bucket")
    unpack(tmp_path / "tars", tmp_path / "from folder")
    assert contents(tmp_path / "from bucket") == contents(tmp_path / "from folder")
