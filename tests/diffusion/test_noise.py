import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.diffusion import (
    SeededNoise,
    derive_seed,
)


def test_noise_belongs_to_the_case_and_not_to_the_batch():
    together, turned, alone = SeededNoise((7, 8, 9)), SeededNoise((9, 7)), SeededNoise((8,))
    for shape in [(2, 3, 4), (1,), (2, 3, 4, 5)]:
        batch = together(*shape)
        assert batch.shape == (3, *shape)
        assert batch.dtype == torch.float32
        assert torch.equal(batch[[2, 0]], turned(*shape))
        assert torch.equal(batch[[1]], alone(*shape))


def test_noise_is_the_same_in_another_process():
    code = "from medsmith.diffusion import SeededNoise; print(SeededNoise((8, 2**120))(2, 3).tolist())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(SeededNoise((8, 2**120))(2, 3).tolist())


def test_noise_is_standard_normal():
    noise = SeededNoise((3,))(100_000)
    assert noise.mean() == pytest.approx(0, abs=4 / math.sqrt(1e5))
    assert noise.std() == pytest.approx(1, abs=4 / math.sqrt(2e5))
    assert (noise.abs() > 1.96).double().mean() == pytest.approx(0.05, abs=0.003)


def test_streams_of_neighbouring_seeds_are_unrelated():
    noise = SeededNoise(range(40))(4000)
    related = torch.corrcoef(noise) - torch.eye(40)
    assert related.abs().max() < 5 / math.sqrt(4000)


def test_derived_seeds_are_stable():
    assert derive_seed() == 52722071499675173125349414402093180402
    assert derive_seed(0, "case_0001") == 114990897969933195617885769917116150905
    assert derive_seed(np.int64(0), "case_0001") == 114990897969933195617885769917116150905


def test_derived_seeds_do_not_meet():
    seeds = {derive_seed(0, f"case_{index}") for index in range(50_000)}
    seeds |= {derive_seed(index, 0) for index in range(50_000)}
    assert len(seeds) == 100_000
    assert max(seeds) < 2**127
    assert min(seeds) >= 0


@settings(max_examples=50)
@given(*[st.lists(st.integers() | st.text(), max_size=4)] * 2)
def test_different_parts_give_different_seeds(parts, others):
    assert (derive_seed(*parts) == derive_seed(*others)) == (parts == others)


def test_a_separator_inside_a_part_does_not_split_it():
    assert derive_seed('a", "b') != derive_seed("a", "b")
    assert derive_seed("1") != derive_seed(1)


def test_temperature_scales_every_draw_and_nothing_else():
    unit, scaled = SeededNoise((3, 4)), SeededNoise((3, 4), temperature=0.25)
    for _ in range(3):
        assert torch.equal(scaled(5, 5), 0.25 * unit(5, 5))
