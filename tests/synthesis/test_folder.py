"""Synthesis of a folder: bytes independent of the workers, resumed plans, regenerated cases."""

import json
import os
import shutil
import tracemalloc
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from cohort_copies import write_copies
from medsmith.cases.cohort import Cohort
from medsmith.diffusion import Sampling
from medsmith.errors import CohortError, FileError, RequestError, SynthesisError
from medsmith.formats.atomic import sha256_of
from medsmith.formats.lock import LOCK, hold_output
from medsmith.progress import unlimited
from medsmith.synthesis import regenerate, synthesize
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.folder import discard, finish
from medsmith.synthesis.tasks import CaseIds, CohortSpec
from medsmith.synthesis.worker import open_cohort
from narrowing import present
from synthesis_fakes import FakeMethod, FakeRequest, contents, fingerprint, in_process, options, write_run

COUNT = 8


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A cohort made in this process, one case after the other."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_run(folder / "run")
    summary = synthesize(folder / "run", folder / "out", count=COUNT, workers=1, options=in_process())
    return folder, summary


@pytest.fixture
def copied(undisturbed, tmp_path):
    shutil.copytree(undisturbed[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_cohort_has_exactly_the_requested_number_of_cases(undisturbed):
    folder, summary = undisturbed
    out = folder / "out"
    cohort = Cohort.open(out)
    assert cohort.ids == tuple(f"fake_{index:05d}" for index in range(COUNT))
    assert json.loads((out / "dataset.json").read_text())["numTraining"] == COUNT
    kinds = {path.split("/")[0] for path in contents(out)}
    assert kinds == {"dataset.json", "synthesis.json", "imagesTr", "labelsTr", "provenance", "rejected"}
    records = [present(case.provenance) for case in cohort]
    assert summary.made == summary.count == COUNT
    assert summary.attempts == sum(record["attempt"] + 1 for record in records) > COUNT
    assert summary.refused["mask_not_empty"] == summary.attempts - COUNT
    assert f"{COUNT} cases ({summary.attempts - COUNT} images refused: foreground_share" in summary.line
    for record in records:
        assert record["files"] == {name: sha256_of(out / name) for name in record["files"]}
        assert len(record["files"]) == 2


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_the_number_of_workers_changes_no_byte(undisturbed, tmp_path, workers):
    synthesize(undisturbed[0] / "run", tmp_path / "out", count=COUNT, workers=workers, options=options())
    ours, theirs = contents(tmp_path / "out"), contents(undisturbed[0] / "out")
    assert ours.keys() == theirs.keys()
    # Only the plan holds the path of the run, relative to the folder.
    assert [name for name in ours if ours[name] != theirs[name]] == ["synthesis.json"]


@pytest.mark.usefixtures("unlisted_folders")
def test_closing_lists_the_folder_as_often_for_many_cases_as_for_few(copied, monkeypatch):
    listings, scandir, counts = [], os.scandir, []

    def counted(path="."):
        listings.append(Path(path).name)
        return scandir(path)

    made = Cohort.open(copied / "out")
    spec = CohortSpec(channel_names=made.channel_names, label_names=made.label_names, file_ending=made.file_ending)
    monkeypatch.setattr(os, "scandir", counted)
    monkeypatch.setattr(os, "listdir", _refuses)
    for count in (COUNT, 5 * COUNT):
        with suppress(SynthesisError):  # 32 of them "have disappeared"
            finish(open_cohort(copied / "out", spec), CaseIds("fake", range(count)), {})
        counts.append(Counter(listings))
        listings.clear()
    assert counts[0] == counts[1] == {"out": 1, "imagesTr": 2, "labelsTr": 2, "provenance": 2, "reports": 1}


@pytest.mark.usefixtures("unlisted_folders")
def test_the_memory_of_closing_does_not_grow_with_the_number_of_cases(tmp_path):
    spec = CohortSpec(channel_names=("gray",), label_names={"background": 0, "lesion": 1}, file_ending=".png")
    peaks = {}
    for count in (20, 220):
        ids = CaseIds("fake", range(count))
        cohort = open_cohort(tmp_path / str(count), spec)
        write_copies(cohort, ids)
        finish(cohort, ids, {})  # what is kept after the first case
        tracemalloc.start()
        finish(open_cohort(cohort.root, spec), ids, {})
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert json.loads((cohort.root / "dataset.json").read_text())["numTraining"] == count
    # Lists of all cases took 320 bytes a case. Python itself keeps some freed tuples.
    assert peaks[220] < peaks[20] + 200 * 200


@pytest.mark.parametrize(
    "name", ["imagesTr/fake_00008_0000.png", "imagesTr/fake_00001_0001.png", "imagesTr/other.png", "labelsTr/other.png"]
)
def test_a_file_of_no_case_of_the_synthesis_is_named(copied, name):
    (copied / "out" / name).write_bytes(b"x")
    with pytest.raises(CohortError, match=f"1 file of no complete case: {Path(name).name}; whole cases"):
        synthesize(copied / "run", copied / "out", count=COUNT, workers=1, options=in_process())


def test_discarding_what_is_missing_searches_no_folder(copied, monkeypatch):
    cohort = Cohort.open(copied / "out")
    missing = [f"fake_{index:05d}" for index in range(COUNT, 50 * COUNT)]
    (copied / "out" / "imagesTr" / f"{missing[3]}_0000.png").touch()
    monkeypatch.setattr(Path, "glob", _refuses)
    discard(cohort, missing)
    assert sorted(path.stem for path in (copied / "out" / "imagesTr").iterdir()) == [f"{id}_0000" for id in cohort.ids]


def test_a_larger_count_adds_cases_and_leaves_the_others(undisturbed, tmp_path):
    folder, out = tmp_path, tmp_path / "out"
    shutil.copytree(undisturbed[0] / "run", folder / "run")
    synthesize(folder / "run", out, count=3, workers=1, options=in_process())
    before = {path: path.stat().st_mtime_ns for path in (out / "imagesTr").iterdir()}
    summary = synthesize(folder / "run", out, count=COUNT, workers=2, options=in_process())
    assert (summary.made, summary.count) == (COUNT - 3, COUNT)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert contents(out) == contents(undisturbed[0] / "out")


def test_leftovers_of_a_kill_are_repaired(undisturbed, copied):
    out = copied / "out"
    (out / "provenance" / "fake_00001.json").unlink()  # killed before the last file of the case
    (out / "provenance" / "fake_00001.unfinished").touch()
    (out / "labelsTr" / "fake_00002.png").unlink()
    (out / "imagesTr" / ".medsmith-0123456789abcdef.png").write_bytes(b"half")
    (out / LOCK).touch()
    summary = synthesize(copied / "run", out, count=COUNT, workers=2, options=in_process())
    assert summary.made == 2
    assert contents(out) == contents(undisturbed[0] / "out")


def test_another_plan_is_refused(copied):
    out, before = copied / "out", contents(copied / "out")
    with pytest.raises(SynthesisError, match=r"synthesis.json: another plan: seed is 0 there and 1 here"):
        synthesize(copied / "run", out, count=COUNT, seed=1, workers=1, options=in_process())
    assert contents(out) == before


def test_a_request_that_the_method_refuses_leaves_nothing(tmp_path):
    run = write_run(tmp_path / "run")
    (tmp_path / "request.json").write_text('{"brigthness": 3}')
    with pytest.raises(RequestError, match=r"unknown key 'brigthness'; nearest: brightness"):
        synthesize(run, tmp_path / "out", count=2, request=tmp_path / "request.json", options=in_process())
    assert not (tmp_path / "out").exists()


def test_a_request_refused_by_the_method_itself_stops_at_once(tmp_path):
    run = write_run(tmp_path / "run")
    with pytest.raises(RequestError, match=r"brightness: 5000\.0; at most 1000"):
        synthesize(run, tmp_path / "out", count=2, request={"brightness": 5000}, workers=1, options=options())
    assert not (tmp_path / "out").exists()


def test_a_failed_request_does_not_block_a_corrected_one(tmp_path, monkeypatch):
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    out.mkdir()
    with pytest.raises(RequestError, match="at most 1000"):
        synthesize(run, out, count=2, request={"brightness": 5000}, workers=1, options=in_process())
    assert not list(out.iterdir())
    synthesize(run, out, count=2, request={"brightness": 5}, workers=1, options=in_process())
    before = contents(out)
    monkeypatch.setattr(FakeMethod, "synthesize", _refuses)
    with pytest.raises(RequestError, match="today: not possible"):
        synthesize(run, out, count=3, request={"brightness": 5}, workers=1, options=in_process())
    assert contents(out).keys() == before.keys()


def _refuses(*_, **__):
    raise RequestError("today", "not possible")


@pytest.mark.parametrize(
    ("name", "number", "limit"),
    [
        ("count", 0, "1 to 10000000"),
        ("count", -3, "1 to 10000000"),
        ("count", 10**12, "1 to 10000000"),
        ("workers", 0, "1 to 1024"),
        ("workers", 5000, "1 to 1024"),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path, name, number, limit):
    with pytest.raises(RequestError, match=rf"{name}: {number}; {limit}; choose another number"):
        synthesize(tmp_path, tmp_path / "out", **({"count": 1} | {name: number}))


def test_a_run_that_cannot_be_loaded_is_named(tmp_path):
    run = write_run(tmp_path / "run", unloadable=True)
    with pytest.raises(SynthesisError, match=r"cannot be loaded \(ZeroDivisionError: a bug in loading\)"):
        synthesize(run, tmp_path / "out", count=2, workers=1, options=options())


def test_a_method_that_never_passes_the_checks_stops_early(tmp_path):
    run = write_run(tmp_path / "run", empty=1.0)
    limits = Limits(attempts=6)
    with pytest.raises(SynthesisError) as caught:
        synthesize(run, tmp_path / "out", count=50, workers=1, options=in_process(limits=limits))
    assert "fake_00000: the checks refused all 6 attempts, mask_not_empty most often (6)" in caught.value.line
    assert "1 of 50 cases failed; 49 were not tried" in caught.value.line
    assert "failures/" not in caught.value.line
    assert not list((tmp_path / "out" / "imagesTr").glob("*"))


@pytest.mark.parametrize("content", ["notes.txt", "dataset.json"])
def test_cases_are_never_mixed_with_others(tmp_path, content):
    out = tmp_path / "out"
    out.mkdir()
    if content == "dataset.json":
        _real_cohort(out)
    else:
        (out / content).write_text("mine")
    before = contents(out)
    with pytest.raises(CohortError, match=r"holds something else \(no synthesis.json\)"):
        synthesize(write_run(tmp_path / "run"), out, count=2, options=in_process())
    assert contents(out) == before


def _real_case():
    return replace(FakeMethod({}).synthesize(FakeRequest(), 1, Sampling(solver="ddim", steps=1)), id="real_1")


def _real_cohort(folder):
    facts = fingerprint()
    real = Cohort.create(folder, channel_names=facts.channel_names, label_names=facts.label_names, file_ending=".png")
    real.write(_real_case())
    real.finish()
    return folder


def test_a_second_coordinator_is_refused_before_it_starts_anything(copied, monkeypatch):
    monkeypatch.setattr("medsmith.synthesis.executors.processes.WorkerProcess", None)
    with hold_output(copied / "out"), pytest.raises(CohortError, match="another process is writing here"):
        synthesize(copied / "run", copied / "out", count=COUNT, options=options())


@pytest.mark.parametrize("where", [in_process, pytest.param(options, marks=pytest.mark.slow)])
def test_a_case_is_made_again(where, copied):
    before = contents(copied / "out")
    names = regenerate(copied / "out", "fake_00003", options=where())
    assert names == ("imagesTr/fake_00003_0000.png", "labelsTr/fake_00003.png", "provenance/fake_00003.json")
    assert contents(copied / "out") == before


def test_regeneration_shows_its_attempts(copied):
    steps, totals = [], []

    class Recorder:
        @contextmanager
        def task(self, name, total, _done=0, _limit=unlimited):
            totals.append((name, total))
            yield lambda count, _note: steps.append(count)

    for id in Cohort.open(copied / "out").ids:
        taken = json.loads((copied / "out" / "provenance" / f"{id}.json").read_text())["attempt"] + 1
        steps.clear()
        assert regenerate(copied / "out", id, options=in_process(), progress=Recorder())
        assert totals[-1] == ("regenerate", taken)
        assert sum(steps) == taken
    assert max(total for _, total in totals) > 1


def test_a_tampered_file_is_named(copied):
    out = copied / "out"
    other = (out / "labelsTr" / "fake_00004.png").read_bytes()
    (out / "labelsTr" / "fake_00003.png").write_bytes(other)
    with pytest.raises(SynthesisError, match=r"labelsTr/fake_00003.png: is not what its provenance makes"):
        regenerate(out, "fake_00003", options=in_process())


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (
            "case_seed",
            "7",
            r"provenance/fake_00003.json: differs from the record of the case made again: case_seed is \"7\" there",
        ),
        ("run_seed", 7, r"imagesTr/fake_00003_0000.png: is not what its provenance makes"),
        ("weights_hash", "f" * 64, r"run: did not make fake_00003: weights_hash is .*--run"),
    ],
)
def test_tampered_provenance_is_named(copied, key, value, words):
    path = copied / "out" / "provenance" / "fake_00003.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {key: value}))
    with pytest.raises(SynthesisError, match=words):
        regenerate(copied / "out", "fake_00003", options=in_process())


def test_only_synthetic_cases_are_made_again(copied):
    with pytest.raises(FileError, match="only synthetic cases can be made again"):
        regenerate(copied / "out", "fake_00077", options=in_process())
    path = copied / "out" / "provenance" / "fake_00003.json"
    record = json.loads(path.read_text())
    for changed, words in (
        ({"index": "3"}, "index = 3; must be a whole number; restore it"),
        ({"attempt": "x"}, "attempt = x; must be a whole number; restore it"),
        ({"steps": -1}, "fake_00003.json: steps = -1; must be greater than or equal to"),
    ):
        path.write_text(json.dumps(record | changed))
        with pytest.raises(FileError, match=words):
            regenerate(copied / "out", "fake_00003", options=in_process())
    path.write_text(json.dumps({key: value for key, value in record.items() if key != "limits"}))
    with pytest.raises(FileError, match=r"fake_00003.json: 'limits' is missing; restore it"):
        regenerate(copied / "out", "fake_00003", options=in_process())
    path.write_text("{}")
    with pytest.raises(FileError, match="was not written by synthesize"):
        regenerate(copied / "out", "fake_00003", options=in_process())


@pytest.mark.parametrize("text", ["{}", '{"refused": 3, "attempt": 0}', '{"refused": {}, "attempt": "x"}'])
def test_a_damaged_provenance_file_is_one_line(copied, text):
    path = copied / "out" / "provenance" / "fake_00003.json"
    path.write_text(text)
    with pytest.raises(FileError, match=r"fake_00003.json: is damaged; remove it; the same command makes the case"):
        synthesize(copied / "run", copied / "out", count=COUNT, workers=1, options=in_process())
    path.unlink()
    assert synthesize(copied / "run", copied / "out", count=COUNT, workers=1, options=in_process()).made == 1


@pytest.fixture
def moved(tmp_path):
    """The same files under two paths, and a cohort synthesized from each."""
    write_run(tmp_path / "run")
    for name in ("one", "other/deeper"):
        place = _real_cohort(tmp_path / name)
        synthesize(tmp_path / "run", tmp_path / f"out-{place.name}", count=2, workers=1, request={"like": str(place)},
                   options=in_process())  # fmt: skip
    return tmp_path


def test_where_the_files_of_a_request_lie_changes_no_byte_of_a_case(moved):
    one, other = (contents(moved / name) for name in ("out-one", "out-deeper"))
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == ["synthesis.json"]
    record = json.loads(one["provenance/fake_00001.json"])
    assert (record["request"], list(record["inputs"])) == ({"brightness": 0.0}, ["like"])
    assert json.loads(other["synthesis.json"])["paths"] == {"like": "../other/deeper"}


def test_a_case_is_made_again_from_files_that_have_moved(moved):
    out = moved / "out-one"
    assert regenerate(out, "fake_00001", options=in_process())
    (moved / "one").rename(moved / "elsewhere")
    with pytest.raises(
        FileError, match=r"one: does not exist; .* with the hash \w{16}; name what has moved: --input like=PATH$"
    ):
        regenerate(out, "fake_00001", options=in_process())
    assert regenerate(out, "fake_00001", inputs={"like": moved / "elsewhere"}, options=in_process())
    assert regenerate(out, "fake_00001", inputs={"like": moved / "other" / "deeper"}, options=in_process())


def test_other_files_than_those_of_the_case_are_refused(moved):
    changed = _real_cohort(moved / "changed")
    next((changed / "imagesTr").iterdir()).write_bytes(next((moved / "one" / "labelsTr").iterdir()).read_bytes())
    words = (
        r"changed: fake_00000 was not made from it: its hash is \w{16}; \w{16} in the provenance; .*--input like=PATH"
    )
    with pytest.raises(SynthesisError, match=words):
        regenerate(moved / "out-one", "fake_00000", inputs={"like": changed}, options=in_process())
    with pytest.raises(RequestError, match=r"--input: 'lik' is no input of this case; its inputs: like"):
        regenerate(moved / "out-one", "fake_00000", inputs={"lik": changed}, options=in_process())
    asked = {"like": str(changed)}
    with pytest.raises(SynthesisError, match=r"synthesis.json: another plan: inputs.like is "):
        synthesize(moved / "run", moved / "out-one", count=2, request=asked, workers=1, options=in_process())
