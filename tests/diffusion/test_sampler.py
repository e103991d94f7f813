import gc
import weakref
from unittest import mock

import pytest
import torch

from diffusion_oracles import (
    FAMILIES,
    VARIANCE_PRESERVING,
    denoiser_of,
    network,
    sampled,
)
from medsmith.diffusion import (
    SOLVERS,
    NoiseSchedule,
    Sampling,
    SeededNoise,
    Solver,
    last,
    times,
)


def sampled_steps(schedule=None, seeds=(1, 2), shape=(1, 4, 4), denoise=None, **options):
    schedule = schedule or NoiseSchedule.cosine(30)
    options = {"solver": "ddim", "steps": 6, **options}
    denoise = denoise or denoiser_of(schedule, network, "velocity", clamp=1.0)
    return sampled(denoise, schedule, shape, SeededNoise(seeds), **options)


def test_a_walk_tells_where_it_is():
    steps = list(sampled_steps(steps=5))
    assert [step.index for step in steps] == [1, 2, 3, 4, 5]
    assert {step.total for step in steps} == {5}
    assert [step.t for step in steps] == times(30, 5)
    assert [step.t_next for step in steps] == [*times(30, 5)[1:], -1]
    assert all(step.x.shape == (2, 1, 4, 4) for step in steps)


def test_the_denoiser_sees_the_state_and_its_time():
    seen = []

    def watch(x, t):
        seen.append((x.clone(), t.tolist()))
        return 0.5 * x

    steps = list(sampled_steps(denoise=watch, steps=4))
    assert [t for _, t in seen] == [[step.t] * 2 for step in steps]
    assert torch.equal(seen[0][0], SeededNoise((1, 2))(1, 4, 4))
    for step, (x, _) in zip(steps[:-1], seen[1:], strict=True):
        assert torch.equal(step.x, x)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_finished_image_is_the_last_clean_estimate(solver):
    schedule = NoiseSchedule.rectified_flow(30) if solver == "euler" else NoiseSchedule.cosine(30)
    for steps in (1, 2, 30):
        *_, end = sampled_steps(schedule, solver=solver, steps=steps)
        assert torch.equal(end.x, end.clean)
        assert end.x.abs().max() <= 1
        assert end.t_next == -1


@pytest.mark.parametrize("options", [{"solver": "ddpm"}, {"stochasticity": 0.7}, {"solver": "dpm++2m"}, {}])
def test_the_seeds_alone_decide_the_walk(options):
    once, again, other = (last(sampled_steps(seeds=seeds, **options)) for seeds in ((1, 2), (1, 2), (3, 4)))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.parametrize("options", [{"solver": "ddpm"}, {"stochasticity": 0.7}, {"solver": "dpm++2m"}])
def test_a_cases_image_does_not_depend_on_its_batch(options):
    together = last(sampled_steps(seeds=(1, 2, 3), **options))
    swapped = last(sampled_steps(seeds=(3, 1), **options))
    alone = last(sampled_steps(seeds=(2,), **options))
    torch.testing.assert_close(together[[2, 0]], swapped, atol=1e-6, rtol=0)
    torch.testing.assert_close(together[[1]], alone, atol=1e-6, rtol=0)


def test_deterministic_solvers_draw_once_and_noisy_ones_before_every_state_but_the_last():
    original_call = SeededNoise.__call__
    for solver, expected in [("ddim", 1), ("dpm++2m", 1), ("ddpm", 6)]:
        with mock.patch.object(SeededNoise, "__call__", autospec=True, side_effect=original_call) as drawn_noise:
            last(sampled_steps(solver=solver, steps=6))
        assert drawn_noise.call_count == expected


def test_a_walk_keeps_no_history():
    alive = []

    def denoise(x, _):
        clean = 0.9 * x
        alive.append(weakref.ref(clean))
        return clean

    for step in sampled_steps(denoise=denoise, steps=30):
        held = [index for index, reference in enumerate(alive) if reference() is not None]
        assert set(held) <= {step.index - 2, step.index - 1}
    del step
    gc.collect()
    assert not any(reference() is not None for reference in alive)


def test_a_walk_builds_no_graph():
    weight = torch.ones(1, requires_grad=True)
    steps = sampled_steps(denoise=lambda x, _: weight * x)
    for step in steps:
        assert not step.x.requires_grad
        assert torch.is_grad_enabled()


REFUSED = [
    ("cosine", {"solver": "euler"}, "euler follows straight paths"),
    ("cosine", {"steps": 31}, "31 steps: a schedule of 30 times allows 1 to 30"),
    ("cosine", {"steps": 0}, "greater than or equal to 1"),
    ("cosine", {"solver": "ddpm", "stochasticity": 0.5}, "stochasticity belongs to ddim"),
    ("cosine", {"solver": "dpm++2m", "stochasticity": 0.5}, "stochasticity belongs to ddim"),
    ("cosine", {"stochasticity": -0.5}, "greater than or equal to 0"),
    ("cosine", {"stochasticity": float("nan")}, "finite number"),
    ("cosine", {"stochasticity": 3.0}, "less than or equal to 1"),
    ("rectified_flow", {"solver": "ddpm"}, "rectified flow is deterministic: take euler, ddim or dpm"),
    ("rectified_flow", {"stochasticity": 1.0}, "rectified flow is deterministic"),
]


@pytest.mark.parametrize(("family", "options", "message"), REFUSED)
def test_a_walk_that_cannot_be_made_is_refused_at_the_call(family, options, message):
    options = {"solver": "ddim", "steps": 5, **options}
    with pytest.raises(ValueError, match=message):
        sampled_steps(FAMILIES[family](30), **options)


def test_an_unknown_solver_is_refused():
    with pytest.raises(ValueError, match=r"'ddpm', 'ddim', 'dpm\+\+2m' or 'euler'"):
        Sampling.model_validate({"solver": "heun"})


def test_another_solver_keeps_only_the_stochasticity_that_it_takes():
    noisy = Sampling(solver="ddim", steps=9, stochasticity=0.5)
    assert noisy.override() == noisy
    assert noisy.override(steps=4) == Sampling(solver="ddim", steps=4, stochasticity=0.5)
    for solver in set(SOLVERS) - {"ddim"}:
        assert noisy.override(solver) == Sampling(solver=solver, steps=9)
    noisy.override("dpm++2m").check(NoiseSchedule.cosine(30))


def test_every_allowed_walk_passes_the_check():
    for family in VARIANCE_PRESERVING:
        for solver in ("ddpm", "ddim", "dpm++2m"):
            Sampling(solver=solver, steps=30).check(FAMILIES[family](30))
    straight: tuple[Solver, ...] = ("euler", "ddim", "dpm++2m")
    for solver in straight:
        Sampling(solver=solver, steps=30).check(NoiseSchedule.rectified_flow(30))
    Sampling(solver="ddim", steps=1, stochasticity=1.0).check(NoiseSchedule.cosine(30))
