import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

import medsmith.methods
import micro
import toy_method_loader
from medsmith.networks.autoencoder_losses import (
    AutoencoderLossConfig,
    adaptive_weight,
    discriminator_loss,
    generator_loss,
    reconstruction_loss,
    vqgan_discriminator_loss,
    vqgan_loss,
)
from medsmith.networks.discriminator import DiscriminatorConfig, Discriminators, Plane
from medsmith.networks.vqgan import VQGAN, VQGANConfig
from medsmith.runs.checkpoints import export_weights, load_method, pack
from medsmith.runs.folder import StageCheckpoints
from medsmith.training import Budget, train
from narrowing import present

REAL, FAKE = (torch.tensor([2.0, 0.5]), torch.tensor([-1.0])), (torch.tensor([-2.0, 0.0]), torch.tensor([3.0]))


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def networks(seed: int = 0, **settings: Any) -> tuple[VQGAN, Discriminators]:
    torch.manual_seed(seed)
    shape = VQGANConfig(**{"channels": 8, "codes": 16, **settings})
    return VQGAN(shape).train(), Discriminators(DiscriminatorConfig(channels=4, layers=1))


# The terms


def test_reconstruction():
    made, image = torch.tensor([[[[[1.0, 3.0]]]]]), torch.tensor([[[[[0.0, 5.0]]]]])
    assert float(reconstruction_loss(made, image, "l1")) == 1.5
    assert float(reconstruction_loss(made, image, "l2")) == 2.5


def test_hinge_loss():
    assert float(generator_loss(FAKE, "hinge")) == pytest.approx(1.0 - 3.0)
    assert float(discriminator_loss(REAL, FAKE, "hinge")) == pytest.approx((0.25 + 2.0 + 0.5 + 4.0) / 2)


def test_logistic_loss_is_equation_3():
    def log_sigmoid(logits):
        return torch.log(1 / (1 + torch.exp(-logits))).mean()

    fooled = sum(log_sigmoid(-answer) for answer in FAKE)
    assert float(generator_loss(FAKE, "logistic")) == pytest.approx(float(fooled))
    terms = [binary_cross_entropy_with_logits(answer, torch.ones_like(answer)) for answer in REAL]
    terms += [binary_cross_entropy_with_logits(answer, torch.zeros_like(answer)) for answer in FAKE]
    assert float(discriminator_loss(REAL, FAKE, "logistic")) == pytest.approx(float(sum(terms)) / 2)


def test_the_adaptive_weight_is_the_ratio_of_gradients():
    weight = torch.tensor([1.0, 2.0], requires_grad=True)
    reconstruction, gan_term = (
        (weight * torch.tensor([3.0, 4.0])).sum(),
        (weight * torch.tensor([0.0, 2.0])).sum(),
    )
    ratio = adaptive_weight(reconstruction, gan_term, weight)
    assert float(ratio) == pytest.approx(5 / 2, rel=1e-4)
    assert not ratio.requires_grad


def test_the_adaptive_weight_is_bounded():
    weight = torch.tensor([1.0], requires_grad=True)
    assert float(adaptive_weight(1e6 * weight.sum(), 0 * weight.sum(), weight)) == 1e4


# Planes and discriminators


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_are_cut_where_they_say(axis):
    volumes = drawn(0, 2, 1, 4, 5, 6)
    planes = Plane(axis, (1, 3)).of(volumes)
    for index, place in enumerate((1, 3)):
        np.testing.assert_array_equal(planes[index].numpy(), volumes[index].numpy().take(place, axis=1 + axis))


def test_planes_are_drawn_evenly_and_again_alike():
    shape = torch.Size((2, 1, 3, 4, 5))
    drawn_planes = [Plane.sample(shape, generator(seed)) for seed in range(300)]
    assert drawn_planes[7] == Plane.sample(shape, generator(7))
    counts = np.bincount([present(plane.axis) for plane in drawn_planes], minlength=3)
    assert counts.min() > 70
    assert {place for plane in drawn_planes if plane.axis == 1 for place in plane.indices} == {0, 1, 2, 3}


def test_discriminators_answer_by_patch_down_to_the_smallest_volume():
    discriminators = Discriminators(DiscriminatorConfig(channels=4, layers=2))
    plane, volume = discriminators(drawn(0, 2, 1, 16, 16, 16), Plane(0, (1, 2)))
    assert plane.shape == (2, 1, 2, 2)
    assert volume.shape == (2, 1, 2, 2, 2)
    smallest = DiscriminatorConfig(channels=4, layers=2).smallest
    assert discriminators(drawn(0, 1, 1, *[smallest] * 3), Plane(1, (0,)))[1].numel() == 1


