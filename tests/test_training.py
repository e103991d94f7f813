"""Training: a killed run ends where the undisturbed one does, and everything else that a run promises."""

import hashlib
import json
import math
import os
import random
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch

import medsmith.methods
import medsmith.samples
import medsmith.stage_loop
import micro
from medsmith.checkpoints import build_method, load_method, pack, read_record, unpack
from medsmith.cohort import Cohort
from medsmith.data.batches import batches_of
from medsmith.diffusion import derive_seed
from medsmith.errors import MedsmithError, RequestError, RunError, TrainingError
from medsmith.methods import method_class
from medsmith.optimisation import Trainees
from medsmith.runs import StageCheckpoints, claimed
from medsmith.training import Budget, train
from narrowing import present
from training_lives import Nursery

SOURCES = Path(__file__).parents[1] / "src" / "medsmith"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return micro.micro_cohort(tmp_path_factory.mktemp("cohort") / "c", count=5)


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def _other_methods(monkeypatch):
    """The methods of the tests beside the shipped ones."""
    folder = str(Path(__file__).parent / "methods_of_tests")
    monkeypatch.setattr(medsmith.methods, "__path__", [*medsmith.methods.__path__, folder])


# Networks of one level: what is tested is training.
FLAT = ("network.channels=[4]", "network.attention=[false]", "network.groups=2", "network.head_channels=4")


@pytest.fixture(autouse=True)
def _small_sheets(monkeypatch):
    monkeypatch.setattr(medsmith.samples, "COUNT", 1)


def settings(method="ddpm", *more):
    if method == "adversaries":
        return more
    return (*micro.micro_settings(method, method_class(method), 2), *FLAT, *more)


def state(run):
    """All of a run that must not depend on what befell it: every tensor's bytes, steps, losses, pictures."""
    checkpoints = {}
    for folder in sorted((run / "checkpoints").iterdir()):
        tensors, entry = present(StageCheckpoints(run, folder.name).newest())
        checkpoints[folder.name] = (entry.step, hashlib.sha256(pack(tensors)).hexdigest())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [{key: value for key, value in line.items() if key != "seconds"} for line in lines]
    files = [run / "run.json", run / "weights.safetensors", run / "memory.safetensors", run / "manifest.json"]
    pictures = sorted((run / "samples").glob("*.png"))
    bytes_ = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (*files, *pictures)}
    return {"checkpoints": checkpoints, "losses": losses, "files": bytes_}


def strays(run):
    return [path for path in run.rglob("*") if path.name.startswith(".medsmith-")]


def reached(run):
    """Stage -> step of the newest checkpoint; every index and every checkpoint it names must be readable."""
    found = {}
    for folder in (run / "checkpoints").glob("*"):
        newest = present(StageCheckpoints(run, folder.name).newest())
        if newest is not None:
            found[folder.name] = newest[1].step
    return found


# --- kills


def undisturbed(nursery, cohort, folder, precision):
    """A run that saves every step: its order, state, and how long it took."""
    order = {
        "settings": settings("pig", f"training.precision={precision}"),
        "budget": {"steps": 5, "checkpoint_seconds": 0.0},
    }
    ended = nursery.live(folder / "run", cohort.root, **order)
    assert (ended.status, ended.error) == (0, "")
    return order, state(folder / "run"), ended.seconds


@pytest.fixture(scope="module")
def calm(nursery, cohort, tmp_path_factory):
    return undisturbed(nursery, cohort, tmp_path_factory.mktemp("calm"), "float32")


def test_lives_are_processes_that_share_no_thread(nursery):
    assert nursery.threads == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_twenty_kills_at_random_leave_the_bytes_of_the_calm_run(precision, nursery, cohort, tmp_path):
    order, expected, seconds = undisturbed(nursery, cohort, tmp_path, precision)
    draw, kills, runs, seen = random.Random(4), 0, 0, set()
    while kills < 20:
        run = tmp_path / f"killed-{runs}"
        steps: dict[str, int] = {}
        runs += 1
        while True:
            ended = nursery.live(run, cohort.root, **order, kill_after=draw.uniform(0.0, 0.6 * seconds))
            now = reached(run)
            assert all(now.get(stage, 0) >= step for stage, step in steps.items()), "a saved step was lost"
            steps = now
            if ended.status == 0:
                break
            assert ended.status == -signal.SIGKILL
            kills += 1
            seen.add(tuple(now.items()))
        assert state(run) == expected
        assert not strays(run)
    assert len(seen) >= 5, "the kills fell on too few steps"


