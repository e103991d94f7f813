"""Budgets, and stages trained one by one."""

import json
import math
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import medsmith.training.all_stages
import medsmith.training.run
import medsmith.training.stage_loop
from medsmith.errors import RequestError, RunError
from medsmith.progress import unlimited
from medsmith.runs.checkpoints import SHIPPED, load_method, read_record
from medsmith.runs.steps import StageSteps, few_steps_warnings
from medsmith.training import Budget, train
from medsmith.training.budget import StageTime
from medsmith.training.outcome import Outcome
from run_state import reached, settings, state


def test_more_steps_continue_to_the_bytes_of_one_call(cohort, tmp_path):
    train("ddpm", cohort, tmp_path / "whole", settings=settings(), budget=Budget(steps=6))
    for steps in (2, 2, 5, 6, 3):
        train("ddpm", cohort, tmp_path / "parts", settings=settings(), budget=Budget(steps=steps))
    whole, parts = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert whole["checkpoints"] == parts["checkpoints"]
    assert whole["files"]["weights.safetensors"] == parts["files"]["weights.safetensors"]


def test_the_configs_steps_are_the_budget_unless_another_is_given(cohort, run):
    train("ddpm", cohort, run, settings=settings("ddpm", "training.steps=3"))
    assert reached(run) == {"stack": 3}


def test_minutes_end_training_and_count_over_calls(cohort, run):
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(minutes=0.04))
    first = reached(run)
    assert first.keys() == {"guider", "image"}
    assert all(0 < step < 2000 for step in first.values())
    assert (run / "README.md").is_file()
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(minutes=0.04))
    assert reached(run) == first
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {line["stage"]: line["step"] for line in lines} == first
    assert f"step-{first['image']:08d}.png" in {path.name for path in (run / "samples").iterdir()}


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"steps": -1}, {"minutes": 0}, {"minutes": math.nan}, {"elapsed_minutes": 0}]
)
def test_a_budget_of_nothing_is_refused(wrong):
    with pytest.raises(RequestError, match=r"max-(steps|minutes): "):
        Budget(**wrong)


def test_stages_can_be_trained_one_by_one(cohort, tmp_path):
    run, whole = tmp_path / "run", tmp_path / "whole"
    with pytest.raises(RunError) as refusal:
        train("pig", cohort, run, settings=settings("pig"), budget=Budget(steps=2, stage="image"))
    assert refusal.value.line == f"{run}: stage 'guider' is not trained; train it first: --stage guider"
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(steps=2, stage="guider"))
    with pytest.raises(RunError, match="no finished weights; run the same train command again"):
        load_method(run)
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(steps=2, stage="image"))
    train("pig", cohort, whole, settings=settings("pig"), budget=Budget(steps=2))
    assert state(run) == state(whole)


def test_the_command_says_what_is_left_to_train(cohort, run, capsys):
    from medsmith.cli import main

    lines = [f"--set={line}" for line in settings("pig")]
    output = {}
    for stage in ("guider", "image"):
        with pytest.raises(SystemExit) as ended:
            main(["train", "pig", str(cohort.root), "--run", str(run), "--max-steps=2", f"--stage={stage}", *lines])
        assert ended.value.code == 0
        output[stage] = capsys.readouterr().out
    stopped = "stopped by --max-steps; the same command with a larger --max-steps continues"
    assert output["guider"].splitlines()[0].startswith("pig, preset tiny, on cpu")
    assert output["guider"].splitlines()[1:] == [
        f"{run}: stage 'guider' is saved; next: the same command with another stage, or without --stage",
        f"{run}: 2 of 2000 steps of 'guider', {stopped}",
    ]
    assert output["image"].splitlines()[1:] == [
        f"{run}: weights saved; next: medsmith synthesize {run} OUT --count 100",
        f"{run}: 2 of 2000 steps of 'image', {stopped}",
    ]


def test_the_command_says_how_far_it_came_as_json(cohort, run, capsys):
    from medsmith.cli import main

    words = ["train", "ddpm", str(cohort.root), "--run", str(run), "--max-steps=2"]
    words += [f"--set={line}" for line in settings("ddpm")]
    for options in (["--json"], ["--quiet"]):
        with pytest.raises(SystemExit) as ended:
            main([*words, *options])
        assert ended.value.code == 0
        out, err = capsys.readouterr()
        if "--json" in options:
            steps = {"stack": {"done": 2, "configured": 2000}}
            assert json.loads(out) == {"run": str(run), "usable": True, "steps": steps}
            assert "ddpm, preset tiny, on cpu" in err
        else:
            assert [line.split(";")[0] for line in out.splitlines()] == [
                f"{run}: weights saved",
                f"{run}: 2 of 2000 steps of 'stack', stopped by --max-steps",
            ]
            assert err == ""


