"""What a training tells of its steps: at its end, in record and card, and before a synthesis."""

import json
from pathlib import Path

import pytest

from medsmith.errors import RequestError
from medsmith.runs.checkpoints import SHIPPED, read_record
from medsmith.runs.steps import StageSteps, few_steps_warnings
from medsmith.training import Budget, train
from medsmith.training.outcome import Outcome
from run_state import reached, settings


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
