"""What a synthesis would make and take, before it: the cost of one case, and nothing written."""

import shutil
from dataclasses import replace

import pytest

from medsmith.errors import CohortError, RequestError, SynthesisError
from medsmith.synthesis import Shard, synthesize, synthesize_shards
from medsmith.synthesis.forecast import Forecast, forecast, forecast_shards
from synthesis_fakes import contents, in_process, write_run

pytestmark = pytest.mark.usefixtures("no_fsync")


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


def test_the_lines_add_up():
    found = Forecast("out", there=10, missing=60, workers=2, seconds=4.0, memory=2**30, bytes=2**20)
    assert found.lines == [
        "out: 60 cases to make, 10 there already; nothing was written",
        "time: 4 s for the one case that was tried: about 2.0 min with 2 workers",
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
