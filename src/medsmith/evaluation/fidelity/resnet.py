"""ResNet-50 features of networks trained on medical images; the weights are given as a file, none are shipped.

- MedicalNet (Chen et al. 2019), 3-D, trained on 23 segmentation data sets: 2048 features per volume.
- RadImageNet (Mei et al. 2022), 2-D, trained on 1.35 million CT, MR and ultrasound slices: 2048 features per slice; a
  volume has those of each plane (2.5-D), averaged over some of its central slices, so that the volume remains the unit.

The architecture is that of MONAI. The files are published in a format that may run code when it is opened: they are
refused, and docs/evaluation.md converts them to safetensors.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float32, Float64

from medsmith.errors import FileError, RequestError
from medsmith.evaluation.fidelity.computing import EXACT, exact_float32
from medsmith.evaluation.fidelity.extractors import WHOLE, Parts, averaged
from medsmith.evaluation.fidelity.views import View, ViewSpec
from medsmith.formats.atomic import sha256_of
from medsmith.lazy_imports import import_monai
from medsmith.machine import usual_device
from medsmith.runs.checkpoints import load_strict, unpack

MEDICALNET, RADIMAGENET = "MEDSMITH_MEDICALNET", "MEDSMITH_RADIMAGENET"
FEATURES = 2048
PLANES = ("sagittal", "coronal", "axial")
CENTRAL, SLICES = 0.4, 5
_SUFFIX = ".safetensors"
_MEANS = (0.406, 0.456, 0.485)


@final
class MedicalNet:
    """MedicalNet ResNet-50 features of volumes, which are standardized one by one.

    Args:
        weights: safetensors file; by default the one that MEDSMITH_MEDICALNET names.

    Raises:
        FileError: there is no file, or it may hold code.
        RunError: the file is damaged or of another network.
    """

    name = "MedicalNet ResNet-50"
    dimension = FEATURES
    precision = EXACT

    def __init__(self, weights: Path | None = None) -> None:
        path = _weights_file(weights, MEDICALNET)
        self.device = usual_device()
        self._network = _load(path, {"spatial_dims": 3, "n_input_channels": 1}).to(self.device)
        self.identity = f"sha256 {sha256_of(path)}"

    def __call__(self, views: Sequence[View]) -> Float64[np.ndarray, "n d"]:
        """One row of 2048 features per volume."""
        return np.concatenate([network_features(self._network, _standardized(view.image)) for view in views])

    def parts(self, view_spec: ViewSpec) -> Parts:
        """One group."""
        if view_spec.shape[2] == 1:
            raise RequestError("extractor", f"{self.name} takes volumes", "the cohorts are 2-D", "name another one")
        return WHOLE


@final
class RadImageNet:
    """RadImageNet ResNet-50 features of pictures; of volumes, those of each plane, whose distances are averaged.

    Args:
        weights: safetensors file; by default the one that MEDSMITH_RADIMAGENET names.

    Raises:
        FileError: there is no file, or it may hold code.
        RunError: the file is damaged or of another network.
    """

    name = "RadImageNet ResNet-50"
    dimension = FEATURES
    precision = EXACT

    def __init__(self, weights: Path | None = None) -> None:
        path = _weights_file(weights, RADIMAGENET)
        self.device = usual_device()
        self._network = _load(path, {"spatial_dims": 2, "n_input_channels": 3}).to(self.device)
        self.identity = f"sha256 {sha256_of(path)}, {SLICES} slices of the central {CENTRAL:.0%} of each plane"

    def __call__(self, views: Sequence[View]) -> Float64[np.ndarray, "n d"]:
        """One row per view: 2048 features of a picture, 3 x 2048 of a volume."""
        return np.array([np.concatenate([self._mean(slices) for slices in plane_slices(view)]) for view in views])

    def parts(self, view_spec: ViewSpec) -> Parts:
        """Of volumes the three planes; together they are the mean of their distances."""
        if view_spec.shape[2] == 1:
            return WHOLE
        columns = {plane: np.arange(FEATURES) + at * FEATURES for at, plane in enumerate(PLANES)}
        return Parts(columns, averaged(columns))

    def _mean(self, slices: Float32[np.ndarray, "n u v"]) -> Float64[np.ndarray, " d"]:
        # The published training subtracted these means of the three channels from gray values 0 to 1.
        scaled = slices[:, None] / np.float32(255) - np.array(_MEANS, np.float32)[:, None, None]
        mean: Float64[np.ndarray, " d"] = network_features(self._network, scaled).mean(0)
        return mean


def plane_slices(view: View) -> list[Float32[np.ndarray, "_ _ _"]]:
    """A picture as a stack of one; of a volume, evenly spaced slices of the central part along x, y and z."""
    if view.image.shape[2] == 1:
        return [view.image[None, :, :, 0]]
    stacks = []
    for axis, edge in enumerate(view.image.shape):
        reach = CENTRAL * (edge - 1) / 2
        cuts = np.unique(np.linspace((edge - 1) / 2 - reach, (edge - 1) / 2 + reach, SLICES).round().astype(int))
        stacks.append(np.moveaxis(np.take(view.image, cuts, axis), axis, 0))
    return stacks


def _weights_file(named: Path | None, variable: str) -> Path:
    path = named or (Path(os.environ[variable]) if os.environ.get(variable) else None)
    if path is None:
        raise FileError(variable, "names no weights, and none are shipped", cure="see docs/evaluation.md, Extractors")
    if path.suffix != _SUFFIX:
        cure = "convert it to safetensors as in docs/evaluation.md, Extractors"
        raise FileError(path, "may hold code that runs when it is opened", f"needed: *{_SUFFIX}", cure)
    if not path.is_file():
        raise FileError(path, "is no file", cure=f"correct the path, or {variable}")
    return path


def _load(path: Path, shape: dict[str, int]) -> torch.nn.Module:
    import_monai()
    from monai.networks.nets import resnet50

    # Strides of 2 from the start, as in both publications.
    network: Any = resnet50(pretrained=False, feed_forward=False, shortcut_type="B", conv1_t_stride=2, **shape)
    # Old files lack the number of batches, which only training needs.
    counts = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    load_strict(network, counts | unpack(path), path)
    module: torch.nn.Module = network.eval()
    return module


@torch.inference_mode()
def network_features(network: torch.nn.Module, inputs: Float32[np.ndarray, "n c *space"]) -> Float64[np.ndarray, "n d"]:
    """Features of a network, computed where its weights are; one row per input."""
    device = next(network.parameters()).device
    with exact_float32():
        features = network(torch.from_numpy(inputs).to(device)).flatten(1)
    found: Float64[np.ndarray, "n d"] = features.double().cpu().numpy()
    return found


def _standardized(image: Float32[np.ndarray, "x y z"]) -> Float32[np.ndarray, "1 1 z y x"]:
    """Mean 0 and standard deviation 1 over the volume, axes in the order of the published training."""
    exact = image.astype(np.float64)
    scaled = (exact - exact.mean()) / max(float(exact.std()), 1e-6)
    return np.ascontiguousarray(scaled.T[None, None]).astype(np.float32)