# The whole of equation 3


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("codebook", ["ema", "gradient"])
def test_before_the_discriminators_count_the_loss_is_reconstruction_and_codebook(norm, codebook):
    vqgan, discriminators = networks(codebook=codebook)
    image = drawn(1, 2, 1, 8, 8, 8)
    with torch.no_grad():
        made = vqgan(image)
    config = AutoencoderLossConfig(norm=norm, discriminator_from=2)
    loss = vqgan_loss(vqgan, discriminators, image, config, generator())
    expected = reconstruction_loss(made.image, image, norm) + made.quantized.loss
    assert float(loss.detach()) == pytest.approx(float(expected))
    assert float(vqgan_discriminator_loss(vqgan, discriminators, image, config, generator()).detach()) == 0


@pytest.mark.parametrize("gan_loss", ["hinge", "logistic"])
def test_from_their_step_on_the_discriminators_count_with_the_adaptive_weight(gan_loss):
    vqgan, discriminators = networks()
    image, config = (
        drawn(1, 2, 1, 8, 8, 8),
        AutoencoderLossConfig(gan_loss=gan_loss, discriminator_from=1, adversarial=0.5),
    )
    made = vqgan(image)
    plane = Plane.sample(image.shape, _after_learning(vqgan, made))
    reconstruction = reconstruction_loss(made.image, image, "l1")
    gan_term = generator_loss(discriminators(made.image, plane), gan_loss)
    expected = reconstruction + made.quantized.loss
    expected = expected + 0.5 * adaptive_weight(reconstruction, gan_term, vqgan.last_weight) * gan_term
    vqgan, discriminators = networks()
    loss = vqgan_loss(vqgan, discriminators, image, config, generator())
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def _after_learning(vqgan, made):
    """The generator as it stands when codes have been revived from it."""
    rng = generator()
    vqgan.update(made, rng)
    return rng


def test_each_part_moves_its_own_weights():
    vqgan, discriminators = networks()
    image, config = drawn(1, 1, 1, 8, 8, 8), AutoencoderLossConfig(discriminator_from=0)
    vqgan_discriminator_loss(vqgan, discriminators, image, config, generator()).backward()
    assert all(weight.grad is not None for weight in discriminators.parameters())
    assert all(weight.grad is None for weight in vqgan.parameters())
    discriminators.zero_grad()
    discriminators.requires_grad_(False)
    vqgan_loss(vqgan, discriminators, image, config, generator()).backward()
    assert all(weight.grad is None for weight in discriminators.parameters())
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in vqgan.parameters())


def test_the_codebook_learns_in_training_alone():
    vqgan, discriminators = networks()
    image, config = drawn(1, 1, 1, 8, 8, 8), AutoencoderLossConfig()
    before = pack(vqgan.state_dict())
    vqgan_discriminator_loss(vqgan, discriminators, image, config, generator())
    vqgan_loss(vqgan.eval(), discriminators, image, config, generator())
    assert pack(vqgan.state_dict()) == before
    vqgan_loss(vqgan.train(), discriminators, image, config, generator())
    assert int(vqgan.steps) == 1
    assert pack(vqgan.state_dict()) != before


def test_a_perceptual_distance_is_asked_for_planes_and_added():
    seen = []

    def distance(made, image):
        seen.append((tuple(made.shape), tuple(image.shape)))
        return (made - image).square().sum() * 0 + 7.0

    image, config = drawn(1, 2, 1, 8, 8, 8), AutoencoderLossConfig(discriminator_from=9, perceptual=0.5)
    without, added = (
        float(vqgan_loss(*networks(), image, config, generator(), perceptual).detach())
        for perceptual in (None, distance)
    )
    assert added == pytest.approx(without + 3.5, rel=1e-5)
    assert seen == [((2, 1, 8, 8), (2, 1, 8, 8))]


def test_without_weight_there_are_no_discriminators():
    vqgan, discriminators = networks()
    config = AutoencoderLossConfig(adversarial=0.0, discriminator_from=0)
    assert (
        float(vqgan_discriminator_loss(vqgan, discriminators, drawn(1, 1, 1, 8, 8, 8), config, generator()).detach())
        == 0
    )