def test_the_end_of_a_call_counts_all_that_it_does():
    budget = Budget(elapsed_minutes=10)
    assert budget.timed
    assert budget.end_of_call(100.0, 60.0) == 100 + 600 - 60
    assert math.isinf(Budget(minutes=10).end_of_call(100.0, 60.0))
    assert budget.end_of_stage([300.0, 100.0], [0.0, 0.0], now=200.0, end=600.0) == 200 + 300
    assert budget.end_of_stage([300.0, 100.0], [60.0, 0.0], now=260.0, end=600.0) == pytest.approx(
        260 + 400 * 0.75 - 60
    )
    assert budget.end_of_stage([100.0, 100.0], [90.0, 0.0], now=0.0, end=10.0) == 0  # it has had its share
    assert budget.end_of_stage([100.0], [0.0], now=700.0, end=600.0) == 700
    assert math.isinf(Budget().end_of_stage([1.0, 1.0], [0.0, 0.0], now=0.0, end=math.inf))
    alone = Budget(elapsed_minutes=10, stage="b")
    assert alone.end_of_stage([300.0, 100.0], [0.0, 0.0], now=200.0, end=600.0) == 600


def test_the_time_of_a_stage_ends_with_the_first_of_its_limits():
    time = StageTime(allowed=50.0, started=200.0, end=300.0)
    assert (time.left(20.0, 230.0), time.left(20.0, 290.0)) == (30.0, 10.0)
    assert [time.share_elapsed(now) for now in (200.0, 225.0, 300.0, 400.0)] == [0.0, 0.25, 1.0, 1.0]
    assert StageTime(50.0, 200.0, math.inf).share_elapsed(1e9) == 0
    assert StageTime(50.0, 200.0, 200.0).share_elapsed(200.0) == 1


@pytest.mark.parametrize("budget", [Budget(elapsed_minutes=1), Budget(minutes=1)])
def test_a_call_ends_in_time_with_its_reading(budget, cohort, run, monkeypatch):
    """A clock by which reading and preparing take 40 s, and everything else half a second per look at it."""
    clock = [1000.0]

    def monotonic():
        clock[0] += 0.5
        return clock[0]

    class Slow:
        @contextmanager
        def task(self, name, _total, _done=0, _limit=unlimited):
            clock[0] += 20 * (name in ("read", "prepare"))
            yield lambda _steps, _note: None

    for module in (medsmith.training.run, medsmith.training.all_stages, medsmith.training.stage_loop):
        monkeypatch.setattr(module, "monotonic", monotonic)
    monkeypatch.setattr(medsmith.training.stage_loop, "write_previews", lambda *_: None)
    train("ddpm", cohort, run, settings=settings(), budget=budget, progress=Slow())
    spent = clock[0] - 1000
    assert spent == pytest.approx(60, abs=6) if budget.elapsed_minutes else spent > 100
    assert 0 < reached(run)["stack"] < 2000


def test_previews_take_no_steps_from_the_last_stage_of_a_short_call(cohort, run, monkeypatch):
    """A clock by which every look takes a tenth of a second, and a preview 6 s."""
    clock, drawn = [0.0], []

    def monotonic():
        clock[0] += 0.1
        return clock[0]

    def preview(_method, _path, step):
        clock[0] += 6
        drawn.append(step)

    for module in (medsmith.training.run, medsmith.training.all_stages, medsmith.training.stage_loop):
        monkeypatch.setattr(module, "monotonic", monotonic)
    monkeypatch.setattr(medsmith.training.stage_loop, "write_previews", preview)
    monkeypatch.setattr(
        medsmith.training.all_stages, "_expected_seconds", lambda _record, _method, stages, _: [1.0] * len(stages)
    )
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(elapsed_minutes=1))
    steps = reached(run)
    assert drawn == [steps["image"]]
    assert steps["image"] == pytest.approx(steps["guider"], abs=3)
    assert steps["image"] > 20
    assert clock[0] < 60 + 6 + 2


