"""Cases as tar shards: WebDataset's layout, the same bytes for any workers, resumed, unpacked to the plain cohort."""

import errno
import hashlib
import io
import json
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from medsmith.cases.cohort import Cohort
from medsmith.cli import main
from medsmith.errors import CohortError, FileError, InterruptionError, RequestError, SynthesisError
from medsmith.synthesis import Shard, synthesize, synthesize_shards, unpack
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.tar_shards.packing import pack
from narrowing import present
from synthesis_fakes import contents, in_process, options, write_run

pytestmark = pytest.mark.usefixtures("no_fsync")
COUNT, SHARD = 7, 3
NAMES = {"shards.json", *(f"fake-00000{number}.{kind}" for number in range(3) for kind in ("json", "tar"))}


def make(folder, place="tars", count=COUNT, part=None, **changes):
    chosen = replace(in_process(shard=part and Shard.parse(part), **changes), shard_cases=SHARD)
    location = place if "://" in str(place) else folder / place
    return synthesize_shards(folder / "run", location, count=count, options=chosen)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run, its cases as shards, and the same as a cohort."""
    folder = tmp_path_factory.mktemp("made")
    write_run(folder / "run")
    make(folder)
    synthesize(folder / "run", folder / "plain", count=COUNT, options=in_process())
    return folder


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def plain(folder):
    return {name: data for name, data in contents(folder / "plain").items() if not name.startswith("rejected")}


def rewritten(folder, members):
    """The second shard with other members, and a manifest that vouches for them."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    (folder / "tars" / "fake-000001.tar").write_bytes(data.getvalue())
    path = folder / "tars" / "fake-000001.json"
    manifest = json.loads(path.read_text())
    manifest |= {"bytes": len(data.getvalue()), "sha256": hashlib.sha256(data.getvalue()).hexdigest()}
    path.write_text(json.dumps(manifest))


def members_of(folder):
    with tarfile.open(folder / "tars" / "fake-000001.tar") as archive:
        return [(member, present(archive.extractfile(member)).read()) for member in archive]


def test_a_shard_has_the_layout_of_webdataset_and_fixed_headers(made):
    assert set(contents(made / "tars")) == NAMES
    members = members_of(made)
    stored = contents(made / "plain")
    assert [member.name for member, _ in members] == [
        f"fake_0000{index}.{kind}" for index in (3, 4, 5) for kind in ("image_0000.png", "label.png", "json")
    ]
    for member, data in members:
        assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o644)
        assert data in stored.values()
    manifest = json.loads((made / "tars" / "fake-000001.json").read_text())
    archive = (made / "tars" / "fake-000001.tar").read_bytes()
    assert manifest["cases"] == ["fake_00003", "fake_00004", "fake_00005"]
    assert (manifest["bytes"], manifest["sha256"]) == (len(archive), hashlib.sha256(archive).hexdigest())
    assert "Not for diagnosis" in manifest["notice"]


def test_unpacked_shards_are_the_plain_cohort(folder):
    cohort = unpack(folder / "tars", folder / "out")
    assert len(cohort) == COUNT
    assert contents(folder / "out") == plain(folder)
    before = {path: path.stat().st_mtime_ns for path in (folder / "out" / "imagesTr").iterdir()}
    unpack(folder / "tars", folder / "out")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_two_workers_and_parts_give_the_same_bytes(folder):
    chosen = replace(options(), shard_cases=SHARD)
    synthesize_shards(folder / "run", folder / "two", count=COUNT, workers=2, options=chosen)
    for part in ("2/2", "1/2"):
        make(folder, "parts", part=part)
    assert contents(folder / "two") == contents(folder / "parts") == contents(folder / "tars")
    assert not list((folder / "two").glob(".*"))


@pytest.mark.parametrize("tear", ["no manifest", "shorter", "of other cases", "no JSON"])
def test_a_torn_shard_is_made_again_and_valid_ones_are_left(folder, tear):
    archive, manifest = (folder / "tars" / f"fake-000001.{kind}" for kind in ("tar", "json"))
    whole = contents(folder / "tars")
    match tear:
        case "no manifest":
            manifest.unlink()
        case "shorter":
            archive.write_bytes(archive.read_bytes()[:-512])
        case "of other cases":
            manifest.write_text(manifest.read_text().replace("fake_00003", "fake_00008"))
        case "no JSON":
            manifest.write_text("{")
    other = folder / "tars" / "fake-000000.tar"
    before = other.stat().st_mtime_ns
    summary = make(folder)
    assert (summary.made, summary.shards, summary.count) == (1, 3, COUNT)
    assert contents(folder / "tars") == whole
    assert other.stat().st_mtime_ns == before