def kill_at_every_write_event(order, nursery, cohort, run, first):
    """Lives that die at their first, second, ... write event, until one has lived on to the end."""
    steps: dict[str, int] = {}
    deaths = 0
    while (ended := nursery.live(run, cohort.root, **order, die_at=first + deaths)).status != 0:
        assert ended.status == -signal.SIGKILL
        deaths += 1
        now = reached(run)
        assert all(now.get(stage, 0) >= step for stage, step in steps.items()), "a saved step was lost"
        steps = now
    return deaths


def test_kills_inside_every_window_of_saving_lose_nothing(calm, nursery, cohort, run):
    order, expected, _ = calm
    assert kill_at_every_write_event(order, nursery, cohort, run, first=1) >= 20
    assert state(run) == expected
    assert not strays(run)


@pytest.mark.slow
def test_three_hundred_kills_inside_the_windows_of_saving(calm, nursery, cohort, tmp_path):
    order, expected, _ = calm
    kills = 0
    for index in range(1000):
        kills += kill_at_every_write_event(order, nursery, cohort, tmp_path / str(index), first=1 + index % 7)
        assert state(tmp_path / str(index)) == expected
        if kills >= 300:
            return
    raise AssertionError("too few kills")


def test_a_full_disk_is_said_in_one_line_and_the_run_goes_on_when_there_is_room(calm, nursery, cohort, run):
    order, expected, _ = calm
    some = {**order, "budget": {**order["budget"], "steps": 2, "stage": "guider"}}
    assert nursery.live(run, cohort.root, **some).status == 0
    before = reached(run)
    full = nursery.live(run, cohort.root, **order, file_bytes=20_000)
    assert full.status == 0
    assert re.fullmatch(r".*/step-00000003.safetensors: cannot be written \(File too large\); .*", full.error)
    assert reached(run) == before == {"guider": 2}
    assert nursery.live(run, cohort.root, **order).error == ""
    after = state(run)
    assert after["checkpoints"] == expected["checkpoints"]
    assert after["files"] == expected["files"]
    assert not strays(run)


def test_nothing_is_unpickled_when_a_run_goes_on(calm, nursery, cohort, run):
    order, expected, _ = calm
    some = {**order, "budget": {**order["budget"], "steps": 2, "stage": "guider"}}
    assert nursery.live(run, cohort.root, **some).status == 0
    assert nursery.live(run, cohort.root, **order, no_pickle=True).status == 0
    assert state(run)["files"] == expected["files"]


# --- the path that is walked


def literal_training(method, cohort, record, steps, world=1):
    """One stage of one part, written out: what ``train`` must do, with the gradients of several devices averaged."""
    (stage,), training = method.stages(), method.config.training
    (name,) = stage.parts
    examples = [method.prepare(case) for case in cohort]
    batches = batches_of(examples, training.batch, derive_seed(record.seed, stage.name), training.flips)
    part = method.part(name)
    weights = list(part.parameters())
    average = [weight.detach().clone() for weight in weights]
    adam = torch.optim.AdamW(
        weights, lr=training.learning_rate, betas=training.betas, weight_decay=training.weight_decay
    )
    losses = []
    for step in range(steps):
        adam.param_groups[0]["lr"] = training.learning_rate * min(1, (step + 1) / (training.warm_up + 1))
        adam.zero_grad()
        loss_sum = 0.0
        for rank in range(world):
            batch = {key: tensor[rank::world] for key, tensor in batches(step).items()}
            seed = derive_seed(record.seed, stage.name, name, step, rank) % 2**63
            loss = method.loss(name, batch, torch.Generator().manual_seed(seed)) / world
            loss.backward()
            loss_sum += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(weights, training.clip)
        adam.step()
        decay = 0 if step == 0 else min(training.ema, (1 + step) / (10 + step))
        for mean, weight in zip(average, weights, strict=True):
            mean.lerp_(weight.detach(), 1 - decay)
        losses.append(loss_sum)
    return losses, weights, average


