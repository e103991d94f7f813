"""The options of synthesis at scale reach the functions that do the work."""

import json

import pytest

from medsmith.cli import main
from medsmith.synthesis import Shard, forecast, synthesize, synthesize_shards
from medsmith.synthesis.tar_shards import making
from medsmith.synthesis.tar_shards.call import ShardsSummary
from synthesis_fakes import contents, in_process, write_run

pytestmark = pytest.mark.usefixtures("no_fsync")


def succeed(words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0


@pytest.fixture
def called(monkeypatch):
    calls = []

    def record(run, place, **asked):
        calls.append((run, place, asked))
        return ShardsSummary(str(place), 2, 250, 1, 300, {"mask_not_empty": 50})

    monkeypatch.setattr(making, "synthesize_shards", record)
    return calls


def test_shards_are_asked_for_with_all_options(called, capsys):
    words = ["synthesize", "pig", "memory://a/tars", "--count", "250", "--format", "shards", "--shard-cases", "200"]
    succeed([*words, "--shard", "2/2", "--seed", "3", "--workers", "1"])
    ((run, place, asked),) = called
    assert (run, place, asked["count"], asked["seed"], asked["workers"]) == ("pig", "memory://a/tars", 250, 3, 1)
    assert (asked["options"].shard_cases, asked["options"].shard) == (200, Shard(2, 2))
    assert capsys.readouterr().out == (
        "memory://a/tars: 2 shards with 250 cases (50 images refused: mask_not_empty 50); "
        "next: medsmith unpack memory://a/tars OUT\n"
    )


def test_unpack_writes_the_cohort_under_the_name_that_nnunet_wants(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    synthesize_shards(run, tmp_path / "tars", count=3, options=in_process())
    synthesize(run, tmp_path / "plain", count=3, options=in_process())
    succeed(["unpack", str(tmp_path / "tars"), str(tmp_path / "Fake"), "--dataset-id", "7", "--json"])
    assert json.loads(capsys.readouterr().out)["cases"] == 3
    unpacked = contents(tmp_path / "Dataset007_Fake")
    assert {name: contents(tmp_path / "plain")[name] for name in unpacked} == unpacked


def test_a_dry_run_only_says_what_would_be_made(tmp_path, monkeypatch, capsys):
    asked = []

    def told(run, place, **options):
        asked.append((run, str(place), options["count"]))
        return forecast.Forecast(str(place), 0, options["count"], 1, 6.0, 2**20, 1024)

    monkeypatch.setattr(forecast, "forecast", told)
    succeed(["synthesize", "pig", str(tmp_path / "out"), "--count", "20", "--dry-run"])
    assert asked == [("pig", str(tmp_path / "out"), 20)]
    out = capsys.readouterr().out
    assert "20 cases to make, 0 there already; nothing was written" in out
    assert "about 2.0 min with 1 worker\n" in out
    assert not (tmp_path / "out").exists()
