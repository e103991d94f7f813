import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from medsmith.evaluation.downstream.augmentation import StrongAugmentation, random_flip
from medsmith.evaluation.downstream.options import UtilityOptions, strong_augmentation

NONE = {
    "rotation": 0,
    "scale": 1,
    "shift": 0,
    "shear": 0,
    "elastic": 0,
    "gamma": 0,
    "contrast": 0,
    "brightness": 0,
    "noise": 0,
}
EDGE, COUNT = 32, 64


def only(**changes):
    return StrongAugmentation.model_validate({**NONE, **changes})


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def ramps():
    """x in channel 0 and y in channel 1, from -1 to 1: what is drawn at a pixel is where it came from."""
    line = (torch.arange(EDGE) + 0.5) / EDGE * 2 - 1
    x, y = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y])[None].repeat(COUNT, 1, 1, 1)


def labels():
    return torch.zeros(COUNT, EDGE, EDGE, dtype=torch.int64)


def jacobians(images):
    """[b, channel, axis]: how source coordinates change per coordinate, in the middle, where nothing was clamped."""
    middle = images[:, :, 12:20, 12:20]
    step = 2 / EDGE
    along_x = (middle[:, :, 1:] - middle[:, :, :-1]).mean(dim=(2, 3)) / step
    along_y = (middle[:, :, :, 1:] - middle[:, :, :, :-1]).mean(dim=(2, 3)) / step
    return torch.stack([along_x, along_y], dim=2)


def test_nothing_changes_without_a_change():
    images = torch.randn(4, 2, EDGE, EDGE, generator=rng(3))
    found = torch.randint(0, 3, (4, EDGE, EDGE), generator=rng(4))
    moved, classes = only()(images, found, rng())
    assert torch.allclose(moved, images, atol=1e-5)
    assert torch.equal(classes, found)


def test_rotation_is_a_rotation_of_at_most_its_angle():
    turned, _ = only(rotation=20.0)(ramps(), labels(), rng())
    found = jacobians(turned)
    assert torch.allclose(found @ found.mT, torch.eye(2).expand(COUNT, 2, 2), atol=1e-4)
    angles = torch.rad2deg(torch.atan2(found[:, 0, 1], found[:, 0, 0])).abs()
    assert 15 < angles.max() <= 20
    assert torch.allclose(turned[:, :, 15:17, 15:17].mean(dim=(2, 3)), torch.zeros(COUNT, 2), atol=1e-5)


def test_scale_lies_between_its_factor_and_the_inverse():
    found = jacobians(only(scale=1.25)(ramps(), labels(), rng())[0])
    zoom = found[:, 0, 0]
    assert torch.allclose(found, zoom[:, None, None] * torch.eye(2), atol=1e-4)
    assert 1 / 1.25 <= zoom.min() < 0.85
    assert 1.15 < zoom.max() <= 1.25


def test_shift_and_shear_lie_within_their_bounds():
    shifted = only(shift=0.15)(ramps(), labels(), rng())[0]
    moved = (shifted - ramps())[:, :, 12:20, 12:20]
    assert torch.allclose(moved, moved[:, :, :1, :1].expand_as(moved), atol=1e-5)
    assert 0.12 < moved.abs().max() <= 0.15
    sheared = jacobians(only(shear=0.1)(ramps(), labels(), rng())[0])
    assert torch.allclose(sheared.diagonal(dim1=1, dim2=2), torch.ones(COUNT, 2), atol=1e-4)
    assert 0.08 < sheared[:, 0, 1].abs().max() <= 0.1 + 1e-4


def test_elastic_displacements_differ_over_the_slice():
    moved = (only(elastic=0.06)(ramps(), labels(), rng())[0] - ramps())[:, :, 4:-4, 4:-4]
    assert 0.03 < moved.abs().max() < 0.06 * 1.4  # bicubic curves overshoot
    assert (moved.amax(dim=(2, 3)) - moved.amin(dim=(2, 3))).min() > 0.005