def test_a_killed_call_keeps_its_cases_and_continues(folder, monkeypatch):
    shutil.rmtree(folder / "tars")
    packed = []

    def dying(storage, index, number, *given):
        packed.append(number)
        if number == 1:
            raise KeyboardInterrupt
        pack(storage, index, number, *given)

    monkeypatch.setattr("medsmith.synthesis.tar_shards.call.pack", dying)
    with pytest.raises(InterruptionError, match=r"interrupted; finished shards are saved; run the same command again"):
        make(folder)
    assert packed == [0, 1]
    assert list((folder / "tars" / ".cases-1-of-1" / "provenance").glob("*.json"))
    monkeypatch.undo()
    assert make(folder).made == 2
    assert contents(folder / "tars") == contents_of_a_calm_call(folder)


def contents_of_a_calm_call(folder):
    make(folder, "calm")
    return contents(folder / "calm")


def test_a_larger_count_makes_the_last_shard_again(folder):
    shutil.rmtree(folder / "tars")
    make(folder, count=4)
    assert make(folder).made == 2
    assert contents(folder / "tars") == contents_of_a_calm_call(folder)
    with pytest.raises(
        SynthesisError, match=r"shards.json: another plan: count is 7 there and 4 here; a count can only"
    ):
        make(folder, count=4)


def test_another_recipe_and_another_size_of_shards_are_refused(folder):
    before = contents(folder / "tars")
    with pytest.raises(SynthesisError, match=r"another plan: plan.recipe.limits.attempts is 20 there and 9 here"):
        make(folder, limits=Limits(attempts=9))
    with pytest.raises(
        SynthesisError, match=r"another plan: shard_cases is 3 there and 2 here; one place has one recipe"
    ):
        synthesize_shards(folder / "run", folder / "tars", count=COUNT, options=replace(in_process(), shard_cases=2))
    assert contents(folder / "tars") == before


def test_what_is_no_place_for_shards_is_refused(folder):
    with pytest.raises(CohortError, match=r"holds something else \(no shards.json\); shards have a place of their own"):
        make(folder, "plain")
    with pytest.raises(CohortError, match="nothing is written into what is read"):
        make(folder, "run/tars")
    assert not (folder / "run" / "tars").exists()
    with pytest.raises(
        RequestError, match=r"--shard: 4/4 of 7 cases in shards of 3; at least one shard each; use fewer"
    ):
        make(folder, part="4/4")
    with pytest.raises(RequestError, match="--shard-cases: 1001; 1 to 1000"):
        synthesize_shards(folder / "run", folder / "x", count=9, options=replace(in_process(), shard_cases=1001))


def test_a_refused_request_does_not_block_a_corrected_one(folder):
    chosen = replace(in_process(), shard_cases=SHARD)
    (folder / "new").mkdir()
    for place in ("new", "newer"):
        with pytest.raises(RequestError, match=r"brightness: 5000.0; at most 1000"):
            synthesize_shards(folder / "run", folder / place, count=2, request={"brightness": 5000}, options=chosen)
        assert not (folder / "newer").exists()
        assert not list((folder / "new").iterdir())
    with pytest.raises(RequestError, match="unknown key 'brigthness'"):
        synthesize_shards(folder / "run", folder / "new", count=2, request={"brigthness": 3}, options=chosen)
    assert (
        synthesize_shards(folder / "run", folder / "new", count=2, request={"brightness": 5}, options=chosen).made == 1
    )
    with pytest.raises(SynthesisError, match=r"request.brightness is 5.0 there and 0.0 here"):
        make(folder, "new", count=2)


def test_cases_that_fail_are_named_and_their_pictures_kept(folder):
    write_run(folder / "run", empty=1.0)
    with pytest.raises(SynthesisError) as caught:
        make(folder, "failing", limits=Limits(attempts=4))
    assert "1 of 7 cases failed; 6 were not tried; fake_00000: the checks refused all 4 attempts" in caught.value.line
    assert f"see {folder}/failing/.cases-1-of-1/rejected/" in caught.value.line
    assert (folder / "failing" / ".cases-1-of-1" / "rejected" / "rejected.png").exists()