def test_training_is_the_plain_loop(cohort, run, monkeypatch):
    monkeypatch.setattr(medsmith.stage_loop, "LOG_EVERY", 1)
    train("ddpm", cohort, run, settings=settings("ddpm", "training.warm_up=3", "training.ema=0.3"), seed=9,
          budget=Budget(steps=7))  # fmt: skip
    record = read_record(run)
    method = build_method(record, seed=9)
    losses, weights, average = literal_training(method, cohort, record, 7)
    tensors, entry = present(StageCheckpoints(run, "stack").newest())
    names = [name for name, _ in method.part("network").named_parameters()]
    assert entry.step == 7
    for name, weight, mean in zip(names, weights, average, strict=True):
        assert torch.equal(tensors[f"weights.network.{name}"], weight)
        assert torch.equal(tensors[f"ema.network.{name}"], mean)
        assert torch.equal(load_method(run).state_dict()[f"network.{name}"], mean)
    logged = [json.loads(line)["network"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert logged == losses


def two_devices(nursery, cohort, run, method, **order):
    given = {"method": method, "devices": 2, "note_ranks": True, "seed": 9, **order}
    ended = nursery.live(run, cohort.root, settings=settings(method), **given)
    assert (ended.status, ended.error) == (0, "")
    stages = [path.stem.split("-", 2)[2] for path in sorted(run.glob("rank-0-*.txt"))]
    return [sorted(path.read_text() for path in run.glob(f"rank-?-{stage}.txt")) for stage in stages]


def test_two_devices_average_their_gradients_and_keep_equal_weights(nursery, cohort, run):
    ((first, second),) = two_devices(nursery, cohort, run, "ddpm", budget={"steps": 6})
    assert first == second
    record = read_record(run)
    method = build_method(record, seed=9)
    losses, weights, average = literal_training(method, cohort, record, 6, world=2)
    tensors, _ = present(StageCheckpoints(run, "stack").newest())
    names = [name for name, _ in method.part("network").named_parameters()]
    for name, weight, mean in zip(names, weights, average, strict=True):
        assert torch.allclose(tensors[f"weights.network.{name}"], weight, atol=1e-4)
        assert torch.allclose(tensors[f"ema.network.{name}"], mean, atol=1e-4)
    logged = [json.loads(line)["network"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert logged == pytest.approx(losses, rel=1e-3)


def test_two_devices_train_every_stage_and_stop_together_on_time(nursery, cohort, run):
    ranks = two_devices(nursery, cohort, run, "pig", budget={"minutes": 0.01})
    assert [first == second for first, second in ranks] == [True, True]
    assert load_method(run).name == "pig"


@pytest.mark.usefixtures("_other_methods")
def test_two_devices_train_parts_in_turn(nursery, cohort, run):
    ((first, second),) = two_devices(nursery, cohort, run, "adversaries", budget={"steps": 4})
    assert first == second


@pytest.mark.slow
def test_two_devices_in_fresh_processes(cohort, tmp_path):
    train("ddpm", cohort, tmp_path / "two", settings=settings(), seed=9, budget=Budget(steps=4), devices=2)
    train("ddpm", cohort, tmp_path / "one", settings=settings(), seed=9, budget=Budget(steps=4))
    assert reached(tmp_path / "two") == reached(tmp_path / "one") == {"stack": 4}


@pytest.mark.parametrize("devices", [0, 3])
def test_devices_that_cannot_share_a_batch_are_refused(devices, cohort, run):
    with pytest.raises(RequestError, match=rf"devices: training.batch = 2 is no multiple of {devices} devices"):
        train("ddpm", cohort, run, settings=settings(), devices=devices)


@pytest.mark.usefixtures("_other_methods")
def test_parts_trained_in_turn_leave_each_other_alone(cohort, run):
    """A loss that passes through the critic must not move it, nor leave gradients in it."""
    train("adversaries", cohort, run, seed=2, budget=Budget(steps=3))
    record = read_record(run)
    method = build_method(record, seed=2).train()
    training = method.config.training
    batches = batches_of([method.prepare(case) for case in cohort], 4, derive_seed(2, "game"), training.flips)
    adams = {
        name: torch.optim.AdamW(method.part(name).parameters(), training.learning_rate, training.betas,
                                weight_decay=training.weight_decay)
        for name in ("maker", "critic")
    }  # fmt: skip
    for step in range(3):
        for name, adam in adams.items():
            seed = derive_seed(2, "game", name, step, 0) % 2**63
            torch.manual_seed(seed)
            loss = method.loss(name, batches(step), torch.Generator().manual_seed(seed))
            method.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(method.part(name).parameters(), training.clip)
            adam.step()
    tensors, _ = present(StageCheckpoints(run, "game").newest())
    for name in ("maker", "critic"):
        for key, weight in method.part(name).state_dict().items():
            assert torch.equal(tensors[f"weights.{name}.{key}"], weight)


@pytest.mark.usefixtures("_other_methods")
def test_dropout_too_goes_on_where_it_was(cohort, tmp_path):
    train("adversaries", cohort, tmp_path / "whole", budget=Budget(steps=6))
    train("adversaries", cohort, tmp_path / "parts", budget=Budget(steps=2))
    torch.rand(5)
    train("adversaries", cohort, tmp_path / "parts", budget=Budget(steps=6))
    assert state(tmp_path / "whole")["checkpoints"] == state(tmp_path / "parts")["checkpoints"]


def test_the_averages_follow_the_weights_by_the_stated_rule():
    method = micro.build("ddpm", settings=["training.ema=0.9"])
    trainees = Trainees(method, ("network",), method.config.training)
    name, weight = next(iter(method.network.named_parameters()))
    expected, draw = torch.empty(0), torch.Generator().manual_seed(0)
    for count in range(200):
        weight.data.normal_(generator=draw)
        decay = min(0.9, (1 + count) / (10 + count))
        expected = weight.detach().clone() if count == 0 else decay * expected + (1 - decay) * weight.detach()
        trainees.average("network")
        assert torch.allclose(trainees.tensors()[f"ema.network.{name}"], expected, atol=1e-5)
    assert decay == 0.9


def test_the_learning_rate_rises_on_a_line_and_stays():
    method = micro.build("ddpm", settings=["training.warm_up=4", "training.learning_rate=0.5"])
    trainees = Trainees(method, ("network",), method.config.training)
    rates = []
    for step in range(7):
        trainees.set_rate(step)
        rates.append(trainees.optimisers["network"].param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5])


def test_pictures_are_made_with_the_averages_and_the_weights_come_back():
    method = micro.build("ddpm")
    trainees = Trainees(method, ("network",), method.config.training)
    trainees.average("network")
    raw = {key: tensor + 1 for key, tensor in method.network.state_dict().items()}
    averaged = {key: tensor.clone() for key, tensor in method.network.state_dict().items()}
    method.network.load_state_dict(raw)
    with pytest.raises(ZeroDivisionError), trainees.averaged():  # noqa: PT012
        assert not method.network.training
        assert all(torch.equal(tensor, averaged[key]) for key, tensor in method.network.state_dict().items())
        raise ZeroDivisionError
    assert method.network.training
    assert all(torch.equal(tensor, raw[key]) for key, tensor in method.network.state_dict().items())


# --- budgets and stages


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
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(minutes=0.01))
    first = reached(run)
    assert all(0 < step < 2000 for step in first.values())
    assert (run / "README.md").is_file()
    train("pig", cohort, run, settings=settings("pig"), budget=Budget(minutes=0.01))
    assert reached(run) == first
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {line["stage"]: line["step"] for line in lines} == first
    assert f"step-{first['image']:08d}.png" in {path.name for path in (run / "samples").iterdir()}


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"steps": -1}, {"minutes": 0}, {"minutes": math.nan}])
def test_a_budget_of_nothing_is_refused(wrong):
    with pytest.raises(RequestError, match="training: "):
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
    said = {}
    for stage in ("guider", "image"):
        with pytest.raises(SystemExit) as ended:
            main(["train", "pig", str(cohort.root), "--run", str(run), "--max-steps=2", f"--stage={stage}", *lines])
        assert ended.value.code == 0
        said[stage] = "".join(capsys.readouterr())
    assert "stage 'guider' is trained; next: the same command with another stage" in said["guider"]
    assert "trained; next: medsmith synthesize" in said["image"]


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
    assert refusal.value.line == "pig: no stage 'images'; there are guider, image"
    assert not run.exists()


