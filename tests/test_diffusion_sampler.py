import gc
import inspect
import itertools
import math
import subprocess
import sys
import weakref
from unittest import mock

import diffusers
import numpy as np
import pytest
import torch
from diffusers.schedulers import scheduling_ddim, scheduling_ddpm
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks.schedulers import DDIMScheduler, DDPMScheduler, RFlowScheduler

from diffusion_oracles import (
    FAMILIES,
    SHAPES,
    VARIANCE_PRESERVING,
    Gaussian,
    in_double,
    levels,
    network,
    relative,
)
from medsmith.diffusion import (
    SOLVERS,
    NoiseSchedule,
    SeededNoise,
    check_walk,
    derive_seed,
    guided,
    last,
    sample,
    times,
)

SEEDS = (11, 12)
IN_MONAI = {"linear": "linear_beta", "scaled_linear": "scaled_linear_beta", "cosine": "cosine"}
IN_DIFFUSERS = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
ENDS = {
    "linear": {"beta_start": 1e-4, "beta_end": 0.02},
    "scaled_linear": {"beta_start": 0.0015, "beta_end": 0.0195},
    "cosine": {},
}


# --- Step for step against MONAI and diffusers -----------------------------------------------------------------------


def doubled(theirs, family):
    """Their tables, computed anew in double precision; the cosine's is of the paper's eq. 17."""
    length = len(theirs.betas)
    if family == "cosine":
        power = np.cos((np.arange(length + 1) / length + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - power[1:] / power[:-1], 0.999)
    elif family == "linear":
        betas = np.linspace(1e-4, 0.02, length)
    else:
        betas = np.linspace(0.0015**0.5, 0.0195**0.5, length) ** 2
    theirs.betas = torch.from_numpy(betas)
    theirs.alphas = 1 - theirs.betas
    theirs.alphas_cumprod = theirs.alphas.cumprod(0)
    return theirs


def monai_ddpm(family, length, **options):
    return DDPMScheduler(length, schedule=IN_MONAI[family], **{"clip_sample": False, **ENDS[family], **options})


def monai_ddim(family, length, **options):
    return DDIMScheduler(length, schedule=IN_MONAI[family], **{"clip_sample": False, **ENDS[family], **options})


def diffusers_ddpm(family, length, **options):
    options = {"clip_sample": False, **ENDS[family], **options}
    return diffusers.DDPMScheduler(length, beta_schedule=IN_DIFFUSERS[family], **options)


def diffusers_ddim(family, length, **options):
    options = {"clip_sample": False, **ENDS[family], **options}
    return diffusers.DDIMScheduler(length, beta_schedule=IN_DIFFUSERS[family], **options)


def dpm_solver(family, length):
    return diffusers.DPMSolverMultistepScheduler(
        length,
        beta_schedule=IN_DIFFUSERS[family],
        algorithm_type="dpmsolver++",
        solver_type="midpoint",
        final_sigmas_type="zero",
        **ENDS[family],
    )


def agree(theirs, schedule, shape, step, *, limit=None, prediction="noise", clamp=None, **options):
    """Walk ours and theirs side by side from the same noise, with the same draws; compare every state.

    Their tables in double precision: to 1e-6 (our first state is single precision). As they come: to 1e-5, but near
    the end, where 1 - alphas_cumprod in single precision has few digits left.
    """
    kind = theirs.alphas_cumprod.dtype
    draws = SeededNoise(SEEDS)
    state = draws(*shape).to(kind)
    denoise = schedule.denoiser(network, prediction, clamp)
    walk = sample(lambda x, t: denoise(x.to(kind), t), schedule, shape, SeededNoise(SEEDS), **options)
    for ours in itertools.islice(walk, limit):
        state = step(network(state, torch.full((len(SEEDS),), ours.t)), ours.t, state, draws)
        single = 1e-5 if schedule.noise[ours.t] > 0.2 else 5e-4
        tolerance = 1e-6 if kind == torch.float64 else single
        assert relative(ours.x, state) <= tolerance, f"step {ours.index} of {ours.total}, time {ours.t}"
    assert ours.t_next == -1 or limit


def drawn(shape, draws):
    """A stand-in for the library's own draw: the next one of our stream."""
    return lambda *_, dtype=torch.float32, **__: draws(*shape).to(dtype)


def step_of(theirs, shape, **options):
    """One step of either library, on our draws."""

    def step(answer, t, x, draws):
        with (
            mock.patch("torch.randn", drawn(shape, draws)),
            mock.patch.object(scheduling_ddpm, "randn_tensor", drawn(shape, draws)),
            mock.patch.object(scheduling_ddim, "randn_tensor", drawn(shape, draws)),
        ):
            return theirs.step(answer, t, x, return_dict=False, **options)[0]

    def step_of_monai(answer, t, x, draws):
        with mock.patch("torch.randn", drawn(shape, draws)):
            return theirs.step(answer, t, x, **options)[0]

    return step_of_monai if type(theirs).__module__.startswith("monai") else step


@pytest.mark.parametrize("dimensions", SHAPES)
@pytest.mark.parametrize("family", VARIANCE_PRESERVING)
@pytest.mark.parametrize("maker", [monai_ddpm, diffusers_ddpm])
def test_ddpm_step_for_step(maker, family, dimensions):
    shape = SHAPES[dimensions]
    for length, limit in [(50, None), (1000, 30)]:
        theirs = doubled(maker(family, length), family)
        agree(theirs, FAMILIES[family](length), shape, step_of(theirs, shape), solver="ddpm", steps=length, limit=limit)


@pytest.mark.parametrize("maker", [monai_ddpm, diffusers_ddpm])
def test_ddpm_all_1000_steps_with_their_own_tables(maker):
    shape, theirs = SHAPES["2-D"], maker("linear", 1000)
    agree(theirs, NoiseSchedule.linear(1000), shape, step_of(theirs, shape), solver="ddpm", steps=1000)


@pytest.mark.parametrize("dimensions", SHAPES)
@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("family", VARIANCE_PRESERVING)
def test_ddpm_on_fewer_times_as_diffusers(family, spacing, dimensions):
    shape = SHAPES[dimensions]
    theirs = doubled(diffusers_ddpm(family, 200, timestep_spacing=spacing), family)
    theirs.set_timesteps(20)
    agree(theirs, FAMILIES[family](200), shape, step_of(theirs, shape), solver="ddpm", steps=20, spacing=spacing)


@pytest.mark.parametrize("dimensions", SHAPES)
@pytest.mark.parametrize("steps", [40, 10])
@pytest.mark.parametrize("spacing", ["trailing", "leading"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("family", VARIANCE_PRESERVING)
@pytest.mark.parametrize("maker", [monai_ddim, diffusers_ddim])
def test_ddim_step_for_step(maker, family, eta, spacing, steps, dimensions):
    shape = SHAPES[dimensions]
    theirs = doubled(maker(family, 40), family)
    theirs.set_timesteps(steps)
    options = {"solver": "ddim", "steps": steps, "stochasticity": eta, "spacing": spacing}
    agree(theirs, FAMILIES[family](40), shape, step_of(theirs, shape, eta=eta), **options)


@pytest.mark.parametrize("prediction", ["velocity", "clean"])
@pytest.mark.parametrize("maker", [monai_ddim, diffusers_ddim])
def test_ddim_of_other_predictions(maker, prediction):
    shape, kind = SHAPES["2-D"], {"velocity": "v_prediction", "clean": "sample"}[prediction]
    theirs = doubled(maker("cosine", 100, prediction_type=kind), "cosine")
    theirs.set_timesteps(20)
    step = step_of(theirs, shape, eta=0.0)
    agree(theirs, NoiseSchedule.cosine(100), shape, step, prediction=prediction, solver="ddim", steps=20)


def test_the_clamped_estimate_walks_as_in_their_ddpm():
    shape = SHAPES["2-D"]
    for maker in (monai_ddpm, diffusers_ddpm):
        theirs = doubled(maker("linear", 100, clip_sample=True), "linear")
        agree(theirs, NoiseSchedule.linear(100), shape, step_of(theirs, shape), clamp=1.0, solver="ddpm", steps=100)


def test_the_clamped_estimate_sets_the_noise_too_as_in_ddim_of_diffusers():
    shape = SHAPES["2-D"]
    theirs = doubled(diffusers_ddim("linear", 100, clip_sample=True), "linear")
    theirs.set_timesteps(20)
    step = step_of(theirs, shape, use_clipped_model_output=True)
    agree(theirs, NoiseSchedule.linear(100), shape, step, clamp=1.0, solver="ddim", steps=20)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("dimensions", SHAPES)
@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("steps", [5, 20])
@pytest.mark.parametrize("family", VARIANCE_PRESERVING)
def test_dpm_solver_step_for_step(family, steps, spacing, dimensions):
    shape, schedule = SHAPES[dimensions], FAMILIES[family](200)
    theirs = doubled(dpm_solver(family, 200), family)
    theirs.set_timesteps(timesteps=times(200, steps, spacing))
    # set_timesteps rounds to single precision.
    walk = times(200, steps, spacing)
    theirs.sigmas = torch.cat([(schedule.noise / schedule.signal)[walk], torch.zeros(1)])
    agree(theirs, schedule, shape, step_of(theirs, shape), solver="dpm++2m", steps=steps, spacing=spacing)


def flow_walk(schedule, shape, steps, **options):
    denoise = schedule.denoiser(network, "velocity")
    return sample(in_double(denoise), schedule, shape, SeededNoise(SEEDS), steps=steps, **options)


@pytest.mark.parametrize("dimensions", SHAPES)
@pytest.mark.parametrize("steps", [1, 7, 40])
def test_flow_euler_step_for_step(steps, dimensions):
    shape, schedule = SHAPES[dimensions], NoiseSchedule.rectified_flow(1000)
    monai, flow = RFlowScheduler(1000), diffusers.FlowMatchEulerDiscreteScheduler(1000)
    monai.set_timesteps(steps)
    flow.set_timesteps(sigmas=[float(schedule.noise[t]) for t in times(1000, steps)])
    of_monai = of_diffusers = SeededNoise(SEEDS)(*shape)
    following = [*monai.timesteps.tolist()[1:], 0]
    for ours, t, after, of_flow in zip(
        flow_walk(schedule, shape, steps, solver="euler"), monai.timesteps, following, flow.timesteps, strict=True
    ):
        now = torch.full((len(SEEDS),), ours.t)
        assert ours.t == t - 1  # MONAI counts from 1 and points its velocity at the image
        of_monai = monai.step(-network(of_monai, now), int(t), of_monai, after)[0]
        of_diffusers = flow.step(network(of_diffusers, now), of_flow, of_diffusers).prev_sample
        assert relative(ours.x, of_monai) <= 1e-5
        assert relative(ours.x, of_diffusers) <= 1e-5


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("dimensions", SHAPES)
def test_dpm_solver_walks_flows_as_in_diffusers(dimensions):
    shape, schedule, steps = SHAPES[dimensions], NoiseSchedule.rectified_flow(1000), 12
    theirs = diffusers.DPMSolverMultistepScheduler(1000, prediction_type="flow_prediction", use_flow_sigmas=True)
    walk = times(1000, steps)
    theirs.set_timesteps(steps)
    theirs.sigmas = torch.cat([schedule.noise[walk], torch.zeros(1)])  # theirs would start at .999
    x = SeededNoise(SEEDS)(*shape).double()
    pairs = zip(flow_walk(schedule, shape, steps, solver="dpm++2m"), theirs.timesteps, strict=True)
    for ours, t in pairs:
        x = theirs.step(network(x, torch.full((len(SEEDS),), ours.t)), t, x).prev_sample
        assert relative(ours.x, x) <= 1e-5


# --- Times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1000, 1024])
@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
def test_times_are_those_of_diffusers(length, spacing):
    theirs = diffusers.DDIMScheduler(length, timestep_spacing=spacing)
    usual = (2, 4, 5, 8, 10, 16, 20, 25, 32, 40, 50, 64, 100, 128, 200, 250, 256, 500, 512, length)
    for steps in range(2, length + 1):
        theirs.set_timesteps(steps)
        ours, expected = np.array(times(length, steps, spacing)), theirs.timesteps.numpy()
        # Theirs adds up rounded strides: now and then it gains a step, or rounds an exact half to the other side.
        if steps in usual or len(expected) == steps:
            assert np.abs(ours - expected).max() <= (0 if steps in usual else 1), steps


@pytest.mark.parametrize("length", [50, 1000])
def test_linspace_times_are_those_of_monai(length):
    theirs = DDIMScheduler(length)
    for steps in range(1, 50):
        theirs.set_timesteps(steps)
        ours, expected = np.array(times(length, steps, "linspace")), theirs.timesteps.numpy()
        # Single precision rounds an exact half now and then to the other side.
        half = any(2 * i * (length - 1) % (2 * steps - 2) == steps - 1 for i in range(1, steps))
        assert np.abs(ours - expected).max() <= int(half), steps


@given(st.integers(1, 3000), st.data(), st.sampled_from(["trailing", "leading", "linspace"]))
def test_times_are_distinct_descending_and_within(length, data, spacing):
    steps = data.draw(st.integers(1, length))
    walk = times(length, steps, spacing)
    assert len(walk) == steps
    assert all(a > b for a, b in itertools.pairwise(walk))
    assert length > walk[0]
    assert walk[-1] >= 0
    if spacing != "leading":
        assert walk[0] == length - 1
    if spacing != "trailing" and steps > 1:
        assert walk[-1] == 0
    if steps == length:
        assert walk == list(range(length))[::-1]


@pytest.mark.parametrize("steps", [0, -1, 11])
def test_a_number_of_steps_out_of_range_is_refused(steps):
    with pytest.raises(ValueError, match=f"{steps} steps: a schedule of 10 times allows 1 to 10"):
        times(10, steps)


def test_an_unknown_spacing_is_refused():
    with pytest.raises(ValueError, match="unknown spacing 'karras': choose one of trailing, leading, linspace"):
        inspect.unwrap(times)(10, 5, "karras")


# --- The closed form of a Gaussian -----------------------------------------------------------------------------------

DATA = Gaussian(mu=0.2, sd=0.3)
PIXELS = (1, 200, 250)


def finished(schedule, shape=PIXELS, seeds=(5,), **options):
    noise = SeededNoise(seeds)(*shape)
    return noise, last(sample(DATA.denoiser(schedule), schedule, shape, SeededNoise(seeds), **options))


def shrink_of_ddim(schedule, walk):
    """What is left of a deviation from the mean: DDIM multiplies it by a known factor at every step."""
    left = 1.0
    for (signal, noise), (signal_next, noise_next) in itertools.pairwise(levels(schedule, walk)):
        left *= (signal * signal_next * DATA.sd**2 + noise * noise_next) / DATA.spread(signal, noise) ** 2
    return left


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("steps", [1, 2, 10, 50, 400])
@pytest.mark.parametrize("family", FAMILIES)
def test_ddim_and_euler_of_a_gaussian_are_their_closed_form(family, steps, spacing):
    schedule = FAMILIES[family](400)
    solver = "euler" if family == "rectified_flow" else "ddim"
    walk = [*times(400, steps, spacing), -1]
    noise, x = finished(schedule, (2, 8, 8), solver=solver, steps=steps, spacing=spacing)
    start = float(schedule.signal[walk[0]]) * DATA.mu
    expected = DATA.mu + shrink_of_ddim(schedule, walk) * (noise - start)
    torch.testing.assert_close(x, expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("spacing", "steps", "known"),
    [("leading", 50, 0.2750), ("trailing", 50, 0.2733), ("trailing", 250, 0.2944), ("trailing", 1000, 0.2985)],
)
def test_few_steps_of_ddim_lose_spread_and_more_give_it_back(spacing, steps, known):
    schedule = NoiseSchedule.linear()
    assert shrink_of_ddim(schedule, [*times(1000, steps, spacing), -1]) == pytest.approx(known, abs=5e-5)
    _, x = finished(schedule, solver="ddim", steps=steps, spacing=spacing)
    # 50,000 pixels: the standard error of their spread is .0009, of their mean .0012.
    assert x.std() == pytest.approx(known, abs=0.003)
    assert x.mean() == pytest.approx(DATA.mu, abs=0.005)


def variance_after(schedule, walk, eta):
    """Mean and variance recursion of DDIM with noise (eta 1 is DDPM), in the papers' letters."""
    mean, variance = 0.0, 1.0
    for (signal, noise), (signal_next, _) in itertools.pairwise(levels(schedule, walk)):
        gain = signal * DATA.sd**2 / DATA.spread(signal, noise) ** 2
        sigma = eta * math.sqrt((1 - signal_next**2) / (1 - signal**2) * (1 - signal**2 / signal_next**2))
        toward = math.sqrt(1 - signal_next**2 - sigma**2)
        slope = signal_next * gain + toward * (1 - signal * gain) / noise
        clean = DATA.mu + gain * (mean - signal * DATA.mu)
        mean = signal_next * clean + toward * (mean - signal * clean) / noise
        variance = slope**2 * variance + sigma**2
    return mean, variance


@pytest.mark.parametrize(("solver", "eta"), [("ddpm", 1.0), ("ddim", 1.0), ("ddim", 0.5)])
@pytest.mark.parametrize("family", VARIANCE_PRESERVING)
def test_noisy_walks_of_a_gaussian_have_the_closed_forms_moments(family, solver, eta):
    schedule, steps = FAMILIES[family](200), 25
    options = {} if solver == "ddpm" else {"stochasticity": eta}
    _, x = finished(schedule, solver=solver, steps=steps, **options)
    mean, variance = variance_after(schedule, [*times(200, steps), -1], eta)
    sd, count = math.sqrt(variance), x.numel()
    assert x.mean() == pytest.approx(mean, abs=4 * sd / math.sqrt(count))
    assert x.std() == pytest.approx(sd, rel=4 / math.sqrt(2 * count))


def test_all_1000_steps_of_ddpm_give_the_data_back():
    mean, variance = variance_after(NoiseSchedule.linear(), [*reversed(range(1000)), -1], eta=1.0)
    assert mean == pytest.approx(DATA.mu, abs=1e-3)
    assert math.sqrt(variance) == pytest.approx(DATA.sd, rel=0.015)


def even_in_log_ratio(length):
    """A schedule whose times are evenly spaced in DPM-Solver's lambda, from 3 down to -3."""
    ratio = torch.linspace(3, -3, length, dtype=torch.float64)
    return NoiseSchedule(torch.sigmoid(2 * ratio).sqrt(), torch.sigmoid(-2 * ratio).sqrt())


@pytest.mark.parametrize(("solver", "order"), [("ddim", 1), ("dpm++2m", 2)])
def test_halving_the_strides_shows_each_solvers_order(solver, order):
    errors = []
    for length in (33, 65, 129, 257):
        schedule, start = even_in_log_ratio(length), SeededNoise((5,))(1, 6, 6).double()
        denoise = in_double(DATA.denoiser(schedule))
        walk = sample(denoise, schedule, (1, 6, 6), SeededNoise((5,)), solver=solver, steps=length)
        state = next(step.x for step in walk if step.t_next == 0)
        # The probability flow keeps a pixel's distance from the mean in units of the spread at its time.
        (signal, noise), (signal_start, noise_start) = levels(schedule, [0, length - 1])
        moved = (start - signal_start * DATA.mu) / DATA.spread(signal_start, noise_start)
        exact = signal * DATA.mu + DATA.spread(signal, noise) * moved
        errors.append(float((state - exact).abs().max()))
    ratios = [coarse / fine for coarse, fine in itertools.pairwise(errors)]
    assert ratios[-1] == pytest.approx(2**order, rel=0.05), ratios


@pytest.mark.parametrize("family", FAMILIES)
def test_20_steps_of_dpm_solver_keep_more_spread_than_20_of_ddim(family):
    kept = {}
    for solver in ("ddim", "dpm++2m"):
        noise, x = finished(FAMILIES[family](), (1, 8, 8), solver=solver, steps=20)
        kept[solver] = float(x.std() / noise.std())
    assert abs(kept["dpm++2m"] - DATA.sd) < abs(kept["ddim"] - DATA.sd)


# --- The loop --------------------------------------------------------------------------------------------------------


def walk_of(schedule=None, seeds=(1, 2), shape=(1, 4, 4), denoise=None, **options):
    schedule = schedule or NoiseSchedule.cosine(30)
    options = {"solver": "ddim", "steps": 6, **options}
    denoise = denoise or schedule.denoiser(network, "velocity", clamp=1.0)
    return sample(denoise, schedule, shape, SeededNoise(seeds), **options)


def test_a_walk_tells_where_it_is():
    steps = list(walk_of(steps=5))
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

    steps = list(walk_of(denoise=watch, steps=4))
    assert [t for _, t in seen] == [[step.t] * 2 for step in steps]
    assert torch.equal(seen[0][0], SeededNoise((1, 2))(1, 4, 4))
    for step, (x, _) in zip(steps[:-1], seen[1:], strict=True):
        assert torch.equal(step.x, x)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_finished_image_is_the_last_clean_estimate(solver):
    schedule = NoiseSchedule.rectified_flow(30) if solver == "euler" else NoiseSchedule.cosine(30)
    for steps in (1, 2, 30):
        *_, end = walk_of(schedule, solver=solver, steps=steps)
        assert torch.equal(end.x, end.clean)
        assert end.x.abs().max() <= 1
        assert end.t_next == -1


@pytest.mark.parametrize("options", [{"solver": "ddpm"}, {"stochasticity": 0.7}, {"solver": "dpm++2m"}, {}])
def test_the_seeds_alone_decide_the_walk(options):
    once, again, other = (last(walk_of(seeds=seeds, **options)) for seeds in ((1, 2), (1, 2), (3, 4)))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.parametrize("options", [{"solver": "ddpm"}, {"stochasticity": 0.7}, {"solver": "dpm++2m"}])
def test_a_cases_image_does_not_depend_on_its_batch(options):
    together = last(walk_of(seeds=(1, 2, 3), **options))
    swapped = last(walk_of(seeds=(3, 1), **options))
    alone = last(walk_of(seeds=(2,), **options))
    torch.testing.assert_close(together[[2, 0]], swapped, atol=1e-6, rtol=0)
    torch.testing.assert_close(together[[1]], alone, atol=1e-6, rtol=0)


def test_deterministic_solvers_draw_once_and_noisy_ones_before_every_state_but_the_last():
    draw = SeededNoise.__call__
    for solver, expected in [("ddim", 1), ("dpm++2m", 1), ("ddpm", 6)]:
        with mock.patch.object(SeededNoise, "__call__", autospec=True, side_effect=draw) as drawn_noise:
            last(walk_of(solver=solver, steps=6))
        assert drawn_noise.call_count == expected


def test_a_walk_keeps_no_history():
    alive = []

    def denoise(x, _):
        clean = 0.9 * x
        alive.append(weakref.ref(clean))
        return clean

    for step in walk_of(denoise=denoise, steps=30):
        held = [index for index, reference in enumerate(alive) if reference() is not None]
        assert set(held) <= {step.index - 2, step.index - 1}
    del step
    gc.collect()
    assert not any(reference() is not None for reference in alive)


def test_a_walk_builds_no_graph():
    weight = torch.ones(1, requires_grad=True)
    walk = walk_of(denoise=lambda x, _: weight * x)
    for step in walk:
        assert not step.x.requires_grad
        assert torch.is_grad_enabled()


REFUSED = [
    ("cosine", {"solver": "euler"}, "euler walks straight paths"),
    ("cosine", {"steps": 31}, "31 steps: a schedule of 30 times allows 1 to 30"),
    ("cosine", {"steps": 0}, "0 steps"),
    ("cosine", {"solver": "ddpm", "stochasticity": 0.5}, "stochasticity belongs to ddim"),
    ("cosine", {"solver": "dpm++2m", "stochasticity": 0.5}, "stochasticity belongs to ddim"),
    ("cosine", {"stochasticity": -0.5}, "stochasticity -0.5: it is 0 or more"),
    ("cosine", {"stochasticity": float("nan")}, "stochasticity nan: it is 0 or more"),
    ("cosine", {"stochasticity": 3.0}, "stochasticity 3.0 draws more noise than the schedule has"),
    ("rectified_flow", {"solver": "ddpm"}, "rectified flow is deterministic: take euler, ddim or dpm"),
    ("rectified_flow", {"stochasticity": 1.0}, "rectified flow is deterministic"),
]


@pytest.mark.parametrize(("family", "options", "message"), REFUSED)
def test_a_walk_that_cannot_be_made_is_refused_at_the_call(family, options, message):
    options = {"solver": "ddim", "steps": 5, **options}
    with pytest.raises(ValueError, match=message):
        walk_of(FAMILIES[family](30), **options)


def test_an_unknown_solver_is_refused():
    with pytest.raises(ValueError, match=r"unknown solver 'heun': choose one of ddpm, ddim, dpm\+\+2m, euler"):
        inspect.unwrap(check_walk)(NoiseSchedule.cosine(30), "heun", 5)


def test_every_allowed_walk_passes_the_check():
    for family in VARIANCE_PRESERVING:
        for solver in ("ddpm", "ddim", "dpm++2m"):
            check_walk(FAMILIES[family](30), solver, 30)
    for solver in ("euler", "ddim", "dpm++2m"):
        check_walk(NoiseSchedule.rectified_flow(30), solver, 30)
    check_walk(NoiseSchedule.cosine(30), "ddim", 1, stochasticity=1.0)


# --- Noise -----------------------------------------------------------------------------------------------------------


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
    draw = SeededNoise((3,))(100_000)
    assert draw.mean() == pytest.approx(0, abs=4 / math.sqrt(1e5))
    assert draw.std() == pytest.approx(1, abs=4 / math.sqrt(2e5))
    assert (draw.abs() > 1.96).double().mean() == pytest.approx(0.05, abs=0.003)


def test_streams_of_neighbouring_seeds_are_unrelated():
    draws = SeededNoise(range(40))(4000)
    related = torch.corrcoef(draws) - torch.eye(40)
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


# --- Guidance --------------------------------------------------------------------------------------------------------


def bound(shift):
    """A network with a condition bound to it, here a number."""
    return lambda x, t: network(x + shift, t)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-3, 8), min_size=1, max_size=3), st.sampled_from(VARIANCE_PRESERVING))
