"""Step for step against MONAI and diffusers."""

import itertools
from unittest import mock

import diffusers
import numpy as np
import pytest
import torch
from diffusers.schedulers import scheduling_ddim, scheduling_ddpm
from monai.networks.schedulers import DDIMScheduler, DDPMScheduler, RFlowScheduler

from diffusion_oracles import (
    FAMILIES,
    SHAPES,
    VARIANCE_PRESERVING,
    denoiser_of,
    in_double,
    network,
    relative,
    sampled,
)
from medsmith.diffusion import (
    NoiseSchedule,
    SeededNoise,
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
    """Sample with ours and theirs from the same noise, at the start and in every step; compare every state.

    Their tables in double precision: to 1e-6 (our first state is single precision). As they come: to 1e-5, but near
    the end, where 1 - alphas_cumprod in single precision has few digits left.
    """
    kind = theirs.alphas_cumprod.dtype
    noise_stream = SeededNoise(SEEDS)
    state = noise_stream(*shape).to(kind)
    denoise = denoiser_of(schedule, network, prediction, clamp)
    steps = sampled(lambda x, t: denoise(x.to(kind), t), schedule, shape, SeededNoise(SEEDS), **options)
    for ours in itertools.islice(steps, limit):
        state = step(network(state, torch.full((len(SEEDS),), ours.t)), ours.t, state, noise_stream)
        single = 1e-5 if schedule.noise[ours.t] > 0.2 else 5e-4
        tolerance = 1e-6 if kind == torch.float64 else single
        assert relative(ours.x, state) <= tolerance, f"step {ours.index} of {ours.total}, time {ours.t}"
    assert ours.t_next == -1 or limit


def next_noise(shape, noise_stream):
    """Replaces the library's noise by the next of our stream."""
    return lambda *_, dtype=torch.float32, **__: noise_stream(*shape).to(dtype)


def step_of(theirs, shape, **options):
    """One step of either library with our noise."""

    def step(answer, t, x, noise_stream):
        with (
            mock.patch("torch.randn", next_noise(shape, noise_stream)),
            mock.patch.object(scheduling_ddpm, "randn_tensor", next_noise(shape, noise_stream)),
            mock.patch.object(scheduling_ddim, "randn_tensor", next_noise(shape, noise_stream)),
        ):
            return theirs.step(answer, t, x, return_dict=False, **options)[0]

    def step_of_monai(answer, t, x, noise_stream):
        with mock.patch("torch.randn", next_noise(shape, noise_stream)):
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
    timesteps = times(200, steps, spacing)
    theirs.sigmas = torch.cat([(schedule.noise / schedule.signal)[timesteps], torch.zeros(1)])
    agree(theirs, schedule, shape, step_of(theirs, shape), solver="dpm++2m", steps=steps, spacing=spacing)


def flow_walk(schedule, shape, steps, **options):
    denoise = denoiser_of(schedule, network, "velocity")
    return sampled(in_double(denoise), schedule, shape, SeededNoise(SEEDS), steps=steps, **options)


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
    timesteps = times(1000, steps)
    theirs.set_timesteps(steps)
    theirs.sigmas = torch.cat([schedule.noise[timesteps], torch.zeros(1)])  # theirs would start at .999
    x = SeededNoise(SEEDS)(*shape).double()
    pairs = zip(flow_walk(schedule, shape, steps, solver="dpm++2m"), theirs.timesteps, strict=True)
    for ours, t in pairs:
        x = theirs.step(network(x, torch.full((len(SEEDS),), ours.t)), t, x).prev_sample
        assert relative(ours.x, x) <= 1e-5
