"""Extractors by name, networks from files, parts of features, and distances that may not be put side by side."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from medsmith.errors import FileError, RequestError, RunError
from medsmith.evaluation.fidelity import inception, resnet
from medsmith.evaluation.fidelity.comparison import ComparisonPlan, compare
from medsmith.evaluation.fidelity.extractors import Extractor, averaged
from medsmith.evaluation.fidelity.frechet import FRECHET, frechet_distance
from medsmith.evaluation.fidelity.measured_distance import MeasuredDistance, check_alike
from medsmith.evaluation.fidelity.named_extractors import EXTRACTORS, extractor_named, extractors_named
from medsmith.evaluation.fidelity.radiomics import Radiomics
from medsmith.evaluation.fidelity.resnet import PLANES, RadImageNet, plane_slices
from medsmith.evaluation.fidelity.statistic import value_between
from medsmith.evaluation.fidelity.views import View, ViewSpec
from medsmith.formats.atomic import sha256_of

FLAT = ViewSpec((32, 32, 1), 0, "CT", (0.0, 1.0), in_millimeters=True)
CUBE = replace(FLAT, shape=(24, 24, 24))


def view_of(image):
    return View("v", np.asarray(image, np.float32), np.zeros(image.shape, np.uint8), (1.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def network_file(tmp_path_factory):
    """A 2-D ResNet-50 of random weights."""
    from monai.networks.nets import resnet50

    torch.manual_seed(0)
    network = resnet50(pretrained=False, spatial_dims=2, n_input_channels=3, feed_forward=False, conv1_t_stride=2)
    path = tmp_path_factory.mktemp("weights") / "radimagenet.safetensors"
    save_file(network.state_dict(), path)
    return path


def test_names_give_extractors_and_others_are_refused(monkeypatch):
    assert isinstance(extractor_named("radiomics"), Radiomics)
    assert isinstance(extractor_named("radiomics"), Extractor)
    assert extractors_named(())[-1].name == Radiomics.name
    with pytest.raises(RequestError, match="no 'lpips'; there are inception, radiomics, medicalnet-resnet50"):
        extractor_named("lpips")
    monkeypatch.delenv("MEDSMITH_MEDICALNET", raising=False)
    with pytest.raises(FileError, match="MEDSMITH_MEDICALNET: names no weights, and none are shipped"):
        extractor_named("medicalnet-resnet50")
    assert len(EXTRACTORS) == 5


@pytest.mark.parametrize("name", ["medicalnet-resnet50", "radimagenet-resnet50"])
def test_a_pickle_is_never_opened(name, tmp_path):
    path = tmp_path / "resnet_50.pth"
    path.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(FileError, match=r"may hold code.*convert it to safetensors as in docs"):
        extractor_named(f"{name}={path}")


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"layer.weight": torch.zeros(3)}, path)
    with pytest.raises(RunError, match="made for another architecture"):
        RadImageNet(path)


def test_a_volume_has_the_features_of_every_plane_and_a_picture_its_own(network_file):
    network = extractor_named(f"radimagenet-resnet50={network_file}")
    volume = np.random.default_rng(0).uniform(0, 255, (24, 24, 24))
    row = network([view_of(volume)])
    assert row.shape == (1, 3 * 2048)
    assert network([view_of(volume[..., :1])]).shape == (1, 2048)
    parts = network.parts(CUBE)
    assert tuple(parts.columns) == PLANES == ("sagittal", "coronal", "axial")
    assert not network.parts(FLAT).columns
    # The last plane is axial: its slices, one by one.
    axial = np.mean([network([view_of(volume[..., cut, None])])[0] for cut in (7, 9, 12, 14, 16)], axis=0)
    np.testing.assert_allclose(row[0, parts.columns["axial"]], axial, rtol=1e-4, atol=1e-5)
    assert network.identity.startswith("sha256 ")


def test_slices_are_of_the_central_part_of_each_plane():
    stacks = plane_slices(view_of(np.indices((21, 21, 21))[1].astype(float)))
    assert [stack.shape for stack in stacks] == [(5, 21, 21)] * 3
    assert stacks[1][:, 0, 0].tolist() == [6, 8, 10, 12, 14]


def test_planes_together_are_the_mean_of_their_distances():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 9)), rng.normal(size=(20, 9)) + 0.3
    columns = {"a": np.arange(3), "b": np.arange(3, 9)}
    expected = (frechet_distance(x[:, :3], y[:, :3]) + frechet_distance(x[:, 3:], y[:, 3:])) / 2
    assert value_between(averaged(columns)(FRECHET).prepare, x, y) == pytest.approx(expected)


def test_radiomics_report_the_whole_and_the_inside_apart():
    extractor = Radiomics()
    parts = extractor.parts(FLAT).columns
    assert tuple(parts) == ("whole image", "inside the labels")
    assert all(extractor.names[column].startswith("inside: ") for column in parts["inside the labels"])
    assert not set(parts["whole image"]) & set(parts["inside the labels"])
    assert not extractor.parts(replace(FLAT, use_labels=False)).columns


def test_distances_that_were_not_measured_alike_are_not_compared():
    rng = np.random.default_rng(0)
    near, far, fewer = (
        compare(FRECHET, rng.normal(size=(2 * n, 3)), rng.normal(size=(n, 3)) + shift, ComparisonPlan(halvings=2))
        for n, shift in ((12, 0), (12, 3), (8, 0))
    )
    first, second = (MeasuredDistance("FD", "radiomics", "definition 1", "64 x 64", found) for found in (near, far))
    assert first < second
    assert second > first
    assert second - first == pytest.approx(far.synthetic.value - near.synthetic.value)
    for other in (
        replace(second, compared=fewer),
        replace(second, extractor="inception"),
        replace(second, identity="definition 2"),
        replace(second, preprocessing="32 x 32"),
        replace(second, statistic="KID"),
    ):
        with pytest.raises(RequestError, match="can be compared; measure both alike"):
            check_alike(first, second, other)
        with pytest.raises(RequestError, match="distances: "):
            assert first < other


class Elsewhere(torch.nn.Module):
    """A network on another device, which notes where its inputs are."""

    def __init__(self, features):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1, device="meta"))
        self.features, self.seen = features, []

    def forward(self, inputs):
        self.seen.append(inputs.device.type)
        return torch.zeros(len(inputs), self.features)


def test_networks_compute_where_training_does(network_file, tmp_path, monkeypatch):
    for module in (inception, resnet):
        monkeypatch.setattr(module, "usual_device", lambda: "meta")
    network = RadImageNet(network_file)
    assert next(network._network.parameters()).device.type == str(network.device) == "meta"
    there = Elsewhere(3)
    assert resnet.network_features(there, np.zeros((2, 3, 8, 8), np.float32)).shape == (2, 3)
    assert there.seen == ["meta"]
    weights, there = tmp_path / "inception.pt", Elsewhere(2048)
    weights.write_bytes(b"weights")
    monkeypatch.setattr(inception, "SHA256", sha256_of(weights))
    asked = []

    def load(_path, map_location):
        asked.append(map_location)
        return there

    monkeypatch.setattr(torch.jit, "load", load)
    assert inception.Inception(weights)([view_of(np.zeros((32, 32, 1)))]).shape == (1, 2048)
    assert (asked, there.seen) == (["meta"], ["meta"])
