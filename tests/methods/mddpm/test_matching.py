"""Gray values of a lesion's image, matched by the means of lung and tissue or by the histogram."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.exposure import match_histograms

from medsmith.anatomy import ShapeSpace
from medsmith.diffusion import Sampling
from medsmith.methods.config import validated
from medsmith.methods.mddpm.matching import GrayTarget, gray_levels, levels_of_slice, match_gray
from medsmith.methods.mddpm.request import Anatomy, MddpmRequest
from medsmith.methods.mddpm.requested_anatomy import RequestedAnatomy
from steered_runs import LESIONS, NAMES, cohort_of, disk, slice_of, untrained_method, write_cohort

EDGE = 64


def chest(lung, tissue, lung_radius=9, air=-1.0):
    """A body with two lungs in air, in model space."""
    image = np.full((EDGE, EDGE), air, np.float32)
    image[disk((32, 32), 26)] = tissue
    for center in ((20, 32), (44, 32)):
        image[disk(center, lung_radius)] = lung
    return torch.from_numpy(image)[None]


def known(levels):
    assert levels is not None
    return levels.numpy()


def test_lung_and_tissue_take_on_the_means_of_the_target_whatever_their_shares():
    own, target = chest(-0.6, 0.2, lung_radius=10), chest(-0.3, 0.5, lung_radius=6)
    own[0][torch.from_numpy(disk((20, 32), 3))] = 0.4  # a lesion, brighter than tissue
    matched = match_gray(own, levels_of_slice(own), GrayTarget(target, levels_of_slice(target)))
    assert known(levels_of_slice(matched)) == pytest.approx(known(levels_of_slice(target)), abs=1e-5)
    by_histogram = match_gray(own, None, GrayTarget(target, levels_of_slice(target)))
    assert abs(float(by_histogram[0, 44, 32]) - -0.3) > abs(float(matched[0, 44, 32]) - -0.3)


def test_the_map_is_a_line_that_ends_at_the_range():
    own = torch.tensor([[[-0.5, 0.0, 0.5, 1.0]]])
    matched = match_gray(own, torch.tensor([[-0.5, 0.5]]), GrayTarget(own, torch.tensor([[-0.4, 0.8]])))
    assert torch.allclose(matched, torch.tensor([[[-0.4, 0.2, 0.8, 1.0]]]))


def test_each_channel_has_a_line_of_its_own_and_inverted_contrast_is_kept():
    own = torch.cat([chest(-0.6, 0.2), chest(0.5, -0.1)])
    context = {"body": disk((32, 32), 26), "lung": disk((20, 32), 9)}
    levels = gray_levels(own, context)
    wanted = torch.tensor([[0.0, 0.5], [-0.2, 0.7]])
    matched = match_gray(own, levels, GrayTarget(own, wanted))
    assert known(gray_levels(matched, context)) == pytest.approx(wanted.numpy(), abs=1e-5)


@pytest.mark.parametrize("shown", ["source", "target"])
def test_histograms_are_matched_where_one_image_shows_no_lung(shown):
    chest_image, other = chest(-0.6, 0.2), torch.linspace(-0.9, 0.9, EDGE * EDGE).reshape(1, EDGE, EDGE)
    own, target = (chest_image, other) if shown == "source" else (other, chest_image)
    assert levels_of_slice(other) is None
    matched = match_gray(own, levels_of_slice(own), GrayTarget(target, levels_of_slice(target)))
    expected = match_histograms(own[0].numpy().ravel(), target[0].numpy().ravel()).reshape(EDGE, EDGE)
    assert np.array_equal(matched[0].numpy(), expected.astype(np.float32))


@pytest.mark.parametrize("shown", ["source", "target", "neither"])
def test_a_channel_without_contrast_takes_the_histogram(shown):
    """What a line would do there: amplify noise, squash the image, or turn it over."""
    rng = np.random.default_rng(0)
    noise = [torch.from_numpy(rng.normal(0, 0.15, (1, EDGE, EDGE)).astype(np.float32)) for _ in range(2)]
    own = torch.cat([chest(-0.6, 0.2), chest(-0.5, 0.4) if shown == "source" else noise[0]])
    target = torch.cat([chest(-0.3, 0.5), chest(-0.2, 0.7) if shown == "target" else noise[1]])
    levels = [levels_of_slice(each) for each in (own, target)]
    matched = match_gray(own, levels[0], GrayTarget(target, levels[1]))
    assert torch.equal(matched[1], match_gray(own, None, GrayTarget(target))[1])
    assert not torch.equal(matched[0], match_gray(own, None, GrayTarget(target))[0])


def test_a_slope_that_would_amplify_takes_the_histogram():
    own, target = chest(-0.6, -0.5), chest(-0.9, 0.9)
    matched = match_gray(own, levels_of_slice(own), GrayTarget(target, levels_of_slice(target)))
    assert torch.equal(matched, match_gray(own, None, GrayTarget(target)))


def test_equal_levels_fall_back_to_the_histogram():
    own, target = chest(-0.6, 0.2), chest(-0.3, 0.5)
    matched = match_gray(own, torch.tensor([[0.1, 0.1]]), GrayTarget(target, torch.tensor([[-0.3, 0.5]])))
    assert torch.equal(matched, match_gray(own, None, GrayTarget(target)))


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A method and the paths of a request: a shape space, and a lesion whose lung is darker than that of the space."""
    folder = tmp_path_factory.mktemp("matching")
    labeled = cohort_of(folder / "labeled", 12, NAMES)
    ShapeSpace.fit(labeled).save(folder / "space.safetensors")
    lesion = slice_of(0, LESIONS)
    darker = np.where(lesion.image < 60, lesion.image / 3, lesion.image).astype(np.float32)
    write_cohort(folder / "lesions", [replace(lesion, image=np.rint(darker))])
    return untrained_method(labeled), folder


