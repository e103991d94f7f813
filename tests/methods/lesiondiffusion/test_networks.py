"""LMNet and LINet: the losses against sums by hand, and what the walk may not touch."""

import pytest
import torch

from medsmith.diffusion import Sampling, keep_outside
from medsmith.methods.config import DiffusionConfig
from medsmith.methods.lesiondiffusion.config import MaskConfig, PaintConfig
from medsmith.methods.lesiondiffusion.linet import LINet, _box_voxels, _dice_loss
from medsmith.methods.lesiondiffusion.lmnet import LMNet, context_of_batch
from medsmith.networks import NetworkConfig
from medsmith.networks.latent import VoxelSpace
from medsmith.text.encoded_vocabulary import TextConfig

EDGE, ATTRIBUTES, DIMENSION = 8, 3, 6
NETWORK = NetworkConfig(channels=(8, 8), attention=(False, True), groups=4, head_channels=4)
HEARD = TextConfig(dimension=DIMENSION, width=4, pooled=4, left_out=0.0, null=0.0)
DIFFUSION = DiffusionConfig(length=20, prediction="noise", clamp=None, min_snr=None)
CLEAN = DiffusionConfig(length=20, prediction="clean", clamp=None, min_snr=None)


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def vectors(count, seed=0):
    return torch.randn((count, ATTRIBUTES, DIMENSION), generator=drawn(seed))


def masks(count=2):
    batch = {key: torch.zeros(count, 1, EDGE, EDGE, EDGE) for key in ("organ", "box")}
    batch["other_organs"] = torch.zeros(count, 3, EDGE, EDGE, EDGE)
    batch["organ"][:, :, :6] = 1
    batch["box"][:, :, 2:6, 3:7, 1:4] = 1
    batch["mask"] = torch.randn((count, 1, EDGE, EDGE, EDGE), generator=drawn(3)).sign()
    batch["mask_words"] = vectors(count)
    return batch


def awake(net):
    """Networks are built silent: their last layers are zero."""
    for weight in net.parameters():
        if not weight.any():
            weight.data.normal_(0, 0.1, generator=drawn(7))
    return net.eval()


def test_equation_2_by_hand():
    config = MaskConfig(network=NETWORK, diffusion=DIFFUSION, words=HEARD, outside=0.25)
    net, batch = awake(LMNet(config, ATTRIBUTES)), masks()
    found = net.loss(batch, torch.zeros(ATTRIBUTES, DIMENSION), drawn(5))

    draw, schedule = drawn(5), net.process.schedule
    t = torch.randint(20, (2,), generator=draw)
    noise = torch.randn(batch["mask"].shape, generator=draw)
    noised = schedule.add_noise(batch["mask"], noise, t)
    error = (net(noised.x, t, context_of_batch(batch), batch["mask_words"]) - noise) ** 2
    inside = batch["box"] > 0
    per_case = [
        ((error[i] * inside[i]).sum() + 0.25 * error[i].sum()) / (inside[i].float() + 0.25).sum() for i in range(2)
    ]
    assert torch.allclose(found, torch.stack(per_case).mean(), rtol=1e-5)


def paint_parts(count=2, channels=1):
    clean = torch.randn((count, channels, EDGE, EDGE, EDGE), generator=drawn(1))
    lesion = torch.zeros(count, 1, EDGE, EDGE, EDGE)
    lesion[:, :, 3:5, 3:6, 2:4] = 1
    region = torch.zeros_like(lesion)
    region[:, :, 2:6, 2:7, 1:5] = 1
    region[:, :, 2, 2, 1] = 0
    return clean, lesion, region


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_equations_4_and_5_by_hand(norm):
    config = PaintConfig(network=NETWORK, diffusion=DIFFUSION, words=HEARD, norm=norm, reach_mm=2.0)
    net = awake(LINet(config, 1, ATTRIBUTES))
    clean, lesion, region = paint_parts()
    said, null = vectors(2), torch.zeros(ATTRIBUTES, DIMENSION)
    found = net.loss(clean, lesion, region, said, null, drawn(5))

    draw, schedule = drawn(5), net.process.schedule
    t = torch.randint(20, (2,), generator=draw)
    noise = torch.randn(clean.shape, generator=draw)
    state = schedule.add_noise(clean, noise, t).x * region + clean * (1 - region)
    error = net(state, t, lesion, region, said)[0] - noise
    error = error.abs() if norm == "l1" else error**2
    assert torch.allclose(found, (error * region).sum() / (4 * 5 * 4) / 2, rtol=1e-5)


def test_the_box_of_a_region_is_its_tight_one():
    region = torch.zeros(2, 1, EDGE, EDGE, EDGE)
    region[0, 0, 1, 2, 3] = region[0, 0, 4, 2, 5] = 1
    region[1] = 1
    assert _box_voxels(region).tolist() == [4 * 1 * 3, EDGE**3]


