"""The attributes of a structured lesion report, their options, and the synonyms of each option.

The template is LesionDiffusion's (Tian et al. 2025, figure 1 and the released option list): ten attributes and the
cavity class that is derived from organ and shape. Reports store the canonical wording of an option; synonyms are
accepted as input.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, final, get_args

Enhancement = Literal["enhanced CT", "non-contrast CT"]
Shape = Literal[
    "round-like",
    "irregular",
    "wall thickening",
    "punctate",
    "cystic",
    "luminal narrowing",
    "protrusion into the lumen",
]
Density = Literal[
    "hypodense",
    "isodense",
    "hyperdense",
    "mixed-density",
    "hypodense fluid-like",
    "isodense soft tissue mass",
    "isodense soft tissue mass with peripheral low-density ground-glass opacity",
    "low-density ground-glass opacity",
    "ring enhancement",
]
DensityVariation = Literal["homogeneous", "heterogeneous"]
Surface = Literal[
    "well-defined margin",
    "clear serosal surface",
    "clear boundary with the renal parenchyma",
    "ill-defined margin",
    "serosal surface irregularity",
    "unclear boundary with the renal parenchyma",
    "poorly defined boundary with normal esophageal tissue",
]
SHARP_SURFACES: frozenset[Surface] = frozenset(
    {"well-defined margin", "clear serosal surface", "clear boundary with the renal parenchyma"}
)
"""Sharp margins: no part of the lesion lies outside them."""
Relationship = Literal[
    "no close relationship with surrounding organs",
    "close relationship with adjacent organs",
]
Feature = Literal[
    "presence of decreased density areas",
    "presence of increased density areas",
    "spiculated margins",
    "retention of pancreatic fluid",
    "stone",
]
Cavity = Literal[
    "within the lumen of a hollow organ",
    "wall thickening",
    "within the parenchymal organ",
    "protruding from the parenchymal organ",
]
Consumer = Literal["box", "mask", "image"]

SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "enhanced CT": ("contrast-enhanced CT", "contrast enhanced", "CECT", "enhanced"),
        "non-contrast CT": ("unenhanced CT", "plain CT", "non-enhanced CT", "NCCT", "unenhanced"),
        "round-like": ("round", "rounded", "oval", "spherical", "globular"),
        "irregular": ("irregularly shaped", "lobulated"),
        "wall thickening": ("irregular wall thickening", "thickened wall", "mural thickening"),
        "punctate": ("nodular", "nodule-like", "dot-like"),
        "cystic": ("cyst-like",),
        "luminal narrowing": ("narrowing of the lumen", "stenosis"),
        "protrusion into the lumen": ("protruding into the lumen", "polypoid", "intraluminal protrusion"),
        "hypodense": ("low density", "low-density", "hypoattenuating", "low attenuation", "low-attenuation"),
        "isodense": ("isoattenuating", "equal density", "equal attenuation"),
        "hyperdense": ("high density", "high-density", "hyperattenuating", "high attenuation", "high-attenuation"),
        "mixed-density": ("mixed density", "mixed attenuation"),
        "hypodense fluid-like": ("hypoattenuating fluid-like", "fluid-like", "fluid density", "water density"),
        "isodense soft tissue mass": (
            "soft tissue mass",
            "soft tissue nodule",
            "soft tissue tumour",
            "soft tissue lesion",
            "soft tissue density",
        ),
        "isodense soft tissue mass with peripheral low-density ground-glass opacity": (
            "soft tissue mass with peripheral ground-glass opacity",
            "part-solid",
            "part-solid nodule",
        ),
        "low-density ground-glass opacity": ("ground-glass opacity", "ground glass opacity", "ground-glass", "GGO"),
        "ring enhancement": ("rim enhancement", "ring-enhancing", "rim-enhancing"),
        "homogeneous": ("uniform", "uniform density", "evenly dense"),
        "heterogeneous": ("inhomogeneous", "non-uniform", "unevenly dense"),
        "well-defined margin": ("well-defined", "well-circumscribed", "sharp margin", "clear margin"),
        "clear serosal surface": ("smooth serosal surface",),
        "clear boundary with the renal parenchyma": ("clear renal boundary",),
        "ill-defined margin": (
            "ill-defined",
            "poorly defined",
            "blurred margin",
            "unclear margin",
            "indistinct margin",
        ),
        "serosal surface irregularity": ("irregular serosal surface",),
        "unclear boundary with the renal parenchyma": ("unclear renal boundary",),
        "poorly defined boundary with normal esophageal tissue": ("unclear boundary with normal esophageal tissue",),
        "no close relationship with surrounding organs": ("no close relationship", "not close to other organs"),
        "close relationship with adjacent organs": ("close relationship", "adjacent to other organs", "close to"),
        "presence of decreased density areas": ("decreased attenuation areas", "decreased density areas", "necrosis"),
        "presence of increased density areas": (
            "increased attenuation areas",
            "increased density areas",
            "calcification",
            "calcifications",
        ),
        "spiculated margins": ("spiculated", "spiculation", "spicules"),
        "retention of pancreatic fluid": ("pancreatic fluid retention",),
        "stone": ("calculus", "calculi"),
        "within the lumen of a hollow organ": ("in the lumen", "intraluminal"),
        "within the parenchymal organ": ("within the parenchyma", "inside the parenchyma", "intraparenchymal"),
        "protruding from the parenchymal organ": ("protruding", "exophytic"),
    }
)


@final
@dataclass(frozen=True)
class Attribute:
    """One row of the template.

    Attributes:
        name: field of the report.
        title: display name.
        options: allowed values; empty for numbers and organs.
        feeds: the steps that use it: box placement, mask network, image network.
    """

    name: str
    title: str
    options: tuple[str, ...]
    feeds: frozenset[Consumer]


def _feeds(*consumers: Consumer) -> frozenset[Consumer]:
    return frozenset(consumers)


_ROWS = (
    Attribute("enhancement", "Enhancement status", get_args(Enhancement), _feeds("image")),
    Attribute("organ", "Organ", (), _feeds("box", "mask", "image")),
    Attribute("shape", "Shape", get_args(Shape), _feeds("mask")),
    Attribute("size_mm", "Size", (), _feeds("box", "mask", "image")),
    Attribute("density", "Density", get_args(Density), _feeds("image")),
    Attribute("density_variation", "Density variations", get_args(DensityVariation), _feeds("image")),
    Attribute("ct_value_hu", "CT value", (), _feeds("image")),
    Attribute("surface", "Surface characteristics", get_args(Surface), _feeds("mask", "image")),
    Attribute("relationship", "Relationship with adjacent organs", get_args(Relationship), _feeds("mask", "image")),
    Attribute("features", "Specific features", get_args(Feature), _feeds("mask", "image")),
    Attribute("cavity", "Place in the organ", get_args(Cavity), _feeds("box", "mask")),
)
ATTRIBUTES: Mapping[str, Attribute] = MappingProxyType({row.name: row for row in _ROWS})
"""Attribute name -> row, in the order of the template: the only table of which step uses what."""


def attributes_for(consumer: Consumer) -> tuple[Attribute, ...]:
    """The attributes that one step uses, in template order."""
    return tuple(row for row in ATTRIBUTES.values() if consumer in row.feeds)
