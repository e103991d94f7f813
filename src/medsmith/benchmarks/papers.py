"""The four papers: their rows, their published figures, and the stand-in data.

The figures are those of the papers, on other images, other sizes and other numbers of cases. They cannot be compared
with ours; the order of the rows can.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, final

from medsmith.errors import RequestError

Measure = Literal["fidelity", "utility"]


@final
@dataclass(frozen=True)
class Inputs:
    """Where the cases of a call lie.

    Attributes:
        train: cohort that generators and segmenters learn from.
        test: cohort that nothing learns from.
        templates: scans that lesions are inserted into.
        space: file of the shape space of the training labels.
    """

    train: Path
    test: Path
    templates: Path
    space: Path


Request = Callable[[Inputs], Mapping[str, Any]]


def _none(_inputs: Inputs) -> Mapping[str, Any]:
    return {}


@final
@dataclass(frozen=True)
class Generator:
    """What is trained for one or more rows.

    Attributes:
        method: name of the method.
        settings: changes to its preset.
        stages: that share the updates of a row.
        weights: name of shipped weights that take the place of training; "" trains.
    """

    method: str
    settings: tuple[str, ...] = ()
    stages: int = 1
    weights: str = ""


@final
@dataclass(frozen=True)
class Row:
    """One synthetic cohort.

    Attributes:
        name: of the row.
        generator: key of the paper's generators.
        request: of every case.
        labeled: whether its cases have labels, and can be learned from.
    """

    name: str
    generator: str
    request: Request = _none
    labeled: bool = True


@final
@dataclass(frozen=True)
class PublishedTable:
    """One table of a paper.

    Attributes:
        title: number and measure in the paper.
        measure: what is put beside it: Fréchet distances (smaller is better), or Dice of segmenters (larger is better).
        figures: row -> the paper's figure.
        baseline: the paper's figure for real cases alone; None where it has none.
        arm: of the utility experiment whose Dice is put beside it.
        settings: what it was measured on.
    """

    title: str
    measure: Measure
    figures: Mapping[str, float]
    settings: str
    baseline: float | None = None
    arm: Literal["R + S", "S"] = "R + S"


@final
@dataclass(frozen=True)
class Paper:
    """A paper with its rows.

    Attributes:
        name: as given to the command.
        title: of the paper.
        own: the row of the method that the paper proposes.
        generators: key -> what is trained.
        rows: in the order of the page.
        tables: of the paper.
        phantoms: family of the stand-in cases where no real ones are given.
        templates: family of scans without lesions; "" where none are needed.
        dimensions: of its images.
        lesions_alone: whether the labels of organs are left out of what segmentation networks learn.
        shape_space: whether a row draws label maps from a shape space.
    """

    name: str
    title: str
    own: str
    generators: Mapping[str, Generator]
    rows: tuple[Row, ...]
    tables: tuple[PublishedTable, ...]
    phantoms: str
    templates: str = ""
    dimensions: int = 2
    lesions_alone: bool = False
    shape_space: bool = False


_PIG = Paper(
    name="pig",
    title="Paired image generation for diffusion models guided by each other (PIG)",
    own="PIG",
    generators={
        "ddpm": Generator("ddpm"),
        "segguided": Generator("segguided"),
        "lldm": Generator("lldm", stages=5),
        "pig": Generator("pig", stages=2),
        "copypaste": Generator("copypaste"),
    },
    rows=(
        Row("DDPM", "ddpm"),
        Row("LDM with ControlNet", "lldm", lambda _: {"maps": "deformed"}),
        Row("SegGuidedDiff", "segguided"),
        Row("PIG", "pig"),
        Row("copy-paste", "copypaste"),
    ),
    tables=(
        PublishedTable(
            "Table 1, FID",
            "fidelity",
            {"DDPM": 31.84, "PIG": 15.88},
            "2,048 slices of breast tomosynthesis, 512 x 512, against training slices",
        ),
        PublishedTable(
            "Table 2, Dice of mass segmentation, real cases and 2,048 synthetic ones",
            "utility",
            {"LDM with ControlNet": 57.38, "SegGuidedDiff": 58.30, "PIG": 60.54},
            "breast tomosynthesis, five folds",
            52.36,
        ),
    ),
    phantoms="breast",
)
_MDDPM = Paper(
    name="mddpm",
    title="Lung CT synthesis by multi-guided sampling (mDDPM)",
    own="guided sampling",
    generators={
        "mddpm": Generator("mddpm"),
        "segguided": Generator("segguided"),
        "lldm": Generator("lldm", stages=5),
        "copypaste": Generator("copypaste"),
    },
    rows=(
        Row("unguided sampling", "mddpm", labeled=False),
        Row(
            "guided sampling",
            "mddpm",
            lambda inputs: {
                "anatomy": {"space": str(inputs.space)},
                "guides": [{"image": str(inputs.train)}],
            },
        ),
        Row("SegGuidedDiff", "segguided"),
        Row("ControlNet", "lldm", lambda _: {"maps": "deformed"}),
        Row("copy-paste", "copypaste"),
    ),
    tables=(
        PublishedTable(
            "Table 2, FID",
            "fidelity",
            {"unguided sampling": 83.24, "ControlNet": 106.74, "guided sampling": 69.85},
            "about 10,000 lung CT slices, 512 x 512",
        ),
    ),
    phantoms="chest",
    shape_space=True,
)
_LLDM = Paper(
    name="lldm",
    title="Label maps and MR volumes that follow them (3D-LLDM)",
    own="3D-LLDM",
    generators={
        "ddpm": Generator("ddpm"),
        "vq": Generator("lldm", ("image_autoencoder.codes=256",), stages=5),
        "lldm": Generator("lldm", stages=5),
        "copypaste": Generator("copypaste"),
    },
    rows=(
        Row("3D-DDPM", "ddpm"),
        Row("3D-LDM, VQ", "vq", lambda _: {"control": 0}, labeled=False),
        Row("3D-LDM, KL", "lldm", lambda _: {"control": 0}, labeled=False),
        Row("3D-LLDM", "lldm", lambda _: {"maps": "generated"}),
        Row("3D-LLDM, deformed maps", "lldm", lambda _: {"maps": "deformed"}),
        Row("copy-paste", "copypaste"),
    ),
    tables=(
        PublishedTable(
            "Table 1, FID",
            "fidelity",
            {"3D-LDM, KL": 38.62, "3D-LLDM": 28.31},
            "liver MR, 160 x 160 x 64, MedicalNet ResNet-50",
        ),
        PublishedTable(
            "Table 2, mean Dice of five networks, all classes",
            "utility",
            {"3D-LLDM": 67.93},
            "liver MR, as many synthetic volumes as real ones",
            66.19,
        ),
    ),
    phantoms="liver-mr",
    dimensions=3,
)


def _lesions(**request: str) -> Callable[[Inputs], Mapping[str, Any]]:
    """Lesions in templates, also those that miss what was requested: rows are compared as the methods make them."""
    return lambda inputs: {"templates": str(inputs.templates), "keep_missed": True, **request}


_LESIONDIFFUSION = Paper(
    name="lesiondiffusion",
    title="Lesions in CT from structured reports (LesionDiffusion)",
    own="LesionDiffusion",
    generators={
        "lesiondiffusion": Generator("lesiondiffusion", weights="lesiondiffusion"),
        "copypaste": Generator("copypaste"),
    },
    rows=(
        Row("LesionDiffusion", "lesiondiffusion", _lesions()),
        Row(
            "LesionDiffusion without text",
            "lesiondiffusion",
            _lesions(words="ignored"),
        ),
        Row(
            "ellipsoids",
            "lesiondiffusion",
            _lesions(mask_source="ellipsoid"),
        ),
        Row("copy-paste", "copypaste", lambda inputs: {"templates": str(inputs.templates)}),
    ),
    tables=(
        PublishedTable(
            "Table 2, mean Dice of networks that learned from synthetic lesions alone",
            "utility",
            {"LesionDiffusion": 57.3, "LesionDiffusion without text": 41.9},
            "14 kinds of lesion in CT, 128 x 128 x 128, nnU-Net",
            arm="S",
        ),
    ),
    phantoms="ct",
    templates="ct-healthy",
    dimensions=3,
    lesions_alone=True,
)
PAPERS: Mapping[str, Paper] = MappingProxyType({each.name: each for each in (_LESIONDIFFUSION, _MDDPM, _LLDM, _PIG)})


def find_paper(name: str) -> Paper:
    """The paper of this name.

    Raises:
        RequestError: there is none.
    """
    if name not in PAPERS:
        raise RequestError(f"paper {name}", "unknown", f"there are {', '.join(PAPERS)}", "give one of them")
    return PAPERS[name]
