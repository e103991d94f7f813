import copy
import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from medsmith.data.hounsfield_scale import KNOTS_HU, hu_to_model, model_to_hu
from medsmith.networks.autoencoder import VoxelNorm
from medsmith.networks.fidelity import measure_fidelity
from medsmith.networks.quantizer import EMACodebook, GradientCodebook
from medsmith.networks.tiling import decode_in_tiles, encode_in_tiles
from medsmith.networks.vqgan import VQGAN, VQGANConfig
from medsmith.runs.checkpoints import pack

LABELS = {"air": 0, "organ": 1, "bone": 2, "absent": 7}


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def small(seed=0, **settings):
    torch.manual_seed(seed)
    return VQGAN(VQGANConfig(**{"channels": 8, "codes": 16, **settings})).eval()


@pytest.fixture(scope="module")
def vqgan():
    """A network whose codes lie on latents."""
    network = small()
    latents = network.latents(drawn(0, 1, 1, 16, 16, 16))
    network.codebook.update(latents, network.codebook(latents).indices, torch.Generator().manual_seed(0))
    return network


def body(edge=32, shift=0.0):
    """HU and labels of an organ and a bone in air, with noise."""
    place = np.stack(np.meshgrid(*[np.arange(edge) - edge / 2] * 3, indexing="ij"))
    radius = np.sqrt(((place - shift) ** 2).sum(0))
    labels = np.zeros((edge,) * 3, np.int16)
    labels[radius < edge * 0.4], labels[radius < edge * 0.12] = 1, 2
    hu = np.array([-1000.0, 40.0, 700.0])[labels] + np.random.default_rng(0).normal(0, 10, labels.shape)
    return hu.astype(np.float32), labels


# Shapes


def test_the_paper_has_96_channels_one_halving_and_2048_codes_of_4():
    network = VQGAN(VQGANConfig())
    with torch.inference_mode():
        made = network(torch.zeros(1, 1, 6, 4, 8))
    assert made.latents.shape == (1, 4, 3, 2, 4)
    assert made.image.shape == (1, 1, 6, 4, 8)
    assert network.codebook.codes.shape == (2048, 4)
    assert {part.out_channels for part in network.modules() if isinstance(part, nn.Conv3d)} == {96, 4, 1}


@settings(max_examples=10, deadline=None)
@given(st.tuples(*[st.integers(1, 6)] * 3), st.integers(1, 2))
def test_any_even_size_comes_back(vqgan, halves, batch):
    space = tuple(2 * half for half in halves)
    with torch.inference_mode():
        made = vqgan(torch.randn(batch, 1, *space))
    assert made.latents.shape == (batch, 4, *halves)
    assert made.quantized.indices.shape == (batch, *halves)
    assert made.image.shape == (batch, 1, *space)


def test_odd_sizes_are_refused(vqgan):
    for function in (vqgan.encode, lambda image: encode_in_tiles(vqgan, image)):
        with pytest.raises(ValueError, match=r"\(4, 5, 4\) voxels: every axis must be a multiple of 2"):
            function(torch.zeros(1, 1, 4, 5, 4))