def test_guidance_of_clean_estimates_is_that_of_the_papers_noise_estimates(weights, family):
    schedule = FAMILIES[family](100)
    x, t = SeededNoise((1, 2))(1, 5, 5).double(), torch.tensor([3, 80])
    conditions = [bound(0.1 * (index + 1)) for index in range(len(weights))]
    noise = network(x, t)
    for condition, weight in zip(conditions, weights, strict=True):
        noise = noise + weight * (condition(x, t) - network(x, t))
    expected = schedule.clean_estimate(x, t, noise, "noise")
    denoisers = [schedule.denoiser(condition, "noise") for condition in conditions]
    ours = guided(schedule.denoiser(network, "noise"), *zip(denoisers, weights, strict=True))(x, t)
    torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-8)


def counting(function):
    def counted(x, t):
        counted.calls += 1
        return function(x, t)

    counted.calls = 0
    return counted


def test_guidance_of_weight_0_is_the_base_and_of_1_the_condition_and_neither_calls_for_nothing():
    x, t = SeededNoise((1,))(1, 5, 5), torch.tensor([3])
    base, one, other = counting(network), counting(bound(0.3)), counting(bound(0.7))
    assert torch.equal(guided(base, (one, 0.0))(x, t), network(x, t))
    assert torch.equal(guided(base)(x, t), network(x, t))
    assert one.calls == 0
    assert torch.equal(guided(base, (one, 1.0), (other, 0.0))(x, t), bound(0.3)(x, t))
    assert (base.calls, one.calls, other.calls) == (2, 1, 0)
    guided(base, (one, 2.0), (other, 1.0))(x, t)
    assert (base.calls, one.calls, other.calls) == (3, 2, 1)