def test_labels_move_with_their_image():
    found = labels()
    found[:, 8:20, 10:26] = 2
    images = (found == 2).float()[:, None]
    moved, classes = only(rotation=20, scale=1.25, shift=0.15, shear=0.1, elastic=0.06)(images, found, rng())
    assert set(classes.unique().tolist()) == {0, 2}
    assert ((moved[:, 0] > 0.5 + 1e-4) <= (classes == 2)).all()
    assert ((moved[:, 0] < 0.5 - 1e-4) <= (classes == 0)).all()
    assert (classes != found).any()


def test_gray_values_keep_their_order_and_labels_stay():
    images = torch.randn(COUNT, 1, EDGE, EDGE, generator=rng(3))
    changed, classes = only(gamma=0.4, contrast=0.25, brightness=0.1)(images, labels(), rng())
    assert torch.equal(classes, labels())
    order = images.flatten(1).argsort(dim=1)
    assert (changed.flatten(1).gather(1, order).diff(dim=1) > -1e-4).all()
    assert not torch.allclose(changed, images, atol=0.05)


def test_gamma_contrast_brightness_and_noise_lie_within_their_bounds():
    line = torch.linspace(0, 1, EDGE**2).view(1, 1, EDGE, EDGE).repeat(COUNT, 1, 1, 1)
    exponent = torch.log(only(gamma=0.4)(line, labels(), rng())[0][:, 0, 16, 16]) / torch.log(line[:, 0, 16, 16])
    assert math.exp(-0.4) <= exponent.min() < exponent.max() <= math.exp(0.4)
    factor = only(contrast=0.25)(line, labels(), rng())[0].std(dim=(1, 2, 3)) / line.std(dim=(1, 2, 3))
    assert math.exp(-0.25) - 1e-4 <= factor.min() < factor.max() <= math.exp(0.25) + 1e-4
    added = (only(brightness=0.1)(line, labels(), rng())[0] - line).mean(dim=(1, 2, 3))
    assert 0.08 < added.abs().max() <= 0.1 + 1e-5
    spread = (only(noise=0.04)(line, labels(), rng())[0] - line).std(dim=(1, 2, 3))
    assert 0.03 < spread.max() < 0.045


@given(st.integers(0, 2**31))
def test_the_generator_decides_everything(seed):
    images = torch.randn(2, 1, 16, 16, generator=rng(1))
    found = torch.randint(0, 3, (2, 16, 16), generator=rng(2))
    one, other = (StrongAugmentation(mirror=0.5)(images, found, rng(seed)) for _ in range(2))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])


def test_sides_are_mirrored_only_as_asked():
    images = ramps()
    assert torch.allclose(only(mirror=1.0)(images, labels(), rng())[0], images.flip(2), atol=1e-5)
    same = only(mirror=0.0)(images, labels(), rng())[0]
    assert torch.allclose(same, images, atol=1e-5)
    flipped, _ = random_flip(images, labels(), rng())
    share = np.mean([torch.equal(a, b.flip(1)) for a, b in zip(flipped, images, strict=True)])
    assert 0.3 < share < 0.7
    before = images.clone()
    StrongAugmentation()(images, labels(), rng())
    assert torch.equal(images, before)


def volume_ramps(count=16):
    """x, y and z in channels 0 to 2, from -1 to 1."""
    line = (torch.arange(EDGE) + 0.5) / EDGE * 2 - 1
    return torch.stack(torch.meshgrid(line, line, line, indexing="ij"))[None].repeat(count, 1, 1, 1, 1)


def volume_jacobians(images):
    middle = images[:, :, 12:20, 12:20, 12:20]
    space = (2, 3, 4)
    return torch.stack([middle.diff(dim=axis).mean(dim=space) / (2 / EDGE) for axis in space], dim=2)


def no_labels(images):
    return torch.zeros(len(images), *images.shape[2:], dtype=torch.int64)


def test_volumes_are_turned_about_all_axes():
    images = volume_ramps()
    turned, _ = only(rotation=20.0)(images, no_labels(images), rng())
    found = volume_jacobians(turned)
    assert torch.allclose(found @ found.mT, torch.eye(3).expand(16, 3, 3), atol=1e-3)
    assert torch.allclose(torch.linalg.det(found), torch.ones(16), atol=1e-3)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert 0.15 < found[:, first, second].abs().max() < 0.6