def test_a_stage_has_as_many_previews_as_its_time_allows():
    assert [StageTime(1e9, 100.0, end).previews for end in (100.0, 399.0, 400.0, math.inf)] == [1, 1, 4, 4]


def test_the_command_counts_from_its_beginning(cohort, run, monkeypatch):
    """What was spent before the training began, such as loading libraries, counts."""
    for module in (medsmith.training.run, medsmith.training.all_stages, medsmith.training.stage_loop):
        monkeypatch.setattr(module, "monotonic", lambda: 1000.0)
    train("ddpm", cohort, run, settings=settings(), budget=Budget(steps=3, elapsed_minutes=1, started=930.0))
    assert not list(run.glob("checkpoints/*/step*"))
    train("ddpm", cohort, run, settings=settings(), budget=Budget(steps=3, elapsed_minutes=1, started=950.0))
    assert reached(run) == {"stack": 3}


def lines_of(cohort, run, method="ddpm", *more, **budget):
    """What is said at the end, after what is trained and what it will take."""
    lines: list[str] = []
    train(method, cohort, run, settings=settings(method, *more), budget=Budget(**budget), report=lines.append)
    return [line for line in lines if line.startswith(str(run))]


def test_the_last_line_names_the_limit_that_ended_training(cohort, run):
    lines = lines_of(cohort, run, minutes=0.01)
    done = reached(run)["stack"]
    assert 0 < done < 2000
    assert lines == [
        f"{run}: weights saved; next: medsmith synthesize {run} OUT --count 100",
        f"{run}: {done} of 2000 steps of 'stack', stopped by --max-minutes; "
        "the same command with a larger --max-minutes continues",
    ]
    again = lines_of(cohort, run, minutes=10, steps=done + 1)
    assert again[-1] == (
        f"{run}: {done + 1} of 2000 steps of 'stack', stopped by --max-steps; "
        "the same command with a larger --max-steps continues"
    )


def test_a_run_with_all_its_steps_is_trained_and_no_limit_is_named(cohort, run):
    trained = [f"{run}: trained; next: medsmith synthesize {run} OUT --count 100"]
    assert lines_of(cohort, run, "ddpm", "training.steps=3", minutes=10) == trained
    assert lines_of(cohort, run, "ddpm", "training.steps=3", steps=3) == trained
    assert few_steps_warnings(run) == []


def steps(**stages):
    return {name: StageSteps(done=done, configured=configured) for name, (done, configured) in stages.items()}


def test_only_stages_that_ended_early_are_named_each_with_its_limit():
    both = Budget(steps=500, minutes=8)
    mixed = steps(guider=(500, 2000), image=(117, 2000), last=(300, 300))
    assert Outcome(Path("run"), mixed, both, True).lines[-1] == (
        "run: 500 of 2000 steps of 'guider', stopped by --max-steps; 117 of 2000 steps of 'image', "
        "stopped by --max-minutes; the same command with larger --max-steps and --max-minutes continues"
    )
    early = steps(guider=(40, 2000), image=(0, 2000))
    assert Outcome(Path("run"), early, Budget(minutes=8), False).lines == [
        "run: 40 of 2000 steps of 'guider', 0 of 2000 steps of 'image', stopped by --max-minutes; "
        "the same command with a larger --max-minutes continues"
    ]
    one = steps(guider=(2000, 2000), image=(0, 2000))
    assert Outcome(Path("run"), one, Budget(stage="guider"), False).lines == [
        "run: stage 'guider' is trained; next: the same command with another stage, or without --stage"
    ]


def test_record_and_card_tell_how_many_steps_are_behind_the_weights(cohort, run):
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(steps=2))
    assert read_record(run).steps == steps(guider=(2, 2000), image=(2, 2000))
    assert "- guider: 2 of 2000 steps, 0.0 minutes, 5 cases\n" in (run / "README.md").read_text()
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(steps=4, stage="image"))
    assert read_record(run).steps == steps(guider=(2, 2000), image=(4, 2000))
    card = (run / "README.md").read_text()
    assert "- guider: 2 of 2000 steps" in card
    assert "- image: 4 of 2000 steps" in card