# --- interrupts


def interrupted_at(monkeypatch, step, number=signal.SIGINT):
    """The signal comes in the middle of a step."""
    whole = medsmith.stage_loop.StageLoop._one_step

    def one_step(loop, batches, ids):
        losses = whole(loop, batches, ids)
        if loop._step == step:
            os.kill(os.getpid(), number)
        return losses

    monkeypatch.setattr(medsmith.stage_loop.StageLoop, "_one_step", one_step)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_for_the_step_and_saves_it(number, cohort, tmp_path, monkeypatch):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        interrupted_at(patch, 3, number)
        with pytest.raises(KeyboardInterrupt):
            train("ddpm", cohort, tmp_path / "run", settings=settings(), budget=Budget(steps=8))
    assert reached(tmp_path / "run") == {"stack": 4}
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    for name in ("run", "calm"):
        train("ddpm", cohort, tmp_path / name, settings=settings(), budget=Budget(steps=8))
    assert state(tmp_path / "run") == state(tmp_path / "calm")


def test_the_command_says_one_line_when_interrupted(cohort, run, monkeypatch, capsys):
    from medsmith.cli import main

    interrupted_at(monkeypatch, 1)
    lines = [f"--set={line}" for line in settings()]
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as end:
            main(["train", "ddpm", str(cohort.root), "--run", str(run), "--max-steps=5", *lines])
    finally:
        signal.signal(signal.SIGTERM, terminate)
    assert end.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted; the same command again continues"
    assert reached(run) == {"stack": 2}