def test_a_call_that_made_no_case_does_not_block_the_next(folder):
    write_run(folder / "run", empty=1.0)
    for _ in range(2):
        with pytest.raises(SynthesisError, match="the checks refused all 4 attempts"):
            make(folder, "failing", limits=Limits(attempts=4))
        assert [path.name for path in (folder / "failing").iterdir()] == [".cases-1-of-1"]
        assert [path.name for path in (folder / "failing" / ".cases-1-of-1").iterdir()] == ["rejected"]
    write_run(folder / "run")
    make(folder, "failing")
    assert contents(folder / "failing") == contents(folder / "tars")
    assert not list((folder / "failing").glob(".*"))


@pytest.mark.parametrize("name", ["fake-000001.json", "fake-000002.tar"])
def test_a_missing_file_is_refused_before_anything_is_written(folder, name):
    (folder / "tars" / name).unlink()
    with pytest.raises(
        FileError, match=rf"{name}: does not exist; all 3 shards; run the command that makes the shards"
    ):
        unpack(folder / "tars", folder / "out")
    assert not (folder / "out").exists()


def test_a_changed_byte_is_refused(folder):
    path = folder / "tars" / "fake-000001.tar"
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        FileError, match=r"fake-000001.tar: has another hash than its manifest names; remove both and run"
    ):
        unpack(folder / "tars", folder / "out")
    assert not [path for path in contents(folder / "out") if "fake_00003" in path]


def test_a_full_disk_is_named_and_not_the_archive_that_is_read(folder, monkeypatch):
    true = Path.open

    def full(path, mode="r", *given, **named):
        if path.suffix == ".tar" and mode == "wb":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return true(path, mode, *given, **named)

    monkeypatch.setattr(Path, "open", full)
    line = (
        rf"{folder}/out/.medsmith-[0-9a-f]+.tar: cannot be written \(No space left on device\); free or choose another"
    )
    with pytest.raises(FileError, match=line):
        unpack(folder / "tars", folder / "out")
    monkeypatch.undo()
    unpack(folder / "tars", folder / "out")
    assert contents(folder / "out") == plain(folder)


