import dataclasses

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler as DiffusersDDPM
from diffusers.training_utils import compute_snr
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks.schedulers import DDPMScheduler as MonaiDDPM
from monai.networks.schedulers import RFlowScheduler

from diffusion_oracles import FAMILIES, SHAPES, VARIANCE_PRESERVING, denoiser_of, network
from medsmith.diffusion import NoiseSchedule, Prediction
from narrowing import present

LENGTHS = (10, 250, 1000, 1024)
IN_DIFFUSERS = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
IN_MONAI = {"linear": "linear_beta", "scaled_linear": "scaled_linear_beta", "cosine": "cosine"}
ENDS = {
    "linear": {"beta_start": 1e-4, "beta_end": 0.02},
    "scaled_linear": {"beta_start": 0.0015, "beta_end": 0.0195},
    "cosine": {},
}


def betas_of(schedule):
    survived = torch.cat([torch.ones(1, dtype=torch.float64), schedule.signal**2])
    return 1 - survived[1:] / survived[:-1]


def foreign(family, length):
    theirs = DiffusersDDPM(length, beta_schedule=IN_DIFFUSERS[family], **ENDS[family])
    return theirs, MonaiDDPM(length, schedule=IN_MONAI[family], **ENDS[family])


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("family", VARIANCE_PRESERVING)
def test_variances_equal_those_of_diffusers_and_monai(family, length):
    ours = FAMILIES[family](length)
    diffusers, monai = foreign(family, length)
    torch.testing.assert_close(betas_of(ours), diffusers.betas.double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.signal**2, diffusers.alphas_cumprod.double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.signal**2, monai.alphas_cumprod.double(), atol=1e-6, rtol=0)
    # MONAI divides cosines in single precision, which near the end of the schedule costs digits of its own.
    tolerance = 1e-4 if family == "cosine" else 1e-6
    torch.testing.assert_close(betas_of(ours), monai.betas.double(), atol=tolerance, rtol=0)


@pytest.mark.parametrize("family", VARIANCE_PRESERVING)
def test_signal_and_noise_share_unit_power_and_the_image_fades(family):
    schedule = FAMILIES[family](500)
    torch.testing.assert_close(schedule.signal**2 + schedule.noise**2, torch.ones(500).double())
    assert (schedule.signal.diff() < 0).all()
    assert (schedule.noise.diff() > 0).all()


def test_rectified_flow_is_a_straight_line_to_pure_noise():
    schedule = NoiseSchedule.rectified_flow(8)
    torch.testing.assert_close(schedule.noise, torch.arange(1, 9) / torch.tensor(8.0).double())
    torch.testing.assert_close(schedule.signal, 1 - schedule.noise)


@pytest.mark.parametrize("betas", [[0.1, 0.0], [0.1, 1.0], [-0.1, 0.2], [0.1, float("nan")]])
def test_variances_outside_the_open_unit_interval_are_refused(betas):
    with pytest.raises(ValueError, match="lie between 0 and 1"):
        NoiseSchedule.from_betas(torch.tensor(betas, dtype=torch.float64))


