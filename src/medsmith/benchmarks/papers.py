"""The four papers: their rows, their published figures, and the stand-in data.

The figures are those of the papers, on other images, other sizes and other numbers of cases. They cannot be compared
with ours; the order of the rows can.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from medsmith.benchmarks.paper import Generator, Inputs, Paper, PublishedTable, Row
from medsmith.errors import RequestError

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
            "2,048 made slices of breast tomosynthesis, 512 x 512",
            "DDIM (31.54): the same network as DDPM's, sampled in 256 steps",
            "The paper's DDPM makes images alone, in 1,024 steps; ours makes masks too, by the sampler named below.",
        ),
        PublishedTable(
            "Table 2, Dice of mass segmentation, real cases and 2,048 synthetic ones",
            "utility",
            {"LDM with ControlNet": 57.38, "SegGuidedDiff": 58.30, "PIG": 60.54},
            "breast tomosynthesis, mean of five folds",
            "LDM (56.91), which has no row here; 1,024 (56.52) and 3,072 cases (59.14) of PIG, since all rows make "
            "equally many; intersection over union, precision and recall",
            baseline=52.36,
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
            "networks that are not part of medsmith: PGGAN (146.09), DiT (82.83), StyleGAN (81.57), StyleGAN2 (72.31), "
            "VQ-GAN + LDM (160.94), VQ-VAE + transformer (196.34), MT-DDPM (85.33), P2P + CycleGAN (81.96), "
            "cross-attention DDPM (79.02); the other columns, of which the reports of the rows have maximum mean "
            "discrepancy and structural similarity within a set",
            "The paper's ControlNet follows several images at once, ours a label map.",
        ),
    ),
    phantoms="chest",
    other_results="Table 1, the visual Turing tests of three radiologists: a study with readers of yours is made by "
    "medsmith turing.",
    shape_space=True,
)


def _unconditioned(_inputs: Inputs) -> Mapping[str, Any]:
    """No map steers the image, so that none has to be drawn again until it is legal."""
    return {"control": 0, "draws": 1}


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
        Row("3D-LDM, VQ", "vq", _unconditioned, labeled=False),
        Row("3D-LDM, KL", "lldm", _unconditioned, labeled=False),
        Row("3D-LLDM", "lldm", lambda _: {"maps": "generated"}),
        Row("3D-LLDM, deformed maps", "lldm", lambda _: {"maps": "deformed"}),
        Row("copy-paste", "copypaste"),
    ),
    tables=(
        PublishedTable(
            "Table 1, average FID of three planes",
            "fidelity",
            {"3D-DDPM": 77.92, "3D-LDM, VQ": 64.52, "3D-LDM, KL": 38.62, "3D-LLDM": 28.31},
            "liver MR, 160 x 160 x 64, MedicalNet ResNet-50",
            "HA-GAN (97.38), which is not part of medsmith; the planes one by one",
            "Our 3D-DDPM also makes label maps.",
        ),
        PublishedTable(
            "Table 2, multi-class Dice, mean of five networks",
            "utility",
            {"3D-LLDM": 67.93},
            "liver MR, as many synthetic volumes as real ones",
            "networks that segment the liver alone (95.44 without synthetic volumes, 96.74 with them), veins alone "
            "(72.40, 78.62) or tumors alone (70.09, 76.31); the five networks one by one",
            "Classes there: portal veins, hepatic veins, tumors. Here: all labels of the cases, by one network.",
            baseline=66.19,
        ),
    ),
    phantoms="liver-mr",
    dimensions=3,
)


def _lesions(**request: str) -> Callable[[Inputs], Mapping[str, Any]]:
    """Lesions in templates, also those that miss what was requested: rows are compared as the methods make them."""
    return lambda inputs: {"templates": str(inputs.templates), "keep_missed": True, **request}


_LESIONS = "14 kinds of lesion in CT, 128 x 128 x 128, 1,000 synthetic lesions of each, nnU-Net"
_KINDS = "the 14 kinds one by one"
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
            "Table 1, mean Dice of networks that learned from synthetic lesions, then from real ones",
            "utility",
            {"LesionDiffusion": 70.1},
            _LESIONS,
            f"DiffTumor (66.6, and 50.4 by synthetic lesions alone), which is not part of medsmith; {_KINDS}",
            "The paper's networks take more steps where they learn from both; here all take equally many.",
            baseline=67.7,
            arm="S then R",
        ),
        PublishedTable(
            "Table 2, mean Dice of networks that learned from synthetic lesions alone",
            "utility",
            {"LesionDiffusion": 57.3, "LesionDiffusion without text": 41.9},
            _LESIONS,
            _KINDS,
            arm="S",
        ),
    ),
    phantoms="ct",
    other_results="Figure 3, bleeding in the brain, which the paper's generator never saw; Figure 4, whether lesions "
    "are what was requested: medsmith adherence lesiondiffusion.",
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