# --- losses that are not finite


def case_names(cohort, stage, step, seed, count=2):
    batches = batches_of([{}] * len(cohort), count, derive_seed(seed, stage))
    return ", ".join(cohort.ids[index] for index in batches.indices(step))


def broken_at(monkeypatch, step, harm):
    """A loss that is harmed at one step of DDPM."""
    from medsmith.methods.ddpm import Ddpm

    whole = Ddpm.loss
    calls: list[None] = []

    def loss(method, *arguments):
        calls.append(None)
        value = whole(method, *arguments)
        return harm(value) if len(calls) == step + 1 else value

    monkeypatch.setattr(Ddpm, "loss", loss)


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lambda loss: loss * math.nan, "loss nan"),
        (lambda loss: loss * math.inf, "loss inf"),
        (lambda loss: loss + (loss * 0).sqrt(), r"loss \d+\.\d+, gradient not finite"),
    ],
)
def test_a_loss_that_is_not_finite_stops_within_the_step(harm, found, cohort, tmp_path, monkeypatch):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(medsmith.stage_loop, "LOG_EVERY", 1)
        broken_at(patch, 4, harm)
        with pytest.raises(TrainingError) as stop:
            train("ddpm", cohort, run, settings=settings(), seed=3, budget=Budget(steps=8, checkpoint_seconds=0))
    cases = case_names(cohort, "stack", 4, 3)
    assert re.fullmatch(
        rf"{run}, step 4 of 'network': {found}; batch: {cases}; the checkpoint of step 4 is kept; "
        r"look at these cases, or lower training.learning_rate",
        stop.value.line,
    )
    assert reached(run) == {"stack": 4}
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]
    for name in ("run", "calm"):
        train("ddpm", cohort, tmp_path / name, settings=settings(), seed=3, budget=Budget(steps=8))
    assert state(run)["checkpoints"] == state(tmp_path / "calm")["checkpoints"]


def test_an_absurd_rate_is_stopped(cohort, run):
    with pytest.raises(TrainingError, match="nothing is saved yet; look at these cases"):
        train("ddpm", cohort, run, settings=settings("ddpm", "training.learning_rate=1e30"), budget=Budget(steps=50))
    assert reached(run) == {}


# --- damage, and folders that hold something else


@pytest.fixture(scope="module")
def finished_run(cohort, tmp_path_factory):
    run = tmp_path_factory.mktemp("finished") / "run"
    train("ddpm", cohort, run, settings=settings(), budget=Budget(steps=4, checkpoint_seconds=0))
    return run


@pytest.fixture
def copied(finished_run, run):
    shutil.copytree(finished_run, run)
    return run


def flip_a_bit(path, place=0.5):
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 16
    path.write_bytes(data)


def newest_first(run):
    return sorted((run / "checkpoints" / "stack").glob("step-*"), reverse=True)


DAMAGES = [flip_a_bit, lambda path: path.write_bytes(path.read_bytes()[:-7]), lambda path: path.unlink()]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(damage, cohort, copied, tmp_path, caplog):
    newest, before = newest_first(copied)
    damage(newest)
    assert reached(copied) == {"stack": 3}
    assert f"{newest}: is missing or damaged" in caplog.text
    for run in (copied, tmp_path / "calm"):
        train("ddpm", cohort, run, settings=settings(), budget=Budget(steps=5, checkpoint_seconds=math.inf))
    assert state(copied)["checkpoints"] == state(tmp_path / "calm")["checkpoints"]
    assert [path.name for path in newest_first(copied)] == ["step-00000005.safetensors", before.name]


