"""Number formats and layouts: broken kernels are caught, the fastest is kept, and none changes the result."""

import copy
import json
import time

import pytest
import torch
from torch import nn

import medsmith.networks.precision
import micro
from medsmith.errors import TrainingError
from medsmith.methods import method_class
from medsmith.networks.precision import Compute, bfloat16_is_accurate, fastest_compute
from medsmith.training import Budget, train

BFLOAT16 = Compute(precision="bfloat16")
KINDS = {2: nn.Conv2d, 3: nn.Conv3d}
BROKEN = {
    "offset": lambda output: output + 0.5,
    "one channel lost": lambda output: torch.cat([torch.zeros_like(output[:, :1]), output[:, 1:]], dim=1),
    "shifted": lambda output: output.roll(1, -1),
    "not a number": lambda output: output * torch.nan,
    "infinite": lambda output: output * torch.inf,
}


def break_bfloat16(monkeypatch, dimensions, harm):
    """A build whose convolutions are wrong under autocast alone."""
    kind = KINDS[dimensions]
    right = kind.forward
    monkeypatch.setattr(
        kind, "forward", lambda conv, x: harm(right(conv, x)) if torch.is_autocast_enabled("cpu") else right(conv, x)
    )


@pytest.mark.parametrize("dimensions", [2, 3])
def test_rounding_to_bfloat16_is_accepted(dimensions):
    assert bfloat16_is_accurate(dimensions, "cpu")
    BFLOAT16.check(dimensions, "cpu")


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("harm", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_kernel_is_caught(dimensions, harm, monkeypatch):
    break_bfloat16(monkeypatch, dimensions, harm)
    assert not bfloat16_is_accurate(dimensions, "cpu")
    assert bfloat16_is_accurate(5 - dimensions, "cpu")
    Compute().check(dimensions, "cpu")
    with pytest.raises(TrainingError) as refusal:
        BFLOAT16.check(dimensions, "cpu")
    assert refusal.value.line == (
        f"bfloat16: {dimensions}-D convolutions are wrong on this cpu; "
        "use another build of torch, or a new run with --set training.precision=float32"
    )


@pytest.fixture
def native_bfloat16(monkeypatch):
    """A CPU whose own instructions compute in bfloat16; on others that format is not timed."""
    monkeypatch.setattr(medsmith.networks.precision, "has_bfloat16", lambda: True)


@pytest.fixture
def clock(monkeypatch):
    """The time, which goes on where a test says so: that of the machine depends on what else it does."""
    now = [1000.0]
    for name in ("monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: now[0])
    return now


def a_step(clock, seconds, losses):
    """A training step whose duration and loss depend on the number format."""

    def step(candidate):
        clock[0] += seconds[candidate.precision]
        return losses[candidate.precision]

    return step


def right_gradients():
    return [torch.ones(3)]


@pytest.mark.usefixtures("native_bfloat16")
@pytest.mark.parametrize("faster", ["float32", "bfloat16"])
def test_the_faster_format_is_kept_and_both_rates_are_written_down(faster, clock):
    seconds = {"float32": 0.0625, "bfloat16": 0.0625} | {faster: 0.03125}
    step = a_step(clock, seconds, {"float32": 1.0, "bfloat16": 1.01})
    chosen = fastest_compute(step, right_gradients, 2, "cpu", repeats=2)
    assert chosen.precision == faster
    assert chosen.steps_per_second == {label: 1 / each for label, each in seconds.items()}


@pytest.mark.usefixtures("native_bfloat16")
@pytest.mark.parametrize(
    ("limit", "steps"),
    # of 10 s each: one to compare with, then for each format one that warms up and three that are timed
    [(0, "f"), (29, "f"), (30, "fff"), (45, "ffff"), (69, "fffff"), (70, "fffffbb"), (1e9, "fffffbbbb")],
)
def test_trials_end_in_time(limit, steps, clock):
    tried = []

    def step(candidate):
        tried.append(candidate.precision[0])
        clock[0] += 10
        return 1.0

    chosen = fastest_compute(step, right_gradients, 2, "cpu", end=1000 + limit)
    assert "".join(tried) == steps
    assert chosen.precision == "float32"
    assert chosen.seconds_per_step == pytest.approx(10)
    assert clock[0] <= 1000 + max(limit, 10)


@pytest.mark.parametrize("wrong", [1.2, float("nan"), float("inf")])
def test_a_format_that_computes_another_loss_is_not_taken(wrong, clock):
    step = a_step(clock, {"float32": 0.5, "bfloat16": 0.25}, {"float32": 1.0, "bfloat16": wrong})
    chosen = fastest_compute(step, right_gradients, 2, "cpu", repeats=1)
    assert chosen.precision == "float32"
    assert set(chosen.steps_per_second) == {"float32"}


@pytest.mark.usefixtures("native_bfloat16")
@pytest.mark.parametrize(
    ("factor", "taken"),
    [(1.02, "bfloat16"), (-1.0, "float32"), (2.4, "float32"), (torch.inf, "float32"), (torch.nan, "float32")],
)
def test_a_format_that_computes_other_gradients_is_not_taken(factor, taken, clock):
    tried: list[Compute] = []
    losses = a_step(clock, {"float32": 0.5, "bfloat16": 0.25}, {"float32": 1.0, "bfloat16": 1.0})

    def step(candidate):
        tried.append(candidate)
        return losses(candidate)

    def gradients():
        return [torch.ones(4), torch.ones(3) * (1.0 if tried[-1].precision == "float32" else factor)]

    assert fastest_compute(step, gradients, 2, "cpu", repeats=1).precision == taken


def test_a_loss_that_is_never_finite_is_left_to_training_to_report(clock):
    step = a_step(clock, *(dict.fromkeys(("float32", "bfloat16"), value) for value in (0.5, float("nan"))))
    chosen = fastest_compute(step, right_gradients, 2, "cpu", repeats=1)
    assert chosen == Compute()


def recording(tried):
    """A step that records its settings; its loss is always right."""

    def step(candidate):
        tried.append(candidate)
        return 1.0

    return step


def test_bfloat16_is_not_even_timed_where_it_is_broken(monkeypatch):
    break_bfloat16(monkeypatch, 2, BROKEN["offset"])
    tried: list[Compute] = []
    fastest_compute(recording(tried), right_gradients, 2, "cpu", repeats=1)
    assert {candidate.precision for candidate in tried} == {"float32"}


def test_on_a_gpu_the_layouts_are_tried_too(monkeypatch):
    monkeypatch.setattr(medsmith.networks.precision, "bfloat16_is_accurate", lambda *_: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    seen: list[Compute] = []
    chosen = fastest_compute(recording(seen), right_gradients, 2, "cuda", repeats=1)
    tried = [candidate.label for candidate in seen]
    labels = ["float32", "bfloat16", "bfloat16 channels-last", "bfloat16 channels-last compiled"]
    assert sorted(set(tried), key=tried.index) == labels
    assert list(chosen.steps_per_second) == labels


def outputs(compute, dimensions, module):
    rng = torch.Generator().manual_seed(3)
    x = torch.randn((2, 2, *(8,) * dimensions), generator=rng)
    with torch.no_grad():
        return compute.apply_to(module)(x, torch.tensor([3, 500]))


VARIANTS = [
    (BFLOAT16, 0.03),
    (Compute(channels_last=True), 1e-5),
    (Compute(precision="bfloat16", channels_last=True), 0.03),
]


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize(("variant", "tolerance"), VARIANTS, ids=lambda variant: getattr(variant, "label", ""))
def test_no_setting_changes_the_output_beyond_rounding(variant, tolerance, dimensions):
    network = micro.build("pig", dimensions).guider
    exact = outputs(Compute(), dimensions, network)
    converted = variant.apply_to(copy.deepcopy(network))
    found = outputs(variant, dimensions, converted)
    assert found.dtype == torch.float32
    assert float((found - exact).abs().max()) <= tolerance * float(exact.abs().max())
    assert all(weight.dtype == torch.float32 for weight in converted.parameters())
    if variant.channels_last:
        layout = torch.channels_last if dimensions == 2 else torch.channels_last_3d
        kernels = [part.weight for part in converted.modules() if isinstance(part, KINDS[dimensions])]
        assert kernels
        assert all(kernel.is_contiguous(memory_format=layout) for kernel in kernels)
    if variant.precision == "bfloat16":
        assert not torch.equal(found, exact)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")  # inside torch
def test_compiling_does_not_change_the_output_beyond_rounding():
    network = micro.build("pig").guider
    exact = outputs(Compute(), 2, network)
    variant = Compute(compiled=True)
    assert torch.allclose(outputs(variant, 2, variant.apply_to(copy.deepcopy(network))), exact, atol=1e-4)


class Probe(nn.Module):
    """Records whether it was called under autocast; raises on request."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x, fail=False):
        self.under = torch.is_autocast_enabled("cpu")
        if fail:
            raise ZeroDivisionError
        return self.linear(x), "a word"


def test_a_part_runs_under_autocast_and_nothing_else_does():
    probe = BFLOAT16.apply_to(Probe())
    output, word = probe(torch.ones(1, 2))
    assert (probe.under, output.dtype, word) == (True, torch.float32, "a word")
    assert not torch.is_autocast_enabled("cpu")
    with pytest.raises(ZeroDivisionError):
        probe(torch.ones(1, 2), fail=True)
    assert not torch.is_autocast_enabled("cpu")
    Compute().apply_to(probe)(torch.ones(1, 2))
    assert not probe.under


def test_a_layout_replaces_the_one_before_and_survives_a_copy():
    probe = BFLOAT16.apply_to(BFLOAT16.apply_to(Probe()))
    assert len(probe._forward_pre_hooks) == len(probe._forward_hooks) == 1
    copied = copy.deepcopy(probe)
    copied(torch.ones(1, 2))
    assert copied.under
    Compute().apply_to(copied)(torch.ones(1, 2))
    probe(torch.ones(1, 2))
    assert (copied.under, probe.under) == (False, True)


@pytest.mark.usefixtures("native_bfloat16")
def test_the_choice_is_recorded_once_and_kept(tmp_path, monkeypatch):
    cohort = micro.micro_cohort(tmp_path / "c")
    settings = [*micro.micro_settings("ddpm", method_class("ddpm"), 2), "training.precision=measured"]
    train("ddpm", cohort, tmp_path / "run", settings=settings, budget=Budget(steps=1))
    first = json.loads((tmp_path / "run" / "run.json").read_text())["compute"]["stack"]
    assert set(first["steps_per_second"]) == {"float32", "bfloat16"}
    rates = first["steps_per_second"]
    assert first["precision"] == max(rates, key=rates.get)
    monkeypatch.setattr(
        "medsmith.training.number_format.fastest_compute", lambda *_, **__: pytest.fail("measured again")
    )
    train("ddpm", cohort, tmp_path / "run", settings=settings, budget=Budget(steps=2))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["compute"]["stack"] == first
