"""Training is the plain loop, on one device and on two."""

import json
import pickle
import weakref
from types import SimpleNamespace
from typing import Any, cast

import lightning.fabric.strategies.launchers.multiprocessing as launcher
import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor

import medsmith.methods
import medsmith.training.previews
import medsmith.training.stage_loop
import micro
from medsmith.data.batches import batches_of
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError, RunError
from medsmith.progress import ConsoleProgress
from medsmith.runs.checkpoints import build_method, load_method, read_record
from medsmith.runs.folder import StageCheckpoints
from medsmith.training import Budget, train
from medsmith.training.stage_loop import StageLoop
from medsmith.training.stage_optimizer import StageOptimizer
from narrowing import present
from run_state import reached, settings, state


def literal_training(method, cohort, record, steps, world=1, worlds=None):
    """One stage of one part, written out: what ``train`` must do, with the gradients of several devices averaged.

    Their number is ``world``, or that of each step in ``worlds``.
    """
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
        world = worlds[step] if worlds else world
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
    monkeypatch.setattr(medsmith.training.stage_loop, "LOG_EVERY", 1)
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


def test_parts_of_a_batch_take_the_steps_of_as_many_devices(cohort, run, monkeypatch):
    monkeypatch.setattr(medsmith.training.stage_loop, "LOG_EVERY", 1)
    changed = settings("ddpm", "training.accumulate=2")
    train("ddpm", cohort, run, settings=changed, seed=9, budget=Budget(steps=4))
    record = read_record(run)
    losses, weights, _ = literal_training(build_method(record, seed=9), cohort, record, 4, world=2)
    tensors, _ = present(StageCheckpoints(run, "stack").newest())
    names = [name for name, _ in build_method(record, seed=9).part("network").named_parameters()]
    for name, weight in zip(names, weights, strict=True):
        torch.testing.assert_close(tensors[f"weights.network.{name}"], weight)
    logged = [json.loads(line)["network"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert logged == pytest.approx(losses, rel=1e-6)


def test_recomputed_activations_take_the_same_steps(cohort, tmp_path):
    runs = {kind: tmp_path / kind for kind in ("kept", "recomputed")}
    for kind, run in runs.items():
        changed = settings("ddpm", f"training.activations={kind}")
        train("ddpm", cohort, run, settings=changed, seed=9, budget=Budget(steps=3))
    kept, again = (present(StageCheckpoints(run, "stack").newest())[0] for run in runs.values())
    assert kept.keys() == again.keys()
    for name, tensor in kept.items():
        torch.testing.assert_close(again[name], tensor)


def two_devices(server, cohort, run, method, *more, **job):
    given = {"method": method, "devices": 2, "hash_ranks": True, "seed": 9, **job}
    ended = server.train(run, cohort.root, settings=settings(method, *more), **given)
    assert (ended.status, ended.error) == (0, "")
    stages = [path.stem.split("-", 2)[2] for path in sorted(run.glob("rank-0-*.txt"))]
    return [sorted(path.read_text() for path in run.glob(f"rank-?-{stage}.txt")) for stage in stages]


def test_two_devices_average_their_gradients_and_keep_equal_weights(server, cohort, run):
    ((first, second),) = two_devices(server, cohort, run, "ddpm", budget={"steps": 6})
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


def test_two_devices_train_every_stage_and_stop_together_on_time(server, cohort, run):
    ranks = two_devices(server, cohort, run, "pig", budget={"minutes": 0.01})
    assert [first == second for first, second in ranks] == [True, True]
    assert load_method(run).name == "pig"


@pytest.mark.usefixtures("_other_methods")
def test_two_devices_train_parts_in_turn(server, cohort, run):
    ((first, second),) = two_devices(server, cohort, run, "adversaries", budget={"steps": 4})
    assert first == second


@pytest.mark.parametrize(
    "changed",
    [
        ("training.batch=4", "training.accumulate=2"),
        pytest.param(("training.activations=recomputed",), marks=pytest.mark.slow),
    ],
)
def test_divided_weights_take_the_steps_of_whole_ones(changed, server, cohort, tmp_path):
    runs = {kind: tmp_path / kind for kind in ("replicated", "sharded")}
    for kind, run in runs.items():
        more = (f"training.sharding={kind}", *changed)
        ((first, second),) = two_devices(server, cohort, run, "ddpm", *more, budget={"steps": 4})
        assert first == second
        assert (", 0 divided" in first) == (kind == "replicated")
    replicated, sharded = (present(StageCheckpoints(run, "stack").newest())[0] for run in runs.values())
    assert replicated.keys() == sharded.keys()
    for name, tensor in replicated.items():
        torch.testing.assert_close(sharded[name], tensor)
    losses = [
        [json.loads(line)["network"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in runs.values()
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    weights = load_method(runs["sharded"]).state_dict()
    for name, tensor in load_method(runs["replicated"]).state_dict().items():
        torch.testing.assert_close(weights[name], tensor)


def test_divided_weights_continue_where_they_were_and_on_one_device(server, cohort, tmp_path):
    for run, parts in (("parts", (2, 4)), ("whole", (4,))):
        for steps in parts:
            two_devices(server, cohort, tmp_path / run, "ddpm", "training.sharding=sharded", budget={"steps": steps})
    assert state(tmp_path / "parts") == state(tmp_path / "whole")
    chosen = settings("ddpm", "training.sharding=sharded")
    ended = server.train(
        tmp_path / "parts", cohort.root, settings=chosen, method="ddpm", seed=9, devices=1, budget={"steps": 6}
    )
    assert (ended.status, ended.error) == (0, "")
    assert reached(tmp_path / "parts") == {"stack": 6}


@pytest.mark.parametrize("sharding", ["replicated", "sharded"])
def test_a_run_continues_on_another_number_of_devices(sharding, server, cohort, run):
    """The batches stay the same; the noise of a step is drawn by its parts, as many as there are devices."""
    devices = {2: 2, 4: 1, 6: 2}
    for steps, count in devices.items():
        job = {"method": "ddpm", "devices": count, "hash_ranks": True, "seed": 9, "budget": {"steps": steps}}
        chosen = settings("ddpm", f"training.sharding={sharding}")
        ended = server.train(run, cohort.root, settings=chosen, **job)
        assert (ended.status, ended.error) == (0, "")
    record = read_record(run)
    method = build_method(record, seed=9)
    losses, weights, average = literal_training(method, cohort, record, 6, worlds=[2, 2, 1, 1, 2, 2])
    tensors, entry = present(StageCheckpoints(run, "stack").newest())
    assert entry.step == 6
    names = [name for name, _ in method.part("network").named_parameters()]
    for name, weight, mean in zip(names, weights, average, strict=True):
        assert torch.allclose(tensors[f"weights.network.{name}"], weight, atol=1e-4)
        assert torch.allclose(tensors[f"ema.network.{name}"], mean, atol=1e-4)
    logged = [json.loads(line)["network"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert logged == pytest.approx(losses, rel=1e-3)


def test_another_way_to_share_weights_is_another_run(cohort, run):
    for before, after in (("sharded", "replicated"), ("replicated", "sharded")):
        folder = run / before
        train("ddpm", cohort, folder, settings=settings("ddpm", f"training.sharding={before}"), budget=Budget(steps=1))
        found = (
            f"{folder}: was started with training.sharding {before}; {after} is requested; choose another run folder"
        )
        with pytest.raises(RunError) as caught:
            train("ddpm", cohort, folder, settings=settings("ddpm", f"training.sharding={after}"))
        assert caught.value.line == found


def test_stages_after_one_of_divided_weights_find_what_it_trained(server, cohort, run):
    ranks = two_devices(server, cohort, run, "pig", "training.sharding=sharded", budget={"steps": 2})
    assert [first == second for first, second in ranks] == [True, True]
    assert all(", 0 divided" not in first for first, _ in ranks)
    method = load_method(run)
    for stage in method.stages():
        tensors, _ = present(StageCheckpoints(run, stage.name).newest())
        for part in stage.parts:
            for name, tensor in method.part(part).state_dict().items():
                torch.testing.assert_close(tensor, tensors[f"ema.{part}.{name}"])


@pytest.mark.slow
def test_two_devices_in_fresh_processes(cohort, tmp_path):
    train("ddpm", cohort, tmp_path / "two", settings=settings(), seed=9, budget=Budget(steps=4), devices=2)
    train("ddpm", cohort, tmp_path / "one", settings=settings(), seed=9, budget=Budget(steps=4))
    assert reached(tmp_path / "two") == reached(tmp_path / "one") == {"stack": 4}


@pytest.mark.parametrize(
    ("devices", "found"), [(0, "0; at least 1 process and"), (3, "training.batch = 2 is no multiple of 3 devices")]
)
def test_devices_that_cannot_share_a_batch_are_refused(devices, found, cohort, run):
    with pytest.raises(RequestError, match=f"devices: {found}"):
        train("ddpm", cohort, run, settings=settings(), devices=devices)


@pytest.mark.usefixtures("_other_methods")
def test_parts_trained_in_turn_leave_each_other_alone(cohort, run):
    """A loss that passes through the discriminator must not move it, nor leave gradients in it."""
    train("adversaries", cohort, run, seed=2, budget=Budget(steps=3))
    record = read_record(run)
    method = build_method(record, seed=2).train()
    training = method.config.training
    batches = batches_of([method.prepare(case) for case in cohort], 4, derive_seed(2, "gan"), training.flips)
    adams = {
        name: torch.optim.AdamW(method.part(name).parameters(), training.learning_rate, training.betas,
                                weight_decay=training.weight_decay)
        for name in ("generator", "discriminator")
    }  # fmt: skip
    for step in range(3):
        for name, adam in adams.items():
            seed = derive_seed(2, "gan", name, step, 0) % 2**63
            torch.manual_seed(seed)
            loss = method.loss(name, batches(step), torch.Generator().manual_seed(seed))
            method.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(method.part(name).parameters(), training.clip)
            adam.step()
    tensors, _ = present(StageCheckpoints(run, "gan").newest())
    for name in ("generator", "discriminator"):
        for key, weight in method.part(name).state_dict().items():
            assert torch.equal(tensors[f"weights.{name}.{key}"], weight)


def test_what_is_passed_to_processes_survives_the_way(cohort, run, monkeypatch):
    """The slow test below starts fresh processes; this one sends the arguments as Lightning does."""
    launch = Fabric.launch

    def sent(fabric, function, *arguments):
        copied, _ = launcher._disable_module_memory_sharing((arguments, {}))
        return launch(fabric, *pickle.loads(pickle.dumps((function, *copied))))

    monkeypatch.setattr(Fabric, "launch", sent)
    job = {"settings": settings(), "budget": Budget(steps=1), "progress": ConsoleProgress()}
    train("ddpm", cohort, run, **job)
    assert reached(run) == {"stack": 1}


@pytest.mark.usefixtures("_other_methods")
def test_dropout_too_goes_on_where_it_was(cohort, tmp_path):
    train("adversaries", cohort, tmp_path / "whole", budget=Budget(steps=6))
    train("adversaries", cohort, tmp_path / "parts", budget=Budget(steps=2))
    torch.rand(5)
    train("adversaries", cohort, tmp_path / "parts", budget=Budget(steps=6))
    assert state(tmp_path / "whole")["checkpoints"] == state(tmp_path / "parts")["checkpoints"]


def test_the_averages_follow_the_weights_by_the_stated_rule():
    method = micro.build("ddpm", settings=["training.ema=0.9"])
    optimizer = StageOptimizer(method, ("network",), method.config.training)
    name, weight = next(iter(method.network.named_parameters()))
    expected, rng = torch.empty(0), torch.Generator().manual_seed(0)
    for count in range(200):
        weight.data.normal_(generator=rng)
        decay = min(0.9, (1 + count) / (10 + count))
        expected = weight.detach().clone() if count == 0 else decay * expected + (1 - decay) * weight.detach()
        optimizer.update_average("network")
        assert torch.allclose(optimizer.tensors()[f"ema.network.{name}"], expected, atol=1e-5)
    assert decay == 0.9


@pytest.mark.usefixtures("unchecked_types")
def test_a_process_that_writes_no_checkpoint_holds_one_gathered_tensor_at_a_time(tmp_path, monkeypatch):
    method = micro.build("ddpm")
    fabric: Any = SimpleNamespace(is_global_zero=False)
    loop = StageLoop(fabric, cast(Any, None), method, method.stages()[0], tmp_path)
    optimizer = StageOptimizer(method, ("network",), method.config.training)
    monkeypatch.setattr(loop, "_optimizer", optimizer, raising=False)
    monkeypatch.setattr(loop, "_step", 1)
    gathered: list[weakref.ref[Tensor]] = []
    held: list[int] = []

    def whole(tensor):
        held.append(sum(each() is not None for each in gathered))
        found = tensor.clone()
        gathered.append(weakref.ref(found))
        return found

    monkeypatch.setattr(medsmith.training.stage_loop, "whole", whole)
    loop._save()
    assert len(held) == len(optimizer.tensors()) > 2
    assert max(held) == 1
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_learning_rate_rises_on_a_line_and_stays():
    method = micro.build("ddpm", settings=["training.warm_up=4", "training.learning_rate=0.5"])
    optimizer = StageOptimizer(method, ("network",), method.config.training)
    rates = []
    for step in range(7):
        optimizer.set_rate(step)
        rates.append(optimizer.optimizers["network"].param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5])


def test_pictures_are_made_with_the_averages_and_the_weights_come_back():
    method = micro.build("ddpm")
    optimizer = StageOptimizer(method, ("network",), method.config.training)
    optimizer.update_average("network")
    raw = {key: tensor + 1 for key, tensor in method.network.state_dict().items()}
    averaged = {key: tensor.clone() for key, tensor in method.network.state_dict().items()}
    method.network.load_state_dict(raw)
    with pytest.raises(ZeroDivisionError), optimizer.averaged():  # noqa: PT012
        assert not method.network.training
        assert all(torch.equal(tensor, averaged[key]) for key, tensor in method.network.state_dict().items())
        raise ZeroDivisionError
    assert method.network.training
    assert all(torch.equal(tensor, raw[key]) for key, tensor in method.network.state_dict().items())


def test_parts_of_a_batch_are_checked(cohort, run):
    with pytest.raises(RequestError, match="accumulate = 3: batch = 2 is no multiple of it"):
        train("ddpm", cohort, run, settings=settings("ddpm", "training.accumulate=3"))
    assert not run.exists()
    with pytest.raises(RequestError, match="batch = 2 is no multiple of 2 devices with 2 parts each"):
        train("ddpm", cohort, run, settings=settings("ddpm", "training.accumulate=2"), devices=2)