@pytest.mark.parametrize("wrong", [{"codes": 1}, {"channels": 0}, {"codebook": "random"}, {"decay": 1.0}, {"width": 3}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        VQGANConfig(**wrong)


def test_the_codebook_is_of_the_kind_that_is_asked_for():
    assert isinstance(small(codebook="ema").codebook, EMACodebook)
    assert isinstance(small(codebook="gradient").codebook, GradientCodebook)


# Gradients and number formats


@pytest.mark.parametrize("codebook", ["ema", "gradient"])
def test_every_weight_gets_a_gradient(codebook):
    network = small(codebook=codebook)
    made = network(drawn(1, 1, 1, 8, 8, 8))
    (made.image.square().mean() + made.quantized.loss).backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in network.parameters())


def test_bfloat16_stays_inside(vqgan):
    image = drawn(2, 1, 1, 12, 12, 12)
    with torch.inference_mode():
        exact = vqgan(image)
        with torch.autocast("cpu", torch.bfloat16):
            cast = vqgan(image)
    assert cast.image.dtype == cast.latents.dtype == cast.quantized.values.dtype == torch.float32
    assert (cast.latents - exact.latents).norm() < 0.03 * exact.latents.norm()


def test_the_memory_layout_does_not_matter(vqgan):
    turned, image = copy.deepcopy(vqgan), drawn(2, 1, 1, 8, 8, 8)
    for part in turned.modules():
        if isinstance(part, nn.Conv3d):
            part.weight.data = part.weight.data.contiguous(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        torch.testing.assert_close(turned.latents(image), vqgan.latents(image), atol=1e-5, rtol=1e-5)


def test_the_norm_is_each_voxels_own():
    x = drawn(3, 2, 6, 3, 3, 3)
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(VoxelNorm(6)(x), expected)


# The state that is diffused


@pytest.mark.parametrize("codebook", ["ema", "gradient"])
def test_the_state_has_mean_0_and_deviation_1_over_the_codes_in_use(codebook):
    network = small(codebook=codebook)
    with torch.no_grad():
        network.codebook.codes.copy_(5 + 3 * drawn(4, 16, 4))
    network.codebook.shares.copy_(torch.arange(16) / 120)
    picks = torch.repeat_interleave(torch.arange(16), torch.arange(16))
    latents = network.codebook.codes.detach()[picks].T.reshape(1, 4, 120, 1, 1)
    state = network.scale.to_state(latents)
    torch.testing.assert_close(state.mean((2, 3, 4)), torch.zeros(1, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(state.std((2, 3, 4), correction=0), torch.ones(1, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(network.scale.to_latents(state), latents)


# Tiles


@settings(max_examples=5, deadline=None)
@given(st.tuples(st.integers(14, 30), st.integers(2, 12), st.integers(2, 6)), st.sampled_from([8, 13]))
def test_tiles_have_no_seams(vqgan, halves, tile):
    image = torch.randn(1, 1, *(2 * half for half in halves))
    with torch.inference_mode():
        state = vqgan.encode(image)
        made = vqgan.decode(state)
    torch.testing.assert_close(encode_in_tiles(vqgan, image, tile), state, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(decode_in_tiles(vqgan, state, tile), made, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_halo_is_the_reach_and_no_more(blocks):
    """Changing one voxel, or one latent, changes the output up to the halo away, on one side at least."""
    network = small(residual_blocks=blocks)
    halo = network.halo
    middle, edge = halo + 1, 2 * halo + 4
    image, latents = drawn(5, 1, 1, 2 * edge, 2, 2), drawn(6, 1, 4, edge, 1, 1)
    distances = []
    with torch.inference_mode():
        for voxel in (2 * middle, 2 * middle + 1):
            moved = image.clone()
            moved[0, 0, voxel] += 3
            changed = (network.latents(moved) != network.latents(image)).any(1).flatten().nonzero().flatten()
            distances.append(int((changed - middle).abs().max()))
        moved = latents.clone()
        moved[0, :, middle] += 3
        changed = (network.decoder(moved) != network.decoder(latents))[0, 0, :, 0, 0].nonzero().flatten() // 2
    assert max(distances) <= halo
    assert max(distances) >= halo - 1
    assert halo - 1 <= int((changed - middle).abs().max()) <= halo


@pytest.mark.parametrize("length", [40, 160])
def test_memory_does_not_grow_with_the_volume(vqgan, length):
    most = []
    hooks = [
        part.register_forward_hook(lambda _, __, answer: most.append(answer[0, 0].numel()))
        for part in vqgan.modules()
        if isinstance(part, nn.Conv3d)
    ]
    decode_in_tiles(vqgan, encode_in_tiles(vqgan, torch.zeros(1, 1, length, 8, 8), tile=4), tile=4)
    for hook in hooks:
        hook.remove()
    assert max(most) == 2 * (4 + 2 * vqgan.halo) * 8 * 8


# Fidelity


def test_error_by_organ_is_the_mean_absolute_error_in_hu(vqgan):
    volumes = [body(16), body(12, shift=2.0)]
    found = measure_fidelity(vqgan, volumes, LABELS, tile=6)
    errors = []
    for hu, labels in volumes:
        with torch.inference_mode():
            made = vqgan.decode(vqgan.encode(torch.from_numpy(hu_to_model(hu))[None, None]))[0, 0].numpy()
        errors.append((np.abs(model_to_hu(made) - hu.clip(-1000, 1000)), labels))
    assert set(found.mean_error_hu) == {"air", "organ", "bone", "everywhere"}
    for name, value in (("air", 0), ("organ", 1), ("bone", 2)):
        inside = np.concatenate([error[labels == value] for error, labels in errors])
        assert found.mean_error_hu[name] == pytest.approx(inside.mean(), rel=2e-2)
    everything = np.concatenate([error.ravel() for error, _ in errors])
    assert found.mean_error_hu["everywhere"] == pytest.approx(everything.mean(), rel=2e-2)
    assert 0 < found.codes_used <= 1
    assert 1 <= found.perplexity <= 16


# Hounsfield units for networks


def test_the_knots_of_the_released_preprocessing():
    scaled = hu_to_model(np.array([-3024, -1000, -600, -200, 0, 200, 600, 1000, 3071], np.float32))
    released = np.array([0, 0, 0.1, 0.2, 0.5, 0.8, 0.9, 1, 1])
    np.testing.assert_allclose(scaled, 2 * released - 1, atol=1e-6)
    assert scaled.dtype == np.float32


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1500, 1500, width=32), min_size=1, max_size=20))
def test_hu_come_back(values):
    hu = np.array(values, np.float32)
    model = hu_to_model(hu)
    assert np.abs(model).max() <= 1
    np.testing.assert_allclose(model_to_hu(model), hu.clip(KNOTS_HU[0], KNOTS_HU[-1]), atol=1e-3)


def test_whole_hu_come_back_exactly_when_rounded_and_in_order():
    hu = np.arange(-1000, 1001).astype(np.float32)
    model = hu_to_model(hu)
    np.testing.assert_array_equal(np.rint(model_to_hu(model)), hu)
    assert (np.diff(model) > 0).all()


def test_tensors_and_arrays_agree():
    hu = drawn(8, 50) * 600
    np.testing.assert_array_equal(hu_to_model(hu).numpy(), hu_to_model(hu.numpy()))
    assert model_to_hu(hu_to_model(hu)).dtype == torch.float32


# Weights on disk


def test_a_network_is_its_state(vqgan):
    other = small(seed=9)
    other.load_state_dict(vqgan.state_dict())
    assert pack(other.state_dict()) == pack(vqgan.state_dict())
    image = drawn(7, 1, 1, 8, 8, 8)
    with torch.inference_mode():
        assert torch.equal(other(image).image, vqgan(image).image)


# What the two-level network of shipped and running trainings answered before there were others.
RECORDED = [
    ({}, "9be2ae557c69f97e", [-1.5472457, -0.3207686, -9.0801487, -0.8191867], [0.3360743, 0.0444085, 0.1110308]),
    (
        {"residual_blocks": 2, "codebook": "gradient"},
        "332206ea82cf83b1",
        [-6.3468409, -0.0700180, 5.8543983, -1.3101938],
        [-0.5224134, -0.1067159, 0.4669502],
    ),
]


@pytest.mark.parametrize(("settings", "names", "state", "image"), RECORDED)
def test_old_weights_load_and_answer_as_ever(settings, names, state, image):
    network = small(**settings)
    assert hashlib.sha256(" ".join(network.state_dict()).encode()).hexdigest()[:16] == names
    with torch.no_grad():
        for number, weights in enumerate(network.state_dict().values()):
            if weights.is_floating_point():
                weights.copy_(0.3 * drawn(number, *weights.shape))
    network.codebook.shares.copy_(torch.arange(16) / 120)
    with torch.inference_mode():
        encoded = network.encode(drawn(99, 1, 1, 6, 4, 8))
        decoded = network.decode(encoded)
    torch.testing.assert_close(encoded[0, :, 1, 1, 2], torch.tensor(state), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(decoded[0, 0, 2, 2, :3], torch.tensor(image), atol=1e-4, rtol=1e-4)


def test_in_2d_with_three_channels_and_two_halvings():
    torch.manual_seed(0)
    network = VQGAN(VQGANConfig(channels=(4, 6, 8), codes=16, latent=3), dimensions=2, channels=3).eval()
    image = drawn(1, 2, 3, 12, 20)
    with torch.inference_mode():
        made = network(image)
        state = network.encode(image)
        torch.testing.assert_close(network.decode(state), made.image, atol=1e-4, rtol=1e-4)
    assert state.shape == made.latents.shape == (2, 3, 3, 5)
    assert made.image.shape == image.shape
    with pytest.raises(ValueError, match=r"\(12, 22\) voxels: every axis must be a multiple of 4"):
        network.encode(drawn(1, 1, 3, 12, 22))
