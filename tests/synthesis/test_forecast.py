"""What a synthesis would make and take, before it: the cost of one case, and nothing written."""

import shutil
from dataclasses import replace

import pytest

from medsmith.errors import CohortError, FileError, InterruptionError, RequestError, SynthesisError
from medsmith.synthesis import Shard, synthesize, synthesize_shards
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.forecast import Forecast, forecast, forecast_shards
from synthesis_fakes import case_seed, contents, in_process, write_run

pytestmark = pytest.mark.usefixtures("no_fsync")
CAP = Limits().missed_attempts


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", seconds=0.05)


def test_one_case_is_timed_and_weighed_and_nothing_is_written(run, tmp_path):
    found = forecast(run, tmp_path / "out", count=40, workers=2, options=in_process())
    assert (found.there, found.missing, found.workers) == (0, 40, 2)
    assert not (tmp_path / "out").exists()
    synthesize(run, tmp_path / "one", count=1, options=in_process())
    kinds = ("imagesTr", "labelsTr", "provenance")
    assert found.bytes == sum(len(data) for name, data in contents(tmp_path / "one").items() if name.startswith(kinds))
    assert found.seconds >= 0.05
    assert found.memory > 2**20


@pytest.mark.usefixtures("unchecked_types")
def test_workers_without_a_batch_are_not_counted(run, tmp_path):
    found = forecast(run, tmp_path / "out", count=5, workers=4, options=in_process(batch=3))
    assert (found.missing, found.workers) == (5, 2)


def test_the_lines_add_up():
    found = Forecast("out", there=10, missing=60, workers=2, seconds=4.0, memory=2**30, bytes=2**20)
    assert found.lines == [
        "out: 60 cases to make, 10 there already; nothing was written",
        "time: 4 s a case (1 tried): about 2.0 min with 2 workers",
        "memory: 1.0 GiB in a worker, 2.0 GiB in all (without that of a GPU)",
        "disk: 1.0 MiB a case, 60.0 MiB in all",
    ]


def test_cases_and_shards_that_are_there_are_not_counted(run, tmp_path):
    synthesize(run, tmp_path / "out", count=3, options=in_process())
    before = contents(tmp_path)
    assert forecast(run, tmp_path / "out", count=5, options=in_process()).missing == 2
    chosen = replace(in_process(), shard_cases=2)
    synthesize_shards(run, tmp_path / "tars", count=4, options=chosen)
    (tmp_path / "tars" / "fake-000001.json").unlink()
    found = forecast_shards(run, tmp_path / "tars", count=9, options=chosen)
    assert (found.there, found.missing) == (2, 7)
    part = replace(chosen, shard=Shard(2, 2))
    assert forecast_shards(run, tmp_path / "tars", count=9, options=part).missing == 4
    shutil.rmtree(tmp_path / "tars")
    assert contents(tmp_path) == before


def test_what_the_call_would_refuse_is_refused(run, tmp_path):
    synthesize(run, tmp_path / "out", count=3, options=in_process())
    with pytest.raises(SynthesisError, match="another plan: seed is 0 there and 1 here"):
        forecast(run, tmp_path / "out", count=5, seed=1, options=in_process())
    with pytest.raises(CohortError, match="lies in or on"):
        forecast(run, run / "out", count=5, options=in_process())
    with pytest.raises(RequestError, match="unknown key 'brigthness'"):
        forecast(run, tmp_path / "new", count=5, request={"brigthness": 3}, options=in_process())
    with pytest.raises(RequestError, match="use fewer parts"):
        forecast_shards(run, tmp_path / "new", count=5, options=in_process(shard=Shard(2, 2)))


def test_what_is_in_the_place_of_the_folder_is_refused_as_by_the_call(run, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "log.txt").write_text("mine")
    (tmp_path / "images" / "imagesTr").mkdir(parents=True)
    for out, line in (
        ("file", r"file: cannot be made or written to \(File exists\); choose another folder"),
        ("file/below", r"file/below: cannot be made or written to \(Not a directory\); choose another folder"),
        ("log", r"log: holds something else \(no synthesis.json\)"),
        ("images", r"images: holds something else \(no synthesis.json\)"),
    ):
        for call in (forecast, synthesize):
            with pytest.raises((CohortError, FileError), match=line):
                call(run, tmp_path / out, count=2, options=in_process())
    for shards in (forecast_shards, synthesize_shards):
        with pytest.raises(CohortError, match=r"file: holds something else \(no shards.json\)"):
            shards(run, tmp_path / "file", count=2, options=in_process())
    assert (tmp_path / "log" / "log.txt").read_text() == "mine"


def test_a_case_that_is_never_as_requested_is_passed_over(tmp_path):
    """The first case misses in all its attempts, the second in none: the cost of one is a half of both."""
    run = write_run(tmp_path / "run", seconds=0.05, misses=[case_seed(0, number) for number in range(CAP)])
    for count, out in ((9, "out"), (2, "two")):
        found = forecast(run, tmp_path / out, count=count, options=in_process())
        assert (found.missing, found.tried) == (count, 2)
        assert found.seconds >= 0.05 * (CAP + 1) / 2
        assert "a case (2 tried)" in found.lines[1]
    shards = forecast_shards(run, tmp_path / "tars", count=9, options=replace(in_process(), shard_cases=2))
    assert (shards.missing, shards.tried) == (9, 2)


def test_errors_name_the_place_of_the_call_and_no_temporary_file(tmp_path, monkeypatch):
    empty, out = write_run(tmp_path / "empty", empty=1.0), tmp_path / "out"
    with pytest.raises(SynthesisError) as caught:
        forecast(empty, out, count=5, options=in_process(limits=Limits(attempts=3)))
    assert caught.value.line == (
        f"{out}: 1 of 1 case failed; fake_00000: the checks refused all 3 attempts, mask_not_empty most often (3); "
        "train longer; without --dry-run, rejected/ and failures/ show why"
    )
    misses = [case_seed(index, number) for index in range(5) for number in range(CAP)]
    missing = write_run(tmp_path / "missing", misses=misses)
    for count, tried in ((1, 1), (9, 5)):
        with pytest.raises(SynthesisError) as caught:
            forecast(missing, out, count=count, options=in_process())
        assert caught.value.line.startswith(
            f"{out}: 0 cases made, {tried} not made: lesions missed density in {tried * CAP}"
        )
    monkeypatch.setattr("medsmith.synthesis.forecast.synthesize", interrupted)
    with pytest.raises(InterruptionError, match=f"^{out}: interrupted; nothing was written$"):
        forecast(empty, out, count=5, options=in_process())


def interrupted(*_given, **_named):
    raise InterruptionError("/tmp/x", "interrupted with 0 of 1 case", cure="run the same command again to continue")
