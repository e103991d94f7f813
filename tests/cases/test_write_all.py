"""Cases written in batches: one sync for many, and nothing is listed that is not whole."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cohort_cases import make_case, new_cohort
from medsmith.cases.cohort import Cohort
from medsmith.cases.nnunet_folder import UNFINISHED
from medsmith.errors import CohortError, FileError
from medsmith.formats import atomic

IDS = [f"c{number:03d}" for number in range(150)]


def case_of(case_id):
    return make_case(case_id, seed=int(case_id[1:]), provenance={"seed": 1})


def markers(cohort):
    return {path.name.removesuffix(UNFINISHED) for path in (cohort.root / "provenance").glob(f"*{UNFINISHED}")}


def written(cohort):
    return {path.name.removesuffix("_0000.png") for path in (cohort.root / "imagesTr").glob("*_0000.png")}


@pytest.fixture
def syncs(monkeypatch):
    """What is synced, in order: a marker's folder, or many files at once."""
    found: list[object] = []
    monkeypatch.setattr(atomic, "_sync", lambda path: found.append(path.name))
    monkeypatch.setattr(atomic, "_sync_all", lambda paths: found.append([path.name for path in paths]))
    return found


def test_a_batch_has_six_syncs_and_the_bytes_of_single_writes(tmp_path, syncs):
    single, together = new_cohort(tmp_path / "single"), new_cohort(tmp_path / "together")
    for case_id in IDS:
        single.write(case_of(case_id))
    syncs.clear()
    together.write_all(IDS, case_of)
    one = ["provenance", "files", "imagesTr", "labelsTr", "files", "provenance"]
    assert [each if isinstance(each, str) else "files" for each in syncs] == one * 3
    assert [len(each) for each in syncs if isinstance(each, list)] == [128, 64, 128, 64, 44, 22]
    assert together.ids == single.ids
    assert together.content_hash() == single.content_hash()
    assert not markers(together)


def test_every_file_is_marked_until_it_is_synced(tmp_path, monkeypatch):
    cohort = new_cohort(tmp_path / "out")
    batches = []

    def look(paths):
        done = Cohort.open(cohort.root).ids
        assert written(cohort) == set(done)
        assert not set(done) & markers(cohort)
        assert all(path.name.startswith(".medsmith-") and path.stat().st_size for path in paths)
        batches.append((len(paths), len(done)))

    monkeypatch.setattr(atomic, "_sync", lambda _path: None)
    monkeypatch.setattr(atomic, "_sync_all", look)
    cohort.write_all(IDS, lambda case_id: replace(case_of(case_id), provenance=None))
    assert batches == [(128, 0), (128, 64), (44, 128)]


def test_slow_cases_are_synced_before_the_batch_is_full(tmp_path, monkeypatch, syncs):
    clock = iter(range(1000))
    monkeypatch.setattr("medsmith.cases.case_writer.time.monotonic", lambda: next(clock))
    new_cohort(tmp_path / "out").write_all(IDS[:6], case_of)
    assert [len(each) for each in syncs if isinstance(each, list)] == [6, 3, 6, 3]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, FileError("c070", "is damaged")])
def test_what_was_written_before_an_error_is_listed_and_the_rest_is_not(tmp_path, stop, syncs):
    cohort = new_cohort(tmp_path / "out")

    def until(case_id):
        if case_id == "c070":
            raise stop
        return case_of(case_id)

    with pytest.raises(stop if isinstance(stop, type) else type(stop)):
        cohort.write_all(IDS, until)
    assert Cohort.open(cohort.root).ids == tuple(IDS[:70])
    assert not markers(cohort)
    assert [len(each) for each in syncs if isinstance(each, list)] == [128, 64, 12, 6]


def test_a_killed_writer_leaves_no_half_case_and_the_same_call_completes(tmp_path):
    cohort = new_cohort(tmp_path / "out")
    here = Path(__file__).parent
    code = (
        "import os, sys; sys.path += sys.argv[1:3]; import test_write_all as t\n"
        "from medsmith.cases.cohort import Cohort; from cohort_cases import new_cohort\n"
        "def kill(i): return os._exit(9) if i == 'c100' else t.case_of(i)\n"
        "new_cohort(t.Path(sys.argv[3])).write_all(t.IDS, kill)"
    )
    folders = [str(here), str(here.parent / "support"), str(cohort.root)]
    assert subprocess.run([sys.executable, "-c", code, *folders], check=False).returncode == 9
    found = Cohort.open(cohort.root)
    assert len(found) <= 100
    assert set(found.ids) == written(cohort) >= set(IDS[:64])
    assert markers(cohort) == set(IDS[64:128]) - set(found.ids)
    again = new_cohort(cohort.root)
    again.write_all([case_id for case_id in IDS if case_id not in again], case_of)
    again.finish()
    whole = new_cohort(tmp_path / "whole")
    whole.write_all(IDS, case_of)
    assert again.content_hash() == whole.content_hash()


def test_a_failed_sync_is_one_line_and_leaves_no_file(tmp_path, monkeypatch):
    cohort = new_cohort(tmp_path / "out")

    def full(_paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_sync_all", full)
    with pytest.raises(FileError, match=r"cannot be written \(No space left on device"):
        cohort.write_all(IDS[:3], case_of)
    assert not [path for path in cohort.root.rglob("*") if path.name.startswith(".medsmith-")]
    assert not written(cohort)
    assert not Cohort.open(cohort.root).ids


def test_both_ways_of_syncing_take_files(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    atomic._sync_all([tmp_path / "a", tmp_path / "b"])
    synced = []
    monkeypatch.setattr(atomic, "_syncfs", None)
    monkeypatch.setattr(atomic, "_sync", lambda path: synced.append(path.name))
    atomic._sync_all([tmp_path / "a", tmp_path / "b"])
    assert synced == ["a", "b"]


def test_a_cohort_for_reading_is_not_written_to(tmp_path):
    cohort = new_cohort(tmp_path / "out")
    cohort.write(case_of("c001"))
    with pytest.raises(CohortError, match="was opened for reading"):
        Cohort.open(cohort.root).write_all(["c002"], case_of)
