"""Network passes of several cases that share a batch: each case has the bytes that it has alone in its row."""

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from medsmith.networks import UNet, micro_batch
from medsmith.networks.controlnet import ControlNet
from medsmith.networks.micro_batch import MicroBatch, let_join
from medsmith.networks.precision import Compute
from medsmith.networks.unet import NetworkConfig
from medsmith.synthesis import case_synthesis
from narrowing import present

SMALL = NetworkConfig(channels=(8, 16), attention=(False, True), residual_blocks=1, head_channels=8, groups=4)


class Pair(nn.Module):
    """A network and its ControlNet, as a method holds them."""

    def __init__(self):
        super().__init__()
        self.network = UNet(SMALL, 2, 1, 1, modulation=2)
        self.control = ControlNet(SMALL, 2, 1, 1, modulation=2)

    def steps(self, seed, count):
        """The states of a few steps of a loop as that of sampling is."""
        rng = torch.Generator().manual_seed(seed)
        x, condition = torch.randn(1, 1, 8, 8, generator=rng), torch.randn(1, 1, 8, 8, generator=rng)
        vector, states = torch.randn(1, 2, generator=rng), []
        with torch.inference_mode():
            for step in range(count):
                t = torch.tensor([count - step])
                residuals = self.control(x, t, condition, modulation=vector, weight=0.5)
                x = x - 0.1 * self.network(x, t, modulation=vector, residuals=residuals)
                states.append(x)
        return states


@pytest.fixture
def pair():
    torch.manual_seed(0)
    made = Pair().eval()
    for weights in made.parameters():
        nn.init.normal_(weights, std=0.1)
    let_join(made)
    return made


