"""PIG against its paper, written out literally, and against what is known of its released code."""

import copy
import math
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

import medsmith.methods.pig
import micro
from medsmith.diffusion import DiffusionProcess, NoiseSchedule, SeededNoise
from medsmith.methods.base import assemble
from medsmith.methods.pig import Pig, PigConfig, PigRequest
from medsmith.networks import UNet

CLAMP_NOTHING = "diffusion.clamp=null"
SHAPES = [(2, 1), (2, 2), (3, 1)]


def alpha_bar(length):
    """Line 3 of both algorithms in double precision; index t = 1 .. T, and 1 at t = 0."""
    betas = np.linspace(1e-4, 0.02, length)
    return np.concatenate([[1.0], np.cumprod(1 - betas)])


def doubled(network):
    """model(a, b, t) in double precision; the paper counts times from 1, networks from 0."""
    network = copy.deepcopy(network).double()

    def model(a, b, t):
        with torch.no_grad():
            return network(torch.cat([a, b], dim=1), torch.tensor([t - 1]))

    return model


def algorithm_2(model_x, model_y, x, y, length, steps):
    """The paper's Algorithm 2, line by line, with DDIM's uniform steps."""
    survived = alpha_bar(length)
    timesteps = list(range(length, 0, -length // steps))
    for t, t_next in zip(timesteps, [*timesteps[1:], 0], strict=True):
        here, ahead = survived[t], survived[t_next]
        eps_x = model_x(x, y, t)
        x_0 = (x - math.sqrt(1 - here) * eps_x) / math.sqrt(here)
        x = math.sqrt(ahead) * x_0 + math.sqrt(1 - ahead) * eps_x
        eps_y = model_y(x_0, y, t)
        y_0 = (y - math.sqrt(1 - here) * eps_y) / math.sqrt(here)
        y = math.sqrt(ahead) * y_0 + math.sqrt(1 - ahead) * eps_y
    return x_0, y_0


def finished_state(pig, monkeypatch, seed, steps):
    """What synthesize hands to ``assemble``: masks and image in model space."""
    seen = SimpleNamespace()

    def capture(image, masks, fingerprint):
        seen.image, seen.masks = image, masks
        return assemble(image, masks, fingerprint)

    monkeypatch.setattr(medsmith.methods.pig, "assemble", capture)
    pig.synthesize(PigRequest(), seed, pig.config.sampling.override(steps=steps))
    return seen.masks, seen.image


@pytest.mark.parametrize(("dimensions", "classes"), SHAPES)
def test_synthesize_is_algorithm_2(dimensions, classes, monkeypatch):
    pig = micro.build("pig", dimensions, classes, "paper", [CLAMP_NOTHING])
    length, steps = 1024, 32
    assert pig.config.diffusion.length == length
    assert pig.config.sampling.solver == "ddim"
    masks, image = finished_state(pig, monkeypatch, 7, steps)
    start = SeededNoise((7,))(classes + 1, *pig.config.size).double()
    networks = doubled(pig.guider), doubled(pig.image_network)
    x_0, y_0 = algorithm_2(*networks, start[:, :classes], start[:, classes:], length, steps)
    for ours, literal in ((masks, x_0[0]), (image, y_0[0])):
        assert literal.std() > 0.01
        assert float((ours - literal).abs().max() / literal.abs().max()) < 1e-5


def preset_of(name):
    return cast(PigConfig, Pig.presets[name])


def test_the_paper_takes_256_steps_of_1024():
    paper = preset_of("paper")
    assert (paper.diffusion.length, paper.sampling.steps, paper.sampling.stochasticity) == (1024, 256, 0)


def drawn(pig, batch, seed):
    """Times and noise as the loss samples them: t, then the mask's noise, then the image's."""
    rng = torch.Generator().manual_seed(seed)
    t = torch.randint(pig.config.diffusion.length, (len(batch["image"]),), generator=rng)
    return t, torch.randn(batch["mask"].shape, generator=rng), torch.randn(batch["image"].shape, generator=rng)


def noised(clean, noise, t, length):
    survived = torch.from_numpy(alpha_bar(length))[t + 1].reshape(-1, *[1] * (clean.ndim - 1))
    return (survived.sqrt() * clean.double() + (1 - survived).sqrt() * noise.double()).float()


@pytest.mark.parametrize(("dimensions", "classes"), SHAPES)
def test_the_guiders_loss_is_algorithm_1(dimensions, classes):
    pig = micro.build("pig", dimensions, classes, "paper")
    batch = micro.micro_batch(pig)
    t, eps_1, eps_2 = drawn(pig, batch, 3)
    x_t, y_t = noised(batch["mask"], eps_1, t, 1024), noised(batch["image"], eps_2, t, 1024)
    with torch.no_grad():
        literal = (eps_1 - pig.guider(torch.cat([x_t, y_t], 1), t)).square().mean()
        ours = pig.loss("guider", batch, torch.Generator().manual_seed(3))
    assert float(ours) == pytest.approx(float(literal), rel=1e-5)


@pytest.mark.parametrize(("dimensions", "classes"), SHAPES)
def test_the_image_networks_loss_sees_the_true_mask_in_the_paper(dimensions, classes):
    pig = micro.build("pig", dimensions, classes, "paper")
    batch = micro.micro_batch(pig)
    t, _, eps_2 = drawn(pig, batch, 3)
    y_t = noised(batch["image"], eps_2, t, 1024)
    with torch.no_grad():
        literal = (eps_2 - pig.image_network(torch.cat([batch["mask"], y_t], 1), t)).square().mean()
        ours = pig.loss("image_network", batch, torch.Generator().manual_seed(3))
    assert float(ours) == pytest.approx(float(literal), rel=1e-5)


UNIFORM = "diffusion.time_draw=uniform"


@pytest.mark.parametrize(("dimensions", "classes"), SHAPES)
def test_the_released_loss_is_weighted_by_the_frozen_estimate(dimensions, classes):
    pig = micro.build("pig", dimensions, classes, "released", [UNIFORM])
    batch = micro.micro_batch(pig)
    t, eps_1, eps_2 = drawn(pig, batch, 4)
    x_t, y_t = noised(batch["mask"], eps_1, t, 1024), noised(batch["image"], eps_2, t, 1024)
    survived = torch.from_numpy(alpha_bar(1024))[t + 1].reshape(-1, *[1] * (x_t.ndim - 1))
    with torch.no_grad():
        eps_x = pig.guider(torch.cat([x_t, y_t], 1), t)
        estimate = ((x_t - (1 - survived).sqrt() * eps_x) / survived.sqrt()).clamp(-1, 1).float()
        error = (eps_2 - pig.image_network(torch.cat([estimate, y_t], 1), t)).square()
        literal = (error * torch.sigmoid(estimate.amax(1, keepdim=True))).mean()
        ours = pig.loss("image_network", batch, torch.Generator().manual_seed(4))
    assert float(ours) == pytest.approx(float(literal), rel=1e-4)


def test_no_gradient_reaches_the_guider_through_its_estimate():
    pig = micro.build("pig", preset="released").requires_grad_(True)
    torch.autograd.backward(pig.loss("image_network", micro.micro_batch(pig), torch.Generator().manual_seed(0)))
    assert all(weight.grad is None for weight in pig.guider.parameters())
    assert all(weight.grad is not None for weight in pig.image_network.parameters())


def test_lesion_voxels_weigh_73_and_others_27_of_a_hundred(monkeypatch):
    pig = micro.build("pig", preset="released", settings=["estimates=0.0"])
    batch = micro.micro_batch(pig)
    seen = []

    def capture(_process, answer, *others):
        seen.append(others[-1])
        return answer.sum()

    monkeypatch.setattr(DiffusionProcess, "loss", capture)
    pig.loss("image_network", batch, torch.Generator().manual_seed(0))
    assert torch.allclose(seen[0][batch["mask"] > 0], torch.tensor(0.731059))
    assert torch.allclose(seen[0][batch["mask"] < 0], torch.tensor(0.268941))


def test_estimates_are_shown_to_the_configured_share_of_cases(monkeypatch):
    pig = micro.build("pig", settings=["estimates=0.25"])
    true = torch.ones(4000, 1, 2, 2)
    monkeypatch.setattr(pig, "_mask_estimate", lambda mask, *_: -torch.ones_like(mask))
    t = torch.zeros(4000, dtype=torch.long)
    guide = pig._guide(true, true, true, t, torch.Generator().manual_seed(0))
    share = float((guide[:, 0, 0, 0] < 0).float().mean())
    assert share == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / 4000))