def test_a_schedule_cannot_be_changed():
    for name in ("straight", "signal"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(NoiseSchedule.linear(10), name, True)


def pair(dimensions, batch, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    shape = (batch, *SHAPES[dimensions])
    return (torch.randn(shape, generator=generator, dtype=dtype) for _ in range(2))


@pytest.mark.parametrize("dimensions", SHAPES)
@pytest.mark.parametrize("family", VARIANCE_PRESERVING)
def test_noising_and_velocity_equal_those_of_monai(family, dimensions):
    schedule, (_, monai) = FAMILIES[family](100), foreign(family, 100)
    clean, noise = pair(dimensions, 3, torch.float32)
    t = torch.tensor([0, 42, 90])
    noised = schedule.add_noise(clean, noise, t)
    torch.testing.assert_close(noised.x, monai.add_noise(clean, noise, t), atol=1e-5, rtol=1e-5)
    velocity = schedule.target(noised, "velocity")
    torch.testing.assert_close(velocity, monai.get_velocity(clean, noise, t), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dimensions", SHAPES)
def test_flow_noising_equals_that_of_monai(dimensions):
    clean, noise = pair(dimensions, 3, torch.float32)
    ours = NoiseSchedule.rectified_flow(1000).add_noise(clean, noise, torch.tensor([0, 499, 999]))
    # MONAI counts from 0, where nothing is noised; our first time is its second.
    theirs = RFlowScheduler(1000).add_noise(clean, noise, torch.tensor([1, 500, 1000]))
    torch.testing.assert_close(ours.x, theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_time_before_the_first_is_the_clean_image_itself(family):
    clean, noise = pair("2-D", 2, torch.float32)
    noised = FAMILIES[family](20).add_noise(clean, noise, torch.tensor([-1, 5]))
    assert torch.equal(noised.x[0], clean[0])
    assert not torch.equal(noised.x[1], clean[1])


answerable = [
    (family, prediction)
    for family in FAMILIES
    for prediction in ("noise", "velocity", "clean")
    if (family, prediction) != ("rectified_flow", "noise")
]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(answerable),
    st.sampled_from(sorted(SHAPES)),
    st.integers(1, 300),
    st.integers(0, 2**32 - 1),
)
def test_clean_estimate_inverts_target(pairing, dimensions, length, seed):
    family, prediction = pairing
    schedule = FAMILIES[family](length)
    rng = np.random.default_rng(seed)
    clean, noise = (torch.from_numpy(rng.normal(size=(4, *SHAPES[dimensions]))) for _ in range(2))
    t = torch.from_numpy(rng.integers(length, size=4))
    noised = schedule.add_noise(clean, noise, t)
    back = schedule.clean_estimate(noised.x, t, schedule.target(noised, prediction), prediction)
    # Dividing by the signal costs digits where little of it is left.
    digits = 1e-14 / float(schedule.signal[t].min()) if prediction == "noise" else 1e-14
    torch.testing.assert_close(back, clean, atol=10 * digits, rtol=0)


def test_noise_cannot_be_predicted_on_rectified_flow():
    schedule = NoiseSchedule.rectified_flow(10)
    clean, noise = pair("2-D", 1)
    noised = schedule.add_noise(clean, noise, torch.tensor([3]))
    message = "predict velocity or clean, not noise"
    with pytest.raises(ValueError, match=message):
        schedule.target(noised, "noise")
    with pytest.raises(ValueError, match=message):
        schedule.clean_estimate(noised.x, noised.t, noise, "noise")


@pytest.mark.parametrize("prediction", ["noise", "velocity", "clean"])
def test_a_denoiser_clamps_only_when_asked(prediction):
    schedule = NoiseSchedule.cosine(50)
    x, _ = pair("3-D", 2)
    t = torch.tensor([3, 40])
    free = denoiser_of(schedule, network, prediction)(x, t)
    assert torch.equal(free, schedule.clean_estimate(x, t, network(x, t), prediction))
    assert free.abs().max() > 0.5
    held = denoiser_of(schedule, network, prediction, clamp=0.5)(x, t)
    assert torch.equal(held, free.clamp(-0.5, 0.5))


def test_a_half_precision_network_leaves_the_state_in_its_own_precision():
    denoise = denoiser_of(NoiseSchedule.linear(50), lambda x, t: network(x, t).bfloat16(), "noise")
    x, _ = pair("2-D", 2, torch.float32)
    assert denoise(x, torch.tensor([3, 40])).dtype == torch.float32


@pytest.mark.parametrize("family", VARIANCE_PRESERVING)
def test_min_snr_weights_are_those_of_the_paper(family):
    length, gamma = 200, 5.0
    schedule, (diffusers, _) = FAMILIES[family](length), foreign(family, length)
    t = torch.arange(length)
    ratio = compute_snr(diffusers, t).double()
    capped = ratio.clamp(max=gamma)
    papers: dict[Prediction, torch.Tensor] = {
        "clean": capped,
        "noise": capped / ratio,
        "velocity": capped / (ratio + 1),
    }
    for prediction, expected in papers.items():
        ours = schedule.loss_weight(t, prediction, gamma)
        torch.testing.assert_close(ours.double(), expected, atol=1e-6, rtol=2e-5)


@pytest.mark.parametrize("least", [0.0, 2.0])
@pytest.mark.parametrize(("family", "prediction"), answerable)
def test_min_snr_weighs_the_clean_images_error_whatever_is_predicted(family, prediction, least):
    schedule = FAMILIES[family](30)
    t = torch.arange(30)
    generator = torch.Generator().manual_seed(0)
    clean, noise, answer = (torch.randn(30, 1, 3, 3, generator=generator).double() for _ in range(3))
    noised = schedule.add_noise(clean, noise, t)
    error = (answer - schedule.target(noised, prediction)).square().mean((1, 2, 3))
    implied = schedule.clean_estimate(noised.x, t, answer, prediction)
    clean_error = (implied - clean).square().mean((1, 2, 3))
    weight = schedule.loss_weight(t, prediction, 5.0, least).double()
    clean_weight = schedule.loss_weight(t, "clean", 5.0, least).double()
    torch.testing.assert_close(weight * error, clean_weight * clean_error, rtol=1e-5, atol=1e-9)


def test_without_a_limit_the_weights_are_those_of_edm():
    schedule, t, spread = NoiseSchedule.linear(1000), torch.arange(0, 1000, 7), 0.5
    signal, noise = (table[t].double() for table in (schedule.signal, schedule.noise))
    sigma = noise / signal
    expected = (sigma**2 + spread**2) / (sigma * spread) ** 2
    ours = schedule.loss_weight(t, "clean", 1e12, 1 / spread**2)
    torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=0)


def test_noise_weights_stay_1_where_hardly_any_signal_is_left():
    weights = NoiseSchedule.cosine(1000).loss_weight(torch.tensor([990, 999]), "noise", 5.0)
    assert weights.tolist() == [1.0, 1.0]


def test_a_schedule_first_used_for_sampling_still_trains():
    schedule = NoiseSchedule.cosine(20)
    clean, noise = pair("2-D", 2, torch.float32)
    t = torch.tensor([3, 15])
    with torch.inference_mode():
        schedule.add_noise(clean, noise, t)
    answer = torch.zeros_like(clean, requires_grad=True)
    noised = schedule.add_noise(clean, noise, t)
    schedule.clean_estimate(noised.x, t, answer, "velocity").square().mean().backward()
    assert present(answer.grad).abs().min() > 0