@pytest.mark.parametrize("damage", DAMAGES)
def test_when_every_checkpoint_is_damaged_nothing_is_overwritten(damage, cohort, copied):
    for path in newest_first(copied):
        damage(path)
    before = {path: path.read_bytes() for path in newest_first(copied)}
    with pytest.raises(RunError) as refusal:
        train("ddpm", cohort, copied, settings=settings(), budget=Budget(steps=5))
    folder = copied / "checkpoints" / "stack"
    assert refusal.value.line == f"{folder}: every checkpoint is damaged; remove the folder to train anew"
    assert {path: path.read_bytes() for path in newest_first(copied)} == before


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '[{"file": "../../x", "sha256": "", "step": 1, "seconds": 1}]', '{"file": "a"}']
)
def test_a_damaged_index_is_named(text, cohort, copied):
    index = copied / "checkpoints" / "stack" / "index.json"
    index.write_text(text)
    with pytest.raises(RunError, match=rf"{index}: is no index of checkpoints; restore it, or remove"):
        train("ddpm", cohort, copied, settings=settings(), budget=Budget(steps=5))
    assert len(newest_first(copied)) == 2


@pytest.mark.parametrize("name", ["run.json", "weights.safetensors", "memory.safetensors"])
@pytest.mark.parametrize("place", [0.001, 0.3, 0.999])
def test_a_flipped_bit_in_finished_weights_is_caught(name, place, copied):
    flip_a_bit(copied / name, place)
    with pytest.raises(RunError, match=f"{name}: does not match manifest.json; run the same train command again"):
        load_method(copied)


def test_finished_weights_are_mended_by_the_same_command(cohort, copied, finished_run):
    flip_a_bit(copied / "weights.safetensors")
    (copied / "manifest.json").unlink()
    train("ddpm", cohort, copied, settings=settings(), budget=Budget(steps=4))
    assert state(copied) == state(finished_run)


def promise_again(run):
    from medsmith.checkpoints import FILES
    from medsmith.formats.atomic import sha256_of, write_json

    write_json(run / "manifest.json", {name: sha256_of(run / name) for name in FILES})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95garbage.",  # a pickle
        (2**40).to_bytes(8, "little") + b"{}",
        (8).to_bytes(8, "little") + b'{"a": 1}',
        b"PK\x03\x04 what torch.save writes",
    ],
)
def test_weights_that_are_no_safetensors_are_refused_by_content(data, copied):
    (copied / "weights.safetensors").write_bytes(data)
    promise_again(copied)
    with pytest.raises(RunError, match=r"weights\.safetensors: cannot be read"):
        load_method(copied)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"method": "os"}, "os: no such method; there are "),
        ({"method": "../../evil"}, "../../evil: no such method; there are "),
        ({"newer": 1}, "{run}/run.json: unknown key 'newer'"),
        ({"compute": {"stack": {"precision": "float8"}}}, "{run}/run.json: compute.stack.precision = "),
        ({"config": {"size": [8, 8], "depth": 3}}, "config: unknown key 'depth'"),
    ],
)
def test_a_record_that_this_version_does_not_know_is_explained(change, line, copied):
    record = json.loads((copied / "run.json").read_text())
    (copied / "run.json").write_text(json.dumps(record | change))
    promise_again(copied)
    with pytest.raises((RunError, RequestError)) as refusal:
        load_method(copied)
    assert refusal.value.line.startswith(line.format(run=copied))
    assert "\n" not in refusal.value.line


def test_checkpoint_weights_that_are_not_finite_are_refused(copied):
    path = newest_first(copied)[0]
    tensors = unpack(path)
    name = next(name for name in tensors if name.startswith("ema."))
    tensors[name].view(-1)[0] = math.nan
    StageCheckpoints(copied, "stack").save(tensors, 5, 1.0)
    with pytest.raises(RunError, match="has numbers that are not finite; use an earlier checkpoint"):
        train("ddpm", Cohort.open(_cohort_of(copied)), copied, settings=settings(), budget=Budget(steps=6))


