"""The KL autoencoder, for images and label maps, and its losses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.distributions import Normal, kl_divergence

import medsmith.methods
import micro
import toy_method_loader
from medsmith.diffusion import Sampling
from medsmith.networks.autoencoder import AutoencoderConfig
from medsmith.networks.autoencoder_losses import (
    AutoencoderLossConfig,
    adaptive_weight,
    generator_loss,
    reconstruction_loss,
)
from medsmith.networks.discriminator import DiscriminatorConfig, Discriminators, Plane
from medsmith.networks.kl_autoencoder import KLAutoencoder, Posterior
from medsmith.networks.kl_losses import (
    KLLossConfig,
    LabelLossConfig,
    kl_autoencoder_loss,
    kl_discriminator_loss,
    label_autoencoder_loss,
)
from medsmith.networks.labels import cross_entropy, dice_loss, most_likely, one_hot
from medsmith.runs.checkpoints import load_method, pack
from medsmith.runs.folder import StageCheckpoints
from medsmith.training import Budget, train
from narrowing import present

SMALL = AutoencoderConfig(channels=(8, 8))


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def networks(dimensions: int = 2, channels: int = 1) -> tuple[KLAutoencoder, Discriminators]:
    torch.manual_seed(0)
    autoencoder = KLAutoencoder(SMALL, dimensions, channels)
    return autoencoder.train(), Discriminators(DiscriminatorConfig(channels=4, layers=1), dimensions, channels)


def label_map(seed, classes, *shape):
    return torch.randint(classes, shape, generator=generator(seed))


# The posterior


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(3, 4, 2, 3), (2, 2, 3, 2, 2)]))
def test_the_divergence_is_torchs(seed, shape):
    mean, log_variance = 2 * drawn(seed, *shape), 2 * drawn(seed + 1, *shape)
    theirs = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    found = Posterior(mean, log_variance).divergence()
    torch.testing.assert_close(found, theirs.sum(list(range(1, len(shape)))).mean(), rtol=1e-4, atol=1e-4)


def test_samples_have_the_mean_and_the_variance():
    posterior = Posterior(torch.full((1, 1, 200, 200), 3.0), torch.full((1, 1, 200, 200), 0.5).log())
    sample = posterior.sample(generator())
    assert float(sample.mean()) == pytest.approx(3, abs=0.02)
    assert float(sample.var()) == pytest.approx(0.5, abs=0.02)
    assert torch.equal(sample, posterior.sample(generator()))
    assert not torch.equal(sample, posterior.sample(generator(1)))


def test_the_log_variance_is_bounded():
    autoencoder, _ = networks()
    with torch.no_grad():
        list(autoencoder.encoder.parameters())[-1].copy_(torch.tensor([0.0] * 4 + [1e3, -1e3, 1e3, -1e3]))
        posterior = autoencoder.posterior(drawn(0, 1, 1, 8, 8))
    assert posterior.log_variance.amax() == 20
    assert posterior.log_variance.amin() == -30
    assert posterior.divergence().isfinite()


# The network


@pytest.mark.parametrize(("dimensions", "channels"), [(2, 1), (2, 3), (3, 1), (3, 2)])
def test_there_and_back(dimensions, channels):
    torch.manual_seed(0)
    config = AutoencoderConfig(channels=(4, 6, 8), latent=5)
    autoencoder = KLAutoencoder(config, dimensions, channels)
    image = drawn(1, 2, channels, 8, *[4] * (dimensions - 1))
    made = autoencoder(image, generator())
    assert made.image.shape == image.shape
    assert made.posterior.mean.shape == (2, 5, 2, *[1] * (dimensions - 1))
    assert torch.equal(autoencoder.encode(image), autoencoder.posterior(image).mean)
    (made.image.square().mean() + made.posterior.divergence()).backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in autoencoder.parameters())


def test_sizes_that_do_not_fit_are_refused():
    autoencoder = KLAutoencoder(AutoencoderConfig(channels=(4, 4, 4)), 3)
    with pytest.raises(ValueError, match=r"\(8, 8, 6\) voxels: every axis must be a multiple of 4"):
        autoencoder.encode(torch.zeros(1, 1, 8, 8, 6))


@pytest.mark.parametrize("wrong", [{"channels": ()}, {"channels": (8, 0)}, {"latent": 0}, {"residual_blocks": 0}])
def test_shapes_that_cannot_be_built_are_refused(wrong):
    with pytest.raises(ValidationError):
        AutoencoderConfig(**wrong)


def test_bfloat16_stays_inside():
    autoencoder, discriminator = networks()
    image = drawn(2, 1, 1, 16, 16)
    with torch.no_grad():
        exact = autoencoder(image, generator())
        with torch.autocast("cpu", torch.bfloat16):
            cast = autoencoder(image, generator())
            answers = discriminator(image, Plane(None, ()))
    assert {cast.image.dtype, cast.posterior.mean.dtype, cast.posterior.log_variance.dtype} == {torch.float32}
    assert {answer.dtype for answer in answers} == {torch.float32}
    assert (cast.image - exact.image).norm() < 0.05 * exact.image.norm()


# Discriminators in 2-D


def test_in_2d_the_image_is_the_plane():
    image = drawn(0, 2, 3, 16, 16)
    rng = generator()
    plane = Plane.sample(image.shape, rng)
    assert torch.equal(rng.get_state(), generator().get_state())
    assert torch.equal(plane.of(image), image)
    answers = Discriminators(DiscriminatorConfig(channels=4, layers=2), 2, 3)(image, plane)
    assert [answer.shape for answer in answers] == [(2, 1, 2, 2)]


# Losses of images


@pytest.mark.parametrize(("dimensions", "channels"), [(2, 1), (2, 3), (3, 1)])
def test_the_loss_of_images_is_the_sum_of_its_terms(dimensions, channels):
    image = drawn(1, 2, channels, *[8] * dimensions)
    config = KLLossConfig(kl=0.01, image=AutoencoderLossConfig(discriminator_from=0, adversarial=0.5))
    autoencoder, discriminator = networks(dimensions, channels)
    rng = generator(3)
    made = autoencoder(image, rng)
    plane = Plane.sample(image.shape, rng)
    reconstruction = reconstruction_loss(made.image, image, "l1")
    gan_term = generator_loss(discriminator(made.image, plane), "hinge")
    expected = reconstruction + 0.01 * made.posterior.divergence()
    expected = expected + 0.5 * adaptive_weight(reconstruction, gan_term, autoencoder.last_weight) * gan_term
    found = kl_autoencoder_loss(autoencoder, discriminator, image, config, generator(3))
    torch.testing.assert_close(found, expected)
    assert int(autoencoder.steps) == 1


def test_before_its_step_the_discriminator_neither_counts_nor_learns():
    autoencoder, discriminator = networks()
    image = drawn(1, 1, 1, 8, 8)
    config = KLLossConfig(kl=0.0, image=AutoencoderLossConfig(discriminator_from=5, norm="l2"))
    found = kl_autoencoder_loss(autoencoder, discriminator, image, config, generator())
    expected = (autoencoder(image, generator()).image - image).square().mean()
    torch.testing.assert_close(found, expected)
    loss = kl_discriminator_loss(autoencoder, discriminator, image, config, generator())
    loss.backward()
    assert float(loss.detach()) == 0
    assert not any(present(weight.grad).any() for weight in discriminator.parameters())


def test_each_part_moves_its_own_weights():
    autoencoder, discriminator = networks()
    image, config = drawn(1, 1, 1, 8, 8), KLLossConfig(image=AutoencoderLossConfig(discriminator_from=0))
    before = pack(autoencoder.state_dict())
    kl_discriminator_loss(autoencoder, discriminator, image, config, generator()).backward()
    assert all(weight.grad is not None for weight in discriminator.parameters())
    assert all(weight.grad is None for weight in autoencoder.parameters())
    assert pack(autoencoder.state_dict()) == before
    discriminator.zero_grad()
    discriminator.requires_grad_(False)
    kl_autoencoder_loss(autoencoder, discriminator, image, config, generator()).backward()
    assert all(weight.grad is None for weight in discriminator.parameters())
    assert all(present(weight.grad).isfinite().all() for weight in autoencoder.parameters())


def test_a_perceptual_distance_is_added():
    image = drawn(1, 2, 1, 8, 8)
    config = KLLossConfig(image=AutoencoderLossConfig(discriminator_from=9, perceptual=0.5))
    without, added = (
        float(kl_autoencoder_loss(*networks(), image, config, generator(), distance).detach())
        for distance in (None, lambda made, image: (made - image).square().sum() * 0 + 7.0)
    )
    assert added == pytest.approx(without + 3.5, rel=1e-5)


# Losses of label maps


@pytest.mark.parametrize("shape", [(2, 8, 8), (1, 8, 4, 4)])
def test_the_loss_of_labels_is_the_sum_of_its_terms(shape):
    torch.manual_seed(0)
    autoencoder = KLAutoencoder(SMALL, len(shape) - 1, 3)
    labels, weights = label_map(0, 3, *shape), torch.tensor([0.2, 1.0, 5.0])
    config = LabelLossConfig(kl=0.01, cross_entropy=2.0, dice=0.5)
    made = autoencoder(one_hot(labels, 3), generator())
    expected = 2 * cross_entropy(made.image, labels, weights) + 0.5 * dice_loss(made.image, labels, weights)
    expected = expected + 0.01 * made.posterior.divergence()
    torch.testing.assert_close(label_autoencoder_loss(autoencoder, labels, config, generator(), weights), expected)
    assert int(autoencoder.steps) == 1
    label_autoencoder_loss(autoencoder.eval(), labels, config, generator())
    assert int(autoencoder.steps) == 1


def test_under_autocast_the_losses_stay_float32_and_close():
    image, labels = drawn(1, 1, 1, 8, 8), label_map(0, 3, 1, 8, 8)
    config = KLLossConfig(image=AutoencoderLossConfig(discriminator_from=0))
    torch.manual_seed(0)
    mapper = KLAutoencoder(SMALL, 2, 3)

    def losses():
        yield kl_autoencoder_loss(*networks(), image, config, generator())
        yield kl_discriminator_loss(*networks(), image, config, generator())
        yield label_autoencoder_loss(mapper, labels, LabelLossConfig(), generator())

    exact = list(losses())
    with torch.autocast("cpu", torch.bfloat16):
        cast = list(losses())
    for one, other in zip(exact, cast, strict=True):
        assert other.dtype == torch.float32
        assert float(other.detach()) == pytest.approx(float(one.detach()), rel=0.1)


# Learning


def test_a_small_network_learns_one_label_map_by_heart():
    axes = torch.meshgrid(*[torch.arange(16)] * 2, indexing="ij")
    radius = ((axes[0] - 7.5) ** 2 + (axes[1] - 7.5) ** 2).sqrt()
    labels = ((radius < 6).long() + (radius < 2).long())[None]
    torch.manual_seed(0)
    autoencoder = KLAutoencoder(SMALL, 2, 3)
    optimizer = torch.optim.Adam(autoencoder.parameters(), 3e-3)
    for step in range(80):
        loss = label_autoencoder_loss(autoencoder, labels, LabelLossConfig(), generator(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = most_likely(autoencoder.decode(autoencoder.encode(one_hot(labels, 3))))
    assert float((found == labels).float().mean()) > 0.98
    assert set(found.unique().tolist()) == {0, 1, 2}


def test_a_small_network_learns_one_image_by_heart():
    axes = torch.meshgrid(*[torch.linspace(-1, 1, 16)] * 2, indexing="ij")
    image = (torch.tanh(8 * (0.7 - torch.stack(axes).square().sum(0).sqrt())) * 0.6)[None, None]
    autoencoder, discriminator = networks()
    discriminator.requires_grad_(False)
    optimizer = torch.optim.Adam(autoencoder.parameters(), 3e-3)
    config = KLLossConfig(image=AutoencoderLossConfig(discriminator_from=60, adversarial=0.1))
    for step in range(120):
        loss = kl_autoencoder_loss(autoencoder, discriminator, image, config, generator(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        error = (autoencoder.decode(autoencoder.encode(image)) - image).abs().mean()
    assert float(error) < 0.15 * float((image - image.mean()).abs().mean())


# In a method


def test_a_stop_changes_nothing_and_the_count_of_steps_survives_it(tmp_path, monkeypatch):
    folder = toy_method_loader.FOLDER
    monkeypatch.setattr(medsmith.methods, "__path__", [*medsmith.methods.__path__, folder])
    cohort = micro.micro_cohort(tmp_path / "cohort", dimensions=2)
    train("kl_compressor", cohort, tmp_path / "whole", budget=Budget(steps=6))
    for steps in (1, 4, 6):
        train("kl_compressor", cohort, tmp_path / "parts", budget=Budget(steps=steps))
    for stage in ("labels", "images"):
        whole, parts = (present(StageCheckpoints(tmp_path / run, stage).newest())[0] for run in ("whole", "parts"))
        assert pack(whole) == pack(parts)
    assert int(whole["weights.autoencoder.steps"]) == 6
    method = load_method(tmp_path / "whole")
    assert int(method.get_buffer("label_autoencoder.steps")) == 6
    assert method.synthesize(method.Request(), 1, Sampling(solver="ddim", steps=1)).require_image().shape == (
        1,
        8,
        8,
        1,
    )
