"""Batches: order, mirroring and reproducibility."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medsmith.data.batches import Batches, batches_of
from medsmith.diffusion import derive_seed


def numbered(count, shape=(1, 4, 6)):
    """Examples whose voxel values encode case and voxel."""
    return [{"image": torch.arange(int(np.prod(shape))).reshape(shape) + 1000 * n} for n in range(count)]


@given(count=st.integers(1, 30), size=st.integers(1, 17), seed=st.integers(0, 2**70), step=st.integers(0, 10**9))
def test_a_batch_depends_on_seed_and_step_alone(count, size, seed, step):
    first, second = (batches_of([{}] * count, size, seed) for _ in range(2))
    for earlier in range(3):
        second.indices(earlier)
    assert first.indices(step) == second.indices(step)
    assert len(first.indices(step)) == size


@given(count=st.integers(1, 30), size=st.integers(1, 17), seed=st.integers(0, 2**70))
def test_each_case_comes_once_per_epoch(count, size, seed):
    batches = batches_of([{}] * count, size, seed)
    stream = [index for step in range(-(-3 * count // size)) for index in batches.indices(step)]
    for start in range(0, 3 * count, count):
        assert Counter(stream[start : start + count]) == Counter(range(count))


def test_epochs_and_seeds_have_their_own_order():
    stream = [index for step in range(4) for index in batches_of([{}] * 40, 10, 1).indices(step)]
    again = [index for step in range(4, 8) for index in batches_of([{}] * 40, 10, 1).indices(step)]
    other = [index for step in range(4) for index in batches_of([{}] * 40, 10, 2).indices(step)]
    assert sorted(stream) == sorted(again) == sorted(other) == list(range(40))
    assert stream not in (again, other)


@pytest.mark.parametrize(("shape", "flips"), [((1, 4, 6), (0,)), ((1, 4, 6), (0, 1)), ((2, 3, 4, 5), (0, 2))])
def test_mirroring_is_whole_and_half_of_the_time_along_each_axis(shape, flips):
    examples = numbered(5, shape)
    batches = batches_of(examples, 50, 3, flips)
    found: Counter[tuple[int, ...]] = Counter()
    for step in range(20):
        batch = batches(step)
        for index, image in zip(batches.indices(step), batch["image"], strict=True):
            original = examples[index]["image"]
            mirrors = {
                axes: original.flip([1 + axis for axis in axes]) if axes else original
                for axes in ((), *((axis,) for axis in flips), flips if len(flips) > 1 else ())
            }
            (axes,) = {axes for axes, mirror in mirrors.items() if torch.equal(mirror, image)}
            found[axes] += 1
    for axis in flips:
        share = sum(n for axes, n in found.items() if axis in axes) / 1000
        assert share == pytest.approx(0.5, abs=4 * (0.25 / 1000) ** 0.5)


def test_image_and_mask_are_mirrored_together_and_repeatably():
    examples = [{"image": e["image"], "mask": e["image"].clone()} for e in numbered(4)]
    batches = batches_of(examples, 8, 3, (0, 1))
    for step in (0, 1, 7):
        batch = batches(step)
        assert torch.equal(batch["image"], batch["mask"])
        assert torch.equal(batch["image"], batches_of(examples, 8, 3, (0, 1))(step)["image"])


def test_without_mirroring_cases_stay_as_they_are():
    examples = numbered(4)
    batches = batches_of(examples, 6, 0)
    assert torch.equal(batches(5)["image"], torch.stack([examples[i]["image"] for i in batches.indices(5)]))


@given(processes=st.sampled_from([1, 2, 3, 6]), step=st.integers(0, 50))
def test_each_process_reads_its_own_cases_alone_and_together_they_are_the_batch(processes, step):
    read: list[int] = []

    def noted(index, axes):
        read.append(index)
        return whole.mirrored(index, axes)

    whole = batches_of(numbered(7), 12, 3, (0, 1))
    for process in range(processes):
        read.clear()
        share = Batches(7, noted, 12, 3, (0, 1))(step, process, processes)
        assert read == whole.indices(step)[process::processes]
        assert torch.equal(share["image"], whole(step)["image"][process::processes])


def test_the_order_of_an_epoch_is_drawn_once(monkeypatch):
    drawn: list[str] = []

    def noted(seed, name, number):
        drawn.append(f"{name} {number}")
        return derive_seed(seed, name, number)

    monkeypatch.setattr("medsmith.data.batches.derive_seed", noted)
    batches = batches_of([{}] * 10, 4, 1)
    for step in range(5):
        batches.indices(step)
    assert drawn == ["order 0", "order 1"]
