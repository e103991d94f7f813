"""What holds for every latent space: both ways, unit variance, tiles without seams."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks.nets.autoencoderkl import AEKLDownsample

from medsmith.networks.autoencoder import AutoencoderConfig, Downsample
from medsmith.networks.kl_autoencoder import KLAutoencoder
from medsmith.networks.latent import LatentSpace, Scale, VoxelSpace, on_latent_grid
from medsmith.networks.memory import made_in_pieces, noting_smaller_pieces
from medsmith.networks.tiling import decode_in_tiles, encode_in_tiles
from medsmith.networks.vqgan import VQGAN, VQGANConfig
from medsmith.runs.checkpoints import pack

IMAGE_CHANNELS = 2


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def vq(dimensions, channels=(4, 6), **settings):
    torch.manual_seed(0)
    config = VQGANConfig(channels=channels, codes=4096, **settings)
    network = VQGAN(config, dimensions, IMAGE_CHANNELS).eval()
    latents = network.latents(drawn(0, 1, IMAGE_CHANNELS, *[16] * dimensions))
    network.codebook.update(latents, network.codebook(latents).indices, torch.Generator().manual_seed(0))
    return network


def kl(dimensions, channels=(4, 6), **settings):
    torch.manual_seed(0)
    return KLAutoencoder(AutoencoderConfig(channels=channels, **settings), dimensions, IMAGE_CHANNELS).eval()


def voxels(_):
    return VoxelSpace(5.0, IMAGE_CHANNELS)


def fitted(dimensions, channels=(4, 6), **settings):
    network = kl(dimensions, channels, **settings)
    with torch.no_grad():
        network.fit_scale([network.encode(image) for image in images(dimensions)])
    return network


def images(dimensions, count=3):
    return [3 * drawn(seed, 2, IMAGE_CHANNELS, *[8] * dimensions) for seed in range(count)]


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("build", [vq, kl, fitted, voxels])
def test_every_space_keeps_the_protocol(build, dimensions):
    space = build(dimensions)
    assert isinstance(space, LatentSpace)
    x = drawn(1, 2, IMAGE_CHANNELS, 8, *[4] * (dimensions - 1)).clamp(-1, 1)
    with torch.inference_mode():
        z = space.encode(x)
        again = space.encode(x)
        made = space.decode(z)
    assert torch.equal(z, again)
    assert z.shape == (2, space.channels, *(n // space.factor for n in x.shape[2:]))
    assert made.shape == x.shape
    assert z.dtype == made.dtype == torch.float32
    assert space.scale.mean.shape == space.scale.deviation.shape == (space.channels,)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("channels", [(5,), (4, 6), (4, 6, 6)])
@pytest.mark.parametrize("build", [kl, fitted])
def test_tiles_have_no_seams(build, channels, dimensions):
    space = build(dimensions, channels)
    x = drawn(2, 1, IMAGE_CHANNELS, *(n * space.factor for n in (40, 6, 2)[:dimensions]))
    with torch.inference_mode():
        z = space.encode(x)
        made = space.decode(z)
    for found, whole in ((encode_in_tiles(space, x, 5), z), (decode_in_tiles(space, z, 5), made)):
        assert float((found - whole).abs().max()) < 2e-5 * float(whole.abs().max())


def test_a_halo_that_is_too_small_shows_at_the_seams_alone():
    space, tile = kl(2), 10
    x = drawn(2, 1, IMAGE_CHANNELS, 80, 4)
    with torch.inference_mode():
        z = space.encode(x)
    space.halo = 1
    error = (encode_in_tiles(space, x, tile) - z).abs().amax((0, 1, 3))
    beside = [tile * n + side for n in range(1, 4) for side in (-1, 0)]
    assert float(error[beside].min()) > 1e-3
    assert float(error[: tile // 4].max()) < 2e-5


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 14), min_size=2, max_size=3), st.sampled_from([3, 8]), st.sampled_from([(4,), (4, 6)]))
def test_tiles_of_any_size_cover_images_of_any_size(grid, tile, channels):
    space = kl(len(grid), channels)
    x = drawn(3, 1, IMAGE_CHANNELS, *(n * space.factor for n in grid))
    with torch.inference_mode():
        z = space.encode(x)
        made = space.decode(z)
    torch.testing.assert_close(encode_in_tiles(space, x, tile), z, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(decode_in_tiles(space, z, tile), made, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_vqgan_of_four_voxels_per_latent_has_no_seams(dimensions):
    space = vq(dimensions, (4, 4, 4))
    x = drawn(4, 1, IMAGE_CHANNELS, 96, *[8] * (dimensions - 1))
    with torch.inference_mode():
        z = space.encode(x)
        torch.testing.assert_close(encode_in_tiles(space, x, 6), z, atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(decode_in_tiles(space, z, 6), space.decode(z), atol=2e-5, rtol=1e-4)


class Scarce:
    """A latent space on a device that holds inputs of so many numbers."""

    def __init__(self, space, most):
        self.space, self.most, self.seen = space, most, []
        self.factor, self.halo, self.scale, self.channels = space.factor, space.halo, space.scale, space.channels

    def _checked(self, values):
        self.seen.append(values.numel())
        if values.numel() > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return values

    def encode(self, x):
        return self.space.encode(self._checked(x))

    def decode(self, z):
        return self.space.decode(self._checked(z))

    def fit_scale(self, states):
        """Not used."""


def test_smaller_tiles_are_taken_and_noted_where_memory_is_exhausted():
    space = kl(2)
    halo, factor = space.halo, space.factor
    x = drawn(7, 1, IMAGE_CHANNELS, factor * 64, factor)
    most = IMAGE_CHANNELS * factor**2 * (8 + 2 * halo)
    scarce = Scarce(space, most)
    with noting_smaller_pieces() as pieces:
        found = encode_in_tiles(scarce, x)
    assert pieces == [16, 8]
    with torch.inference_mode():
        whole = space.encode(x)
    torch.testing.assert_close(found, whole, atol=2e-5, rtol=1e-5)
    scarce.most = whole.shape[1] * (4 + 2 * halo)
    with noting_smaller_pieces() as pieces:
        made = decode_in_tiles(scarce, whole, 8)
    assert pieces == [4]
    with torch.inference_mode():
        torch.testing.assert_close(made, space.decode(whole), atol=2e-5, rtol=1e-5)
    with noting_smaller_pieces() as pieces:  # a larger device takes the same call as ever
        assert torch.equal(encode_in_tiles(space, x), encode_in_tiles(space, x))
    assert pieces == []


def test_memory_that_not_even_the_smallest_tile_has_is_an_error():
    scarce = Scarce(kl(2), 1)
    with pytest.raises(torch.OutOfMemoryError):
        encode_in_tiles(scarce, drawn(8, 1, IMAGE_CHANNELS, scarce.factor * 40, scarce.factor))
    assert len(scarce.seen) == 4  # 32, 16, 8 and 4 latents
    with pytest.raises(ZeroDivisionError):
        made_in_pieces(lambda _: 1 // 0, 32, 4)


def test_tiles_of_voxels_are_voxels():
    space, x = voxels(2), drawn(5, 1, IMAGE_CHANNELS, 7, 9).clamp(-1, 1)
    assert torch.equal(encode_in_tiles(space, x, 4), 5 * x)
    assert torch.equal(decode_in_tiles(space, 5 * x, 4), space.decode(5 * x))


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("channels", [(4,), (4, 4), (4, 4, 4), (4, 4, 4, 4)])
def test_the_halo_is_the_reach_and_no_more(channels, blocks):
    """Changing any voxel of a block, or a latent, changes the output up to the halo away."""
    space = kl(2, channels, residual_blocks=blocks)
    halo, factor = space.halo, space.factor
    middle, edge = halo + 1, 2 * halo + 4
    image, latents = drawn(5, 1, IMAGE_CHANNELS, factor * edge, factor), drawn(6, 1, 4, edge, 1)
    distances = []
    with torch.inference_mode():
        for voxel in range(factor * middle, factor * (middle + 1)):
            moved = image.clone()
            moved[:, :, voxel] += 3
            changed = (space.encode(moved) != space.encode(image)).any(1).flatten().nonzero().flatten()
            distances.append(int((changed - middle).abs().max()))
        moved = latents.clone()
        moved[:, :, middle] += 3
        changed = (space.decode(moved) != space.decode(latents))[0, 0, :, 0].nonzero().flatten() // factor
        distances.append(int((changed - middle).abs().max()))
    # Far from the middle an effect may be too small for float32.
    assert halo - 1 <= max(distances) <= halo


@pytest.mark.parametrize("dimensions", [2, 3])
def test_halving_is_monais(dimensions):
    ours, theirs = Downsample(dimensions, 3, 3), AEKLDownsample(dimensions, 3)
    theirs.load_state_dict(ours.state_dict())
    x = drawn(7, 1, 3, *[6] * dimensions)
    assert torch.equal(ours(x), theirs(x))


# Scale


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_fitted_scale_gives_mean_0_and_deviation_1(dimensions):
    network = fitted(dimensions)
    with torch.no_grad():
        states = torch.cat([network.encode(image) for image in images(dimensions)])
    rest = [0, *range(2, states.ndim)]
    torch.testing.assert_close(states.mean(rest), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(states.std(rest, correction=0), torch.ones(4), atol=1e-5, rtol=0)


def test_fitting_again_changes_nothing_and_decoding_undoes_the_scale():
    network, plain = fitted(2), kl(2)
    before = network.scale
    mean, deviation = before.mean.clone(), before.deviation.clone()
    with torch.no_grad():
        network.fit_scale(network.encode(image) for image in images(2))
        torch.testing.assert_close(network.scale.mean, mean, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(network.scale.deviation, deviation, atol=1e-6, rtol=1e-4)
        image = images(2)[0]
        made, expected = network.decode(network.encode(image)), plain.decode(plain.encode(image))
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)


def test_the_scale_is_stored_with_the_weights():
    network, other = fitted(2), kl(2)
    other.load_state_dict(network.state_dict())
    assert pack(other.state_dict()) == pack(network.state_dict())
    assert torch.equal(other.scale.deviation, network.scale.deviation)
    assert not torch.equal(other.scale.deviation, torch.ones(4))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.floats(-1e4, 1e4))
def test_a_scale_of_parts_is_the_scale_of_the_whole(counts, shift):
    parts = [shift + (1 + number) * drawn(number, count, 3, 2, 3) for number, count in enumerate(counts)]
    whole = torch.cat(parts).double()
    found = Scale.of(iter(parts))
    torch.testing.assert_close(found.mean.double(), whole.mean((0, 2, 3)), atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(found.deviation.double(), whole.std((0, 2, 3), correction=0), atol=1e-5, rtol=1e-5)


def test_a_channel_that_never_changes_stays_finite():
    scale = Scale.of([torch.full((2, 1, 4, 4), 3.0)])
    assert torch.equal(scale.to_state(torch.full((1, 1, 2, 2), 3.0)), torch.zeros(1, 1, 2, 2))


def test_a_scale_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no latents"):
        kl(2).fit_scale([])


def test_spaces_with_a_scale_of_their_own_keep_it():
    for space in (vq(2), voxels(2)):
        before = space.scale
        space.fit_scale([drawn(0, 1, space.channels, 4, 4)])
        assert torch.equal(space.scale.mean, before.mean)
        assert torch.equal(space.scale.deviation, before.deviation)


# Masks


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_mask_of_one_voxel_stays(dimensions):
    mask = torch.zeros(1, 1, *[8] * dimensions)
    mask[(0, 0, *[5] * dimensions)] = 0.3
    small = on_latent_grid(mask, 4)
    assert small.shape == (1, 1, *[2] * dimensions)
    assert float(small[(0, 0, *[1] * dimensions)]) == pytest.approx(0.3)
    assert int((small > 0).sum()) == 1
    assert torch.equal(on_latent_grid(mask, 1), mask)