def binarized_by_scipy(mask):
    """5-voxel mean over the voxels inside, threshold at 3/4 maximum + 1/4 minimum."""
    clipped = np.clip(mask.astype(np.float64), -1, 1)
    inside = uniform_filter(np.ones_like(clipped), 5, mode="constant")
    smooth = uniform_filter(clipped, 5, mode="constant") / inside
    threshold = 0.75 * smooth.max() + 0.25 * smooth.min()
    return np.where(smooth > threshold, 1.0, -1.0)


@pytest.mark.parametrize("shape", [(17, 12), (8, 8), (9, 8, 7)])
def test_the_released_sampler_binarizes_a_smoothed_mask(shape):
    pig = micro.build("pig", len(shape), preset="released")
    rng = np.random.default_rng(2)
    for _ in range(5):
        mask = 1.3 * np.tanh(0.5 * rng.normal(0, 0.8, shape).cumsum(0))  # some clamped, few enough to leave no ties
        ours = pig._visible(torch.from_numpy(mask).float()[None, None])[0, 0].numpy()
        expected = binarized_by_scipy(mask)
        assert np.array_equal(ours, expected)
        assert {*np.unique(ours)} == {-1.0, 1.0}


def test_an_empty_mask_stays_empty_when_binarized():
    pig = micro.build("pig", preset="released")
    for value in (-1.0, -3.0):
        assert bool((pig._visible(torch.full((2, 1, 17, 23), value)) == -1).all())