def test_under_autocast_the_losses_stay_float32_and_close():
    image, config = drawn(1, 1, 1, 8, 8, 8), AutoencoderLossConfig(discriminator_from=0)
    exact = [loss(*networks(), image, config, generator()) for loss in (vqgan_loss, vqgan_discriminator_loss)]
    with torch.autocast("cpu", torch.bfloat16):
        cast = [loss(*networks(), image, config, generator()) for loss in (vqgan_loss, vqgan_discriminator_loss)]
    for one, other in zip(exact, cast, strict=True):
        assert other.dtype == torch.float32
        assert float(other.detach()) == pytest.approx(float(one.detach()), rel=0.1)


# Training


@pytest.mark.slow
@pytest.mark.parametrize("codebook", ["ema", "gradient"])
def test_a_small_network_learns_one_batch_by_heart(codebook):
    torch.manual_seed(0)
    vqgan, discriminators = networks(codes=64, codebook=codebook)
    axes = torch.meshgrid(*[torch.linspace(-1, 1, 12)] * 3, indexing="ij")
    radius = torch.stack(axes).square().sum(0).sqrt()
    image = (torch.tanh(8 * (0.7 - radius)) * 0.6 + 0.1 * torch.sin(9 * axes[0]))[None, None]
    optimizer = torch.optim.Adam(vqgan.parameters(), 3e-3)
    config = AutoencoderLossConfig(discriminator_from=10**6)
    for step in range(120):
        loss = vqgan_loss(vqgan, discriminators, image, config, generator(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        error = (vqgan.eval()(image).image - image).abs().mean()
    assert float(error) < 0.15 * float((image - image.mean()).abs().mean())


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """A small cohort, and the method of the tests that trains a VQGAN."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(medsmith.methods, "__path__", [*medsmith.methods.__path__, toy_method_loader.FOLDER])
        yield micro.micro_cohort(tmp_path_factory.mktemp("cohort") / "c", dimensions=3)


@pytest.fixture(scope="module")
def three_steps(cohort, tmp_path_factory):
    """A run of three steps, which is not to be changed."""
    run = tmp_path_factory.mktemp("trained") / "run"
    train("compressor", cohort, run, budget=Budget(steps=3))
    return run


def checkpoint(run):
    tensors, _ = present(StageCheckpoints(run, "autoencoder").newest())
    return tensors


def test_codebook_and_steps_survive_a_stop_bit_by_bit(cohort, tmp_path):
    train("compressor", cohort, tmp_path / "whole", budget=Budget(steps=6))
    for steps in (1, 4, 6):
        train("compressor", cohort, tmp_path / "parts", budget=Budget(steps=steps))
    whole, parts = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts")
    assert pack(whole) == pack(parts)
    assert int(whole["weights.autoencoder.steps"]) == 6
    assert whole["weights.autoencoder.codebook.shares"].any()


def test_the_averaged_network_has_the_codebook_as_it_stands(three_steps):
    tensors = checkpoint(three_steps)
    for name in ("codebook.codes", "codebook.shares", "steps"):
        assert torch.equal(tensors[f"ema.autoencoder.{name}"], tensors[f"weights.autoencoder.{name}"])


def test_exported_weights_keep_the_count_of_steps(three_steps, tmp_path):
    export_weights(three_steps, tmp_path / "half")
    kept, halved = (load_method(run).part("autoencoder") for run in (three_steps, tmp_path / "half"))
    assert int(halved.get_buffer("steps")) == 3
    codes = (each.get_buffer("codebook.codes") for each in (halved, kept))
    torch.testing.assert_close(*codes, rtol=1e-3, atol=1e-4)


def test_discriminators_stand_still_until_they_count(cohort, tmp_path):
    train("compressor", cohort, tmp_path / "run", settings=("training.weight_decay=0",), budget=Budget(steps=2))
    early = checkpoint(tmp_path / "run")
    train("compressor", cohort, tmp_path / "run", settings=("training.weight_decay=0",), budget=Budget(steps=4))
    late = checkpoint(tmp_path / "run")
    names = [name for name in early if name.startswith("weights.discriminator.")]
    torch.manual_seed(0)
    assert any(not torch.equal(early[name], late[name]) for name in names)
    assert all(torch.equal(early[name], early[name.replace("weights.", "ema.", 1)]) for name in names)
    assert math.isfinite(sum(float(late[name].sum()) for name in names))
    assert isinstance(load_method(tmp_path / "run").part("discriminator.plane"), nn.Module)