def with_steps(run, **stages):
    """The run with other steps in its record."""
    record = json.loads((run / "run.json").read_text())
    record["steps"] = {name: each.model_dump() for name, each in steps(**stages).items()}
    (run / "run.json").write_text(json.dumps(record))


def test_few_steps_are_warned_of_below_half_of_those_configured(copied):
    name = str(copied)
    assert few_steps_warnings(copied) == [f"{name} has 4 of 2000 steps: what it makes may be noise"]
    with_steps(copied, stack=(999, 2000))
    assert few_steps_warnings(name) == [f"{name} has 999 of 2000 steps: what it makes may be noise"]
    with_steps(copied, stack=(1000, 2000))
    assert few_steps_warnings(name) == []
    with_steps(copied, mask=(2000, 2000), image=(117, 2000), upper=(1, 500))
    assert few_steps_warnings(name) == [
        f"{name} has 117 of 2000 steps of 'image', 1 of 500 steps of 'upper': what it makes may be noise"
    ]


def test_runs_without_that_record_and_shipped_weights_are_not_warned_of(copied):
    record = json.loads((copied / "run.json").read_text())
    del record["steps"]
    (copied / "run.json").write_text(json.dumps(record))
    assert read_record(copied).steps == {}
    assert few_steps_warnings(copied) == []
    for shipped in SHIPPED.glob("*/run.json"):
        assert few_steps_warnings(shipped.parent.name) == []


def test_an_older_run_continues_with_its_prepared_cases(cohort, copied):
    record = json.loads((copied / "run.json").read_text())
    del record["steps"]
    (copied / "run.json").write_text(json.dumps(record))
    (copied / "manifest.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in (copied / "examples").glob("prepared-*/*")}
    assert before
    train("ddpm", cohort, copied, settings=settings(), budget=Budget(steps=5))
    assert {path: path.stat().st_mtime_ns for path in (copied / "examples").glob("prepared-*/*")} == before
    assert read_record(copied).steps == steps(stack=(5, 2000))


def test_synthesis_warns_before_it_starts(copied, tmp_path, capsys, monkeypatch):
    import medsmith.synthesis
    from medsmith.cli import main

    said = []

    def refuse(*_arguments, **_options):
        said.append(capsys.readouterr().out)
        raise RequestError("count", "enough")

    monkeypatch.setattr(medsmith.synthesis, "synthesize", refuse)
    assert main(["synthesize", str(copied), str(tmp_path / "out"), "--count=1"]) == 2
    assert said == [f"{copied} has 4 of 2000 steps: what it makes may be noise\n"]


def test_the_time_that_is_shown_is_within_the_limit(cohort, run):
    limits: list[float] = []

    class Recorder:
        @contextmanager
        def task(self, name, _total, _done=0, limit=unlimited):
            kept = limits if name.startswith("ddpm") else []
            kept.append(limit())
            yield lambda _steps, _note: kept.append(limit())

    train("ddpm", cohort, run, settings=settings(), budget=Budget(minutes=0.01), progress=Recorder())
    assert limits[0] == pytest.approx(0.6)
    assert limits == sorted(limits, reverse=True)
    assert all(limit > 0 for limit in limits[:-1])
    assert limits[-1] <= 0


def test_a_stage_trained_further_is_in_the_weights(cohort, run):
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(steps=2))
    before = load_method(run).state_dict()
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(steps=4, stage="guider"))
    after = load_method(run).state_dict()
    moved = {key.partition(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert moved == {"guider"}
    assert reached(run) == {"guider": 4, "image": 2}


def test_an_unknown_stage_is_refused(cohort, run):
    with pytest.raises(RequestError) as refusal:
        train("pig", cohort, run, settings=settings("pig"), budget=Budget(stage="images"))
    assert refusal.value.line == "pig: no stage 'images'; there are guider, image; did you mean 'image'?"
    assert not run.exists()


def test_trials_of_number_formats_take_a_quarter_of_the_minutes_and_none_after_the_end():
    assert Budget(steps=5).end_of_trial(0.0, 100.0) == math.inf
    assert Budget(minutes=10).end_of_trial(0.0, 10_000.0) == 10_150.0
    assert Budget(elapsed_minutes=10).end_of_trial(0.0, 100.0) == 250.0
    assert Budget(elapsed_minutes=10).end_of_trial(0.0, 590.0) == 600.0
    assert Budget(elapsed_minutes=10).end_of_trial(0.0, 700.0) == 600.0