def test_each_image_of_a_batch_has_its_own_threshold():
    pig = micro.build("pig", preset="released")
    rng = torch.Generator().manual_seed(0)
    masks = torch.randn((3, 2, 16, 16), generator=rng) * torch.tensor([0.1, 0.5, 1.0])[:, None, None, None]
    alone = torch.cat([pig._visible(mask[None]) for mask in masks])
    assert torch.equal(pig._visible(masks), alone)


def test_released_masks_are_binary_and_labels_follow(monkeypatch):
    pig = micro.build("pig", preset="released")
    masks, _ = finished_state(pig, monkeypatch, 3, 8)
    assert set(masks.unique().tolist()) <= {-1.0, 1.0}


def test_antithetic_times_mirror_each_other(monkeypatch):
    pig = micro.build("pig", preset="released")
    seen: list[torch.Tensor] = []
    original = NoiseSchedule.add_noise

    def noting(*given):
        seen.append(given[-1])
        return original(*given)

    monkeypatch.setattr(NoiseSchedule, "add_noise", noting)
    pig.loss("guider", micro.micro_batch(pig), torch.Generator().manual_seed(1))
    assert (seen[0][:2] + seen[0][2:] == 1023).all()
    assert torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("preset", ["paper", "released"])
def test_the_papers_presets_carry_the_papers_numbers(preset):
    config = preset_of(preset)
    assert config.size == (512, 512)
    schedule = config.diffusion.process().schedule
    betas = 1 - (schedule.signal[1:] / schedule.signal[:-1]) ** 2
    assert len(schedule) == 1024
    assert 1 - float(schedule.signal[0]) ** 2 == pytest.approx(1e-4)
    assert float(betas[-1]) == pytest.approx(0.02)
    assert np.allclose(np.diff(betas.numpy(), 2), 0, atol=1e-9)
    assert config.diffusion.prediction == "noise"
    assert config.diffusion.min_snr is None
    training = config.training
    assert (training.batch, training.learning_rate, training.betas[0], training.weight_decay) == (6, 2e-4, 0.9, 0.0)
    assert (training.ema, training.flips, training.warm_up) == (0.0, (), 0)
    assert training.steps == pytest.approx(128 * 8723 / 6, rel=1e-3)


def test_released_differs_from_the_paper_as_the_code_from_the_text():
    paper, released = Pig.presets["paper"].model_dump(), Pig.presets["released"].model_dump()
    differing = {key for key in paper if paper[key] != released[key]}
    assert differing == {"diffusion", "estimates", "lesion_weight", "binarize", "sampling"}
    assert (paper["estimates"], released["estimates"]) == (0.0, 1.0)
    assert (released["lesion_weight"], released["binarize"]) == ("sigmoid", "smoothed")
    assert released["diffusion"]["time_draw"] == "antithetic"
    assert released["sampling"]["steps"] == 1024


def test_the_papers_network_has_the_released_shape():
    config = preset_of("paper").network
    with torch.device("meta"):
        network = UNet(config, 2, 2, 1).network
    widths = [block.resnets[-1].out_channels for block in network.down_blocks]
    assert widths == [32 * multiple for multiple in (1, 1, 2, 2, 4, 4)]
    assert 512 // 2 ** (len(widths) - 1) == 16
    attends = [hasattr(block, "attentions") for block in network.down_blocks]
    assert attends == [False] * 5 + [True]
    assert all(len(block.resnets) == 2 for block in network.down_blocks)
    heads = {module.num_heads for name, module in network.named_modules() if name.endswith(".attn")}
    assert heads == {1}
    assert network.time_embed[-1].out_features == 128
    assert {m.num_groups for m in network.modules() if isinstance(m, torch.nn.GroupNorm)} == {32}


@pytest.mark.parametrize(("preset", "millions"), [("paper", 7.13), ("released", 7.13), ("best", 11.61), ("tiny", 2.02)])
def test_presets_build_and_have_the_stated_number_of_weights(preset, millions):
    with torch.device("meta"):
        network = UNet(preset_of(preset).network, 2, 2, 1)
    assert sum(weight.numel() for weight in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)