def test_a_mask_head_adds_one_channel_and_the_dice_loss():
    plain, headed = (PaintConfig(network=NETWORK, diffusion=DIFFUSION, words=HEARD, mask_head=w) for w in (0.0, 1.0))
    clean, lesion, region = paint_parts()
    said = vectors(2)
    t = torch.zeros(2, dtype=torch.int64)
    _, none = LINet(plain, 1, ATTRIBUTES)(clean, t, lesion, region, said)
    _, logits = LINet(headed, 1, ATTRIBUTES)(clean, t, lesion, region, said)
    assert (none.shape[1], logits.shape[1]) == (0, 1)
    sure = torch.where(lesion > 0, 50.0, -50.0)
    assert float(_dice_loss(sure, lesion)) == pytest.approx(0, abs=1e-6)
    assert float(_dice_loss(-sure, lesion)) > 0.95


@pytest.mark.parametrize("solver", ["ddim", "dpm++2m"])
def test_what_lies_outside_the_region_comes_back_exactly(solver):
    config = PaintConfig(network=NETWORK, diffusion=DiffusionConfig(length=20), words=HEARD)
    net = awake(LINet(config, 1, ATTRIBUTES))
    clean, lesion, region = (part[:1] for part in paint_parts())
    said, null = vectors(1), torch.zeros(1, ATTRIBUTES, DIMENSION)
    made = net.process.sample_one(
        net.denoiser(lesion, region, said, null, 1.5),
        (1, *[EDGE] * 3),
        4,
        Sampling(solver=solver, steps=5),
        corrections=[keep_outside(region, clean)],
    )[None]
    assert torch.equal(torch.where(region > 0, clean, made), clean)
    assert not torch.equal(made, clean)


def test_guidance_moves_away_from_the_null_text_and_zero_ignores_words():
    config = MaskConfig(network=NETWORK, diffusion=DiffusionConfig(length=20, clamp=None), words=HEARD)
    net, batch = awake(LMNet(config, ATTRIBUTES)), masks(1)
    site, null = context_of_batch(batch), torch.zeros(1, ATTRIBUTES, DIMENSION)
    x, t = torch.randn((1, 1, EDGE, EDGE, EDGE), generator=drawn(2)), torch.tensor([10])

    def estimate(said, guidance):
        with torch.inference_mode():
            return net.denoiser(site, said, null, guidance)(x, t)

    blind, seeing = estimate(vectors(1), 0.0), estimate(vectors(1), 1.0)
    assert torch.equal(blind, estimate(vectors(1, seed=9), 0.0))
    assert not torch.equal(seeing, estimate(vectors(1, seed=9), 1.0))
    assert torch.allclose(estimate(vectors(1), 2.5), blind + 2.5 * (seeing - blind), atol=1e-5)


def test_voxels_are_stretched_by_their_amplitude_and_come_back():
    image = torch.linspace(-1, 1, 8).reshape(1, 1, 2, 2, 2)
    voxels = VoxelSpace(5.0)
    assert torch.equal(voxels.encode(image), 5 * image)
    assert torch.allclose(voxels.decode(voxels.encode(image)), image, atol=1e-6)
    assert voxels.decode(torch.full((1, 1, 1, 1, 1), 7.0)) == 1


@pytest.mark.parametrize("level", ["guided", "kept"])
def test_guidance_keeps_the_mean_of_the_lesion_where_it_is_told_to(level):
    config = PaintConfig(network=NETWORK, diffusion=CLEAN, words=HEARD, reach_mm=2.0, level=level)
    net = awake(LINet(config, 1, ATTRIBUTES))
    x, lesion, region = paint_parts(1)
    said, null, t = vectors(1), torch.zeros(1, ATTRIBUTES, DIMENSION), torch.tensor([11])
    with torch.no_grad():
        alone, unsaid = (net(x, t, lesion, region, words)[0] for words in (said, null))
        found = net.denoiser(lesion, region, said, null, 4.0)(x, t)
    plain = unsaid + 4 * (alone - unsaid)
    shift = ((plain - alone) * lesion).sum() / lesion.sum()
    assert shift.abs() > 1e-3
    expected = plain if level == "guided" else plain - shift * lesion
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_without_guidance_the_level_is_that_of_one_network(weight):
    config = PaintConfig(network=NETWORK, diffusion=CLEAN, words=HEARD, reach_mm=2.0, level="kept")
    net = awake(LINet(config, 1, ATTRIBUTES))
    x, lesion, region = paint_parts(1)
    said, null, t = vectors(1), torch.zeros(1, ATTRIBUTES, DIMENSION), torch.tensor([11])
    with torch.no_grad():
        alone = net(x, t, lesion, region, said if weight else null)[0]
        found = net.denoiser(lesion, region, said, null, weight)(x, t)
    torch.testing.assert_close(found, alone)