def together(batch, counts, work):
    """The states of all rows, each computed by a thread of its own."""
    found, errors, all_there = {}, {}, threading.Barrier(len(counts))

    def make(row):
        try:
            with batch.row(row):
                all_there.wait(60)
                found[row] = work(row, counts[row])
        except Exception as error:
            errors[row] = error

    threads = [threading.Thread(target=make, args=(row,)) for row in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return found, errors


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_row_has_the_same_bytes_whatever_the_others_hold(pair, precision):
    Compute(precision=precision).apply_to(pair.network)
    batch = MicroBatch(3)
    all_rows, _ = together(batch, {0: 4, 1: 2, 2: 3}, pair.steps)  # rows end at different steps
    two, _ = together(batch, {0: 4, 2: 3}, pair.steps)
    alone = {row: together(batch, {row: count}, pair.steps)[0][row] for row, count in {0: 4, 1: 2, 2: 3}.items()}
    for row, states in alone.items():
        assert all(torch.equal(*both) for both in zip(states, all_rows[row], strict=True))
        assert row == 1 or all(torch.equal(*both) for both in zip(states, two[row], strict=True))


def test_rows_that_begin_at_different_times_have_the_same_bytes(pair):
    """Of two kinds of pass at once each is computed in its own number format."""
    Compute(precision="bfloat16").apply_to(pair.network)

    def late(row, count):
        time.sleep(0.004 * row)
        return pair.steps(row, count)

    first = together(MicroBatch(3), {0: 3, 1: 3, 2: 3}, pair.steps)[0]
    for _ in range(4):
        found = together(MicroBatch(3), {0: 3, 1: 3, 2: 3}, late)[0]
        assert all(torch.equal(*both) for row in range(3) for both in zip(first[row], found[row], strict=True))


def test_a_row_differs_from_a_pass_of_its_own_by_rounding(pair):
    expected = {row: pair.steps(row, 3) for row in range(2)}
    found, _ = together(MicroBatch(2), {0: 3, 1: 3}, pair.steps)
    for row, states in expected.items():
        for mine, theirs in zip(states, found[row], strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_rows_in_the_same_step_share_a_pass(pair, monkeypatch):
    sizes = []
    inside = pair.network.network.forward

    def counted(x, **more):
        sizes.append(len(x))
        return inside(x, **more)

    monkeypatch.setattr(pair.network.network, "forward", counted)
    together(MicroBatch(4), dict.fromkeys(range(4), 5), pair.steps)
    assert sizes == [4] * 5


def test_a_row_of_another_size_has_its_turn_while_others_go_on(pair, monkeypatch):
    widths = []
    inside = pair.network.network.forward

    def counted(x, **more):
        widths.append(x.shape[-1])
        return inside(x, **more)

    def of_size(row, count):
        x, vector = torch.ones(1, 1, 8, 16 if row == 2 else 8), torch.ones(1, 2)
        with torch.inference_mode():
            return [pair.network(x, torch.tensor([step]), modulation=vector) for step in range(count)]

    monkeypatch.setattr(pair.network.network, "forward", counted)
    found, _ = together(MicroBatch(3), {0: 40, 1: 40, 2: 3}, of_size)
    assert [len(found[row]) for row in range(3)] == [40, 40, 3]
    others = widths.index(max(widths))
    assert widths == [*[min(widths)] * others, max(widths)] * 3 + [min(widths)] * (40 - 3 * others)
    assert others == micro_batch._PATIENCE


def test_the_weight_of_a_control_is_that_of_the_row(pair):
    def weighted(row, _count):
        x, t = torch.ones(1, 1, 8, 8), torch.tensor([1])
        with torch.inference_mode():
            return pair.control(x, t, x, modulation=torch.ones(1, 2), weight=float(row)).middle

    found, _ = together(MicroBatch(2), {0: 1, 1: 1}, weighted)
    assert not found[0].any()
    assert found[1].any()


def test_an_error_of_a_pass_is_that_of_every_row_in_it(pair, monkeypatch):
    def full(*_inputs, **_named):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(pair.network.network, "forward", full)
    found, errors = together(MicroBatch(2), {0: 1, 1: 1}, pair.steps)
    assert (found, sorted(errors)) == ({}, [0, 1])
    assert {type(error) for error in errors.values()} == {torch.OutOfMemoryError}


def test_a_row_that_ends_in_between_keeps_no_other_waiting(pair):
    """One row works outside of the networks, then ends without a further pass; the other goes on."""

    def late(row, count):
        if row:
            return pair.steps(row, count)
        time.sleep(0.2)
        return []

    found, _ = together(MicroBatch(2), {0: 1, 1: 3}, late)
    assert len(found[1]) == 3


@pytest.mark.usefixtures("unchecked_types")
def test_threads_that_begin_at_once_share_one_wrapper_and_one_batch(monkeypatch):
    method: Any = Pair()
    task: Any = SimpleNamespace(recipe=SimpleNamespace(batch=4, row=lambda index: index), index=0)
    wrap, make, all_there, found = micro_batch._joining, MicroBatch.__init__, threading.Barrier(4), []

    def late_wrap(network, compute):
        all_there.wait(60)
        joined: Any = wrap(network, compute)
        joined.inner = compute
        return joined

    def late_make(self, size):
        all_there.wait(60)
        make(self, size)

    monkeypatch.setattr(micro_batch, "_joining", late_wrap)
    monkeypatch.setattr(MicroBatch, "__init__", late_make)
    monkeypatch.setattr(case_synthesis, "_BATCHES", {})

    def begin():
        with case_synthesis._row_of(method, task):
            found.append(present(micro_batch._ROW.get())[0])

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 4
    assert len(set(map(id, found))) == 1
    assert not hasattr(method.network.forward.inner, "inner")
    assert not hasattr(method.control.forward.inner, "inner")


def test_outside_of_a_row_and_a_second_time_nothing_changes(pair):
    before = pair.network.forward
    let_join(pair)
    assert pair.network.forward is before
    torch.testing.assert_close(pair.steps(1, 2), Pair.steps(pair, 1, 2), rtol=0, atol=0)