HOSTILE = {
    "/etc/passwd": "'/etc/passwd' has an absolute path",
    "../fake_00003.json": "'../fake_00003.json' leads out of the folder",
    "fake_00003.json": "'fake_00003.json' is there twice",
    "fake_00001.json": "'fake_00001.json' is no file of its cases",
    "fake_00003.exe": "'fake_00003.exe' is no file of its cases",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_although_the_hash_is_right(folder, name):
    rewritten(folder, [*members_of(folder), (tarfile.TarInfo(name), b"{}")])
    with pytest.raises(FileError) as caught:
        unpack(folder / "tars", folder / "out")
    assert HOSTILE[name] in caught.value.line
    assert not [path for path in contents(folder / "out") if "fake_00003" in path]


@pytest.mark.parametrize(
    ("kind", "found"), [("SYMTYPE", "is a link"), ("LNKTYPE", "is a link"), ("FIFOTYPE", "is no plain file")]
)
def test_links_and_pipes_are_refused(folder, kind, found):
    member = tarfile.TarInfo("fake_00004.label.png")
    member.type, member.linkname = getattr(tarfile, kind), "/etc/passwd"
    rewritten(folder, [(member, b""), *members_of(folder)])
    with pytest.raises(FileError, match=rf"its member 'fake_00004.label.png' {found}; plain files of the cases"):
        unpack(folder / "tars", folder / "out")


def test_files_that_the_provenance_does_not_name_are_refused(folder):
    (image, data), *rest = members_of(folder)
    rewritten(folder, [(image, data[:-1] + b"x"), *rest])
    with pytest.raises(FileError, match="the files of fake_00003 are not those that its provenance names"):
        unpack(folder / "tars", folder / "out")
    rewritten(folder, [(image, data), *rest[:1], *rest[2:]])
    with pytest.raises(FileError, match="has no provenance of fake_00003; every case has one"):
        unpack(folder / "tars", folder / "out")


def test_a_case_without_image_and_label_map_is_refused_before_anything_is_written(folder):
    members = {member.name: (member, data) for member, data in members_of(folder)}
    kept = [pair for name, pair in members.items() if not name.startswith("fake_00004")]
    record, data = members["fake_00004.json"]
    rewritten(folder, [*kept, (record, json.dumps(json.loads(data) | {"files": {}}).encode())])
    with pytest.raises(FileError, match=r"fake-000001.tar: has neither image nor label map of fake_00004; every case"):
        unpack(folder / "tars", folder / "out")
    assert not [name for name in contents(folder / "out") for number in (3, 4, 5) if f"fake_{number:05d}" in name]


@pytest.mark.parametrize(
    ("attempts", "why"),
    [({}, ", since their lesions missed what was requested"), ({"diameter": 2}, ": lesions missed diameter in 14 att")],
)
def test_shards_of_which_no_case_was_made_are_refused_plainly(attempts, why, folder, capsys):
    for number in range(3):
        path = folder / "tars" / f"fake-{number:06d}.json"
        manifest = json.loads(path.read_text())
        forged = {"cases": [], "missed": {id: {"attempts": attempts, "closest": []} for id in manifest["cases"]}}
        path.write_text(json.dumps(manifest | forged))
    assert main(["unpack", str(folder / "tars"), str(folder / "out")]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{folder / 'tars'}: 0 cases made, {COUNT} not made{why}" in line
    assert not (folder / "out").exists() or not contents(folder / "out")


@pytest.mark.parametrize("end", [300, 530, 1300, 1600])
def test_an_archive_that_ends_early_is_refused_in_one_line(folder, end):
    """In a header, in the content of a member, or between members."""
    rewritten(folder, members_of(folder))
    path = folder / "tars" / "fake-000001.tar"
    data = path.read_bytes()[:end]
    path.write_bytes(data)
    manifest = json.loads((folder / "tars" / "fake-000001.json").read_text())
    manifest |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "tars" / "fake-000001.json").write_text(json.dumps(manifest))
    with pytest.raises(FileError, match=r"is no whole tar archive \(|has no provenance of"):
        unpack(folder / "tars", folder / "out")


@pytest.mark.parametrize("headers", [{"GNU.sparse.map": "a,b"}, {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}])
def test_malformed_headers_are_refused_in_one_line(folder, headers):
    member = tarfile.TarInfo("fake_00004.label.png")
    member.pax_headers = headers
    rewritten(folder, [*members_of(folder)[:4], (member, b"x")])
    with pytest.raises(FileError, match=r"fake-000001.tar: is no whole tar archive \("):
        unpack(folder / "tars", folder / "out")


@pytest.mark.parametrize("name", ["shards.json", "fake-000001.json", "fake-000001.tar"])
def test_a_pipe_in_place_of_a_file_is_refused(folder, name):
    path = folder / "tars" / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FileError, match=f"tars/{name}: a pipe or device, not a file"):
        unpack(folder / "tars", folder / "out")


def test_a_method_name_that_is_a_path_is_refused(folder):
    path = folder / "tars" / "shards.json"
    path.write_text(path.read_text().replace('"method": "fake"', '"method": "../fake"'))
    with pytest.raises(CohortError, match="is no portable file name"):
        unpack(folder / "tars", folder / "out")


def test_unpacking_refuses_a_cohort_of_others(folder):
    with pytest.raises(FileError, match=r"shards.json: does not exist"):
        unpack(folder / "plain", folder / "out")
    (folder / "other").mkdir()
    (folder / "other" / "notes.txt").write_text("mine")
    with pytest.raises(CohortError, match="holds something else"):
        unpack(folder / "tars", folder / "other")
    assert len(Cohort.open(folder / "plain")) == COUNT


def test_a_sparse_member_that_claims_more_than_it_has_is_refused_unread(folder):
    member = tarfile.TarInfo("fake_00004.label.png")
    member.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**60)}
    rewritten(folder, [*members_of(folder)[:4], (member, b"x")])
    with pytest.raises(FileError, match=r"its member 'fake_00004.label.png' is sparse; plain files of the cases"):
        unpack(folder / "tars", folder / "out")


def test_files_that_a_kill_left_half_written_are_removed_unless_another_part_writes(folder):
    whole = contents(folder / "tars")
    left, other = folder / "tars" / ".medsmith-0123456789abcdef", folder / "tars" / ".cases-2-of-2"
    left.touch()
    other.mkdir()
    make(folder)
    assert left.exists()
    other.rmdir()
    make(folder)
    assert {path.name for path in (folder / "tars").iterdir()} == {*whole, "log.txt"}


def test_half_written_pictures_of_a_killed_call_are_removed(folder):
    left = folder / "plain" / "rejected" / ".medsmith-0123456789abcdef.png"
    left.parent.mkdir(exist_ok=True)
    left.touch()
    synthesize(folder / "run", folder / "plain", count=COUNT, options=in_process())
    assert not left.exists()