def _cohort_of(run):
    return micro.micro_cohort(run.parent / "same", count=5).root


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"method": "segguided"}, "was started with method ddpm; segguided is asked for; choose another run folder"),
        ({"preset": "best"}, "was started with preset tiny; best is asked for"),
        ({"seed": 1}, "was started with seed 0; 1 is asked for"),
        ({"more": "training.batch=4"}, "was started with training.batch 2; 4 is asked for"),
        ({"more": "size=[16,8]"}, "was started with size [8, 8]; [16, 8] is asked for"),
        ({"count": 3}, "was started with cohort "),
    ],
)
def test_a_folder_that_holds_another_run_is_refused_by_what_differs(change, line, cohort, copied, tmp_path):
    method, more = change.get("method", "ddpm"), [change["more"]] if "more" in change else []
    if "count" in change:
        cohort = micro.micro_cohort(tmp_path / "other", count=change["count"])
    preset, seed = change.get("preset", "tiny"), change.get("seed", 0)
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    with pytest.raises(RunError) as refusal:
        train(method, cohort, copied, preset=preset, settings=settings(method, *more), seed=seed)
    assert refusal.value.line.startswith(f"{copied}: {line}")
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before


def test_a_run_of_a_version_with_fewer_settings_goes_on(cohort, copied):
    path = copied / "run.json"
    record = json.loads(path.read_text())
    del record["config"]["training"]["betas"]
    path.write_text(json.dumps(record))
    train("ddpm", cohort, copied, settings=settings(), budget=Budget(steps=5))
    assert reached(copied) == {"stack": 5}


def test_checkpoints_without_their_record_are_not_taken_over(cohort, copied):
    (copied / "run.json").unlink()
    with pytest.raises(RunError, match=r"has checkpoints and no run\.json; restore run\.json, or choose another"):
        train("ddpm", cohort, copied, settings=settings())


def test_one_process_trains_in_a_folder(cohort, run):
    with claimed(run), pytest.raises(RunError, match="another process is training here; one at a time"):
        train("ddpm", cohort, run, settings=settings())
    train("ddpm", cohort, run, settings=settings(), budget=Budget(steps=1))


def test_a_run_folder_that_cannot_be_made_is_named(cohort, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MedsmithError, match=r"file/run: cannot be made \(Not a directory\)"):
        train("ddpm", cohort, tmp_path / "file" / "run", settings=settings())


# --- what lies in a run folder


def test_metrics_have_one_line_per_logged_step_whatever_was_torn(cohort, copied, monkeypatch):
    monkeypatch.setattr(medsmith.stage_loop, "LOG_EVERY", 2)
    with (copied / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "stack", "step": 9, "seconds": 1, "network": 1.0}\n{"stage": "sta')
    train("ddpm", cohort, copied, settings=settings(), budget=Budget(steps=9))
    steps = [json.loads(line)["step"] for line in (copied / "metrics.jsonl").read_text().splitlines()]
    assert steps == [4, 6, 8, 9]


def test_the_run_folder_explains_itself(cohort, run):
    train("ddpm", cohort, run, settings=settings(), seed=6, budget=Budget(steps=4))
    assert {path.name for path in run.iterdir()} == {
        "README.md", "checkpoints", "examples", "manifest.json", "memory.safetensors", "metrics.jsonl", "run.json",
        "samples", "weights.safetensors",
    }  # fmt: skip
    assert len(list((run / "samples").iterdir())) == 4
    record = json.loads((run / "run.json").read_text())
    assert record["fingerprint"]["cohort_hash"] == cohort.content_hash()
    assert {"medsmith", "torch", "monai", "numpy", "python"} <= record["versions"].keys()
    card = (run / "README.md").read_text()
    for fact in (
        "# ddpm, preset tiny", "synthetic research data, not for diagnosis", "Trained on 5 cases", "ultrasound",
        "mass (100% of cases)", cohort.content_hash()[:16], "Grid 8 x 8, seed 6", "float32", "- stack: 4 steps",
        "medsmith synthesize",
    ):  # fmt: skip
        assert fact in card
    assert str(run.parent) not in card + (run / "run.json").read_text()


def test_nothing_that_reads_files_can_run_code():
    forbidden = re.compile(
        r"\b(pickle|cPickle|dill|joblib|marshal|shelve)\b|torch\.(load|save)\(|np\.load\(|yaml\.load\("
    )
    sources = list(SOURCES.rglob("*.py"))
    assert len(sources) > 50
    found = [f"{path.name}: {line}" for path in sources for line in path.read_text().splitlines()
             if forbidden.search(line)]  # fmt: skip
    assert found == []