def test_volumes_are_scaled_and_sheared_within_their_bounds():
    images = volume_ramps()
    scaled = volume_jacobians(only(scale=1.25)(images, no_labels(images), rng())[0])
    zoom = scaled[:, 0, 0]
    assert torch.allclose(scaled, zoom[:, None, None] * torch.eye(3), atol=1e-3)
    assert 1 / 1.25 <= zoom.min() < zoom.max() <= 1.25
    sheared = volume_jacobians(only(shear=0.1)(images, no_labels(images), rng())[0])
    assert torch.allclose(sheared.diagonal(dim1=1, dim2=2), torch.ones(16, 3), atol=1e-3)
    assert (sheared - torch.eye(3)).abs().max() <= 0.1 + 1e-3
    assert ((sheared - torch.eye(3)).abs().amax(dim=0)[~torch.eye(3, dtype=torch.bool)] > 0.06).all()


def test_elastic_displacements_of_volumes_are_smooth_along_every_axis():
    images = volume_ramps(4)
    field = only(elastic=0.06)(images, no_labels(images), rng())[0] - images
    inside = field[:, :, 4:-4, 4:-4, 4:-4]
    assert 0.03 < inside.abs().max() < 0.06 * 1.6  # cubic curves overshoot
    for axis in (2, 3, 4):
        assert inside.diff(dim=axis).abs().max() < 0.025
        assert (inside.amax(dim=axis) - inside.amin(dim=axis)).mean() > 0.005


def test_labels_of_volumes_move_with_their_image():
    found = torch.zeros(4, 16, 16, 16, dtype=torch.int64)
    found[:, 4:10, 5:13, 3:9] = 2
    images = (found == 2).float()[:, None]
    moved, classes = only(rotation=20, scale=1.25, shift=0.15, shear=0.1, elastic=0.06)(images, found, rng())
    assert set(classes.unique().tolist()) == {0, 2}
    assert ((moved[:, 0] > 0.5 + 1e-4) <= (classes == 2)).all()
    assert ((moved[:, 0] < 0.5 - 1e-4) <= (classes == 0)).all()


def test_gray_values_of_volumes_lie_within_their_bounds():
    images = torch.rand(32, 1, 8, 8, 8, generator=rng(5))
    added = (only(brightness=0.1)(images, no_labels(images), rng())[0] - images).mean(dim=(1, 2, 3, 4))
    assert 0.06 < added.abs().max() <= 0.1 + 1e-5


def test_gray_values_are_changed_in_a_share_of_the_cases():
    images = torch.rand(200, 1, 8, 8, generator=rng(5))
    changed, _ = only(gray_share=0.3, brightness=0.1)(images, no_labels(images), rng())
    share = (changed - images).abs().amax(dim=(1, 2, 3)).gt(1e-4).double().mean()
    assert 0.2 < share < 0.4


def test_hounsfield_units_change_no_more_than_in_nnunet():
    ct, other = strong_augmentation(("CT",), 0.5), strong_augmentation(("T1",), 0.5)
    assert other == StrongAugmentation(mirror=0.5)
    assert ct.brightness == 0
    assert ct.gray_share <= 0.15
    assert math.exp(-ct.gamma) >= 0.7
    assert math.exp(ct.gamma) <= 1.5
    assert math.exp(-ct.contrast) >= 0.75
    assert math.exp(ct.contrast) <= 1.25
    assert ct.rotation == other.rotation


def test_sides_that_are_named_are_not_mirrored():
    assert UtilityOptions().mirror_of(["background", "lesion"]) == 0.5
    assert UtilityOptions().mirror_of(["left kidney"]) == 0
    assert UtilityOptions().mirror_of(["kidney_right"]) == 0
    assert UtilityOptions().mirror_of(["bright spot"]) == 0.5
    assert UtilityOptions(mirror=0.25).mirror_of(["left kidney"]) == 0.25