def ring_of(method, folder, gray="auto", **parts):
    """Mean of the lesion's guide in a ring around the lesion."""
    lesion = {"case": {"cohort": str(folder / "lesions"), "case": "case_0"}, "gray": gray}
    whole = {"pathologies": [lesion], **parts}
    steering = method.steering(validated(MddpmRequest, "request", whole), 1, Sampling(steps=10))
    mask = steering.lesions[0].mask
    ring = ndimage.binary_dilation(mask, iterations=3) & ~ndimage.binary_dilation(mask)
    return float(steering.guides["pathologies.0"].reference[0, 0].numpy()[ring].mean())


def test_lung_around_a_lesion_has_the_gray_value_of_the_anatomy(asked):
    method, folder = asked
    space = {"space": str(folder / "space.safetensors")}
    (lung,) = ShapeSpace.load(space["space"]).record.gray_values["lung"]
    assert ring_of(method, folder, anatomy=space) == pytest.approx(lung / 127.5 - 1, abs=0.05)
    assert ring_of(method, folder, anatomy=space, gray="keep") < lung / 127.5 - 1.1


def test_the_first_texture_comes_before_the_anatomy(asked):
    method, folder = asked
    texture, space = {"cohort": str(folder / "bright"), "case": "case_3"}, {"space": str(folder / "space.safetensors")}
    bright = slice_of(3)
    gray = np.where((bright.image > 10) & (bright.image < 60), 60.0, bright.image).astype(np.float32)
    write_cohort(folder / "bright", [replace(bright, image=gray)])
    found = ring_of(method, folder, anatomy=space, guides=[{"image": texture}])
    assert found == pytest.approx(60 / 127.5 - 1, abs=0.05)


def test_a_space_without_lung_or_of_other_channels_has_no_levels(asked):
    method, folder = asked
    requested = RequestedAnatomy.of(Anatomy.model_validate({"space": folder / "space.safetensors"}))
    assert known(requested.gray_levels(method.fingerprint)).shape == (1, 2)
    two = method.fingerprint.model_copy(update={"channel_names": ("a", "b")})
    assert requested.gray_levels(two) is None
    gray = {name: value for name, value in requested.space.record.gray_values.items() if name != "lung"}
    without = requested.space.record.model_copy(update={"gray_values": gray})
    assert replace(requested, space=replace(requested.space, record=without)).gray_levels(method.fingerprint) is None
