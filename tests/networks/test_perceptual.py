import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from medsmith.errors import FileError
from medsmith.networks.perceptual import VARIABLE, PerceptualDistance, perceptual_distance

INDICES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
WIDTHS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
POOLED_BEFORE = {5, 10, 17, 24}
TAPPED = {2, 7, 14, 21, 28}


@pytest.fixture(scope="module")
def weights():
    """Random weights under the names of torchvision's VGG-16."""
    rng, found = torch.Generator().manual_seed(0), {}
    for index, before, after in zip(INDICES, WIDTHS, WIDTHS[1:], strict=False):
        scale = (2 / (9 * before)) ** 0.5
        found[f"features.{index}.weight"] = scale * torch.randn(after, before, 3, 3, generator=rng)
        found[f"features.{index}.bias"] = 0.01 * torch.randn(after, generator=rng)
    return found


@pytest.fixture(scope="module")
def distance(weights):
    return PerceptualDistance(weights)


@pytest.fixture(autouse=True)
def forget():
    perceptual_distance.cache_clear()
    yield
    perceptual_distance.cache_clear()


def planes(seed, channels=1, edge=32):
    return torch.rand(2, channels, edge, edge, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def by_hand(weights, one, other):
    """Layer by layer, with the definition of the distance written out."""
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    x, y = (((each + 1) / 2).expand(-1, 3, -1, -1).sub(mean).div(deviation) for each in (one, other))
    total = 0.0
    for index in INDICES:
        if index in POOLED_BEFORE:
            x, y = functional.max_pool2d(x, 2), functional.max_pool2d(y, 2)
        kernel, bias = weights[f"features.{index}.weight"], weights[f"features.{index}.bias"]
        x, y = (functional.conv2d(each, kernel, bias, padding=1).clamp(min=0) for each in (x, y))
        if index in TAPPED:
            cosine = functional.cosine_similarity(x, y, dim=1)
            total += float((2 - 2 * cosine).mean())  # |a - b|^2 of vectors of length 1
    return total


def test_it_is_the_distance_of_normalized_activations(weights, distance):
    one, other = planes(1), planes(2)
    assert float(distance(one, other)) == pytest.approx(by_hand(weights, one, other), rel=1e-4)
    assert float(distance(one, one)) == 0


def test_channels_are_pictures_of_their_own(distance):
    one, other = planes(1, channels=2), planes(2, channels=2)
    apart = [float(distance(one[:, [channel]], other[:, [channel]])) for channel in range(2)]
    assert float(distance(one, other)) == pytest.approx(sum(apart) / 2, rel=1e-4)


def test_small_planes_and_gradients(distance):
    one, other = planes(1, edge=6).requires_grad_(), planes(2, edge=6)
    distance(one, other).backward()
    assert one.grad is not None
    assert one.grad.abs().max() > 0
    assert all(weight.grad is None for weight in distance.parameters())


def test_weights_come_from_the_named_file_alone(weights, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert perceptual_distance(torch.device("cpu")) is None
    perceptual_distance.cache_clear()
    save_file(weights, tmp_path / "vgg.safetensors")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "vgg.safetensors"))
    found = perceptual_distance(torch.device("cpu"))
    assert found is not None
    assert perceptual_distance(torch.device("cpu")) is found


@pytest.mark.parametrize("content", [None, b"nothing", {"features.0.weight": torch.zeros(64, 3, 3, 3)}])
def test_a_file_without_these_weights_is_refused_in_one_line(content, tmp_path, monkeypatch):
    path = tmp_path / "vgg.safetensors"
    if isinstance(content, dict):
        save_file(content, path)
    elif content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(VARIABLE, str(path))
    with pytest.raises(FileError, match=VARIABLE if content is None else "not the weights of VGG-16") as caught:
        perceptual_distance(torch.device("cpu"))
    assert "\n" not in caught.value.line
