"""The anatomy of one CT phantom, trunk or head, without lesions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

from medsmith.phantoms.canvas import Canvas, Layer, paint
from medsmith.phantoms.ct.abdomen import abdominal_layers, abdominal_organs
from medsmith.phantoms.ct.head import head_layers, head_organs
from medsmith.phantoms.ct.organs import Organ
from medsmith.phantoms.ct.thorax import esophagus, esophagus_layers, lung_layers, lungs, mediastinum_layers
from medsmith.phantoms.ct.trunk import bone_layers, sample_trunk, trunk_layers
from medsmith.phantoms.space import Grid, Warp, sample_warp, stream
from medsmith.phantoms.tissue import Levels, Textures, plain, sample_levels

ORGANS = (
    "liver",
    "gallbladder",
    "kidney_left",
    "kidney_right",
    "pancreas",
    "spleen",
    "stomach",
    "duodenum",
    "small_bowel",
    "colon",
    "esophagus",
    "trachea",
    "urinary_bladder",
    "lung_left",
    "lung_right",
    "heart",
    "aorta",
    "inferior_vena_cava",
    "portal_vein_and_splenic_vein",
    "bone",
    "brain",
    "skull",
)
LABELS: Mapping[str, int] = MappingProxyType(
    {"background": 0, **{name: value for value, name in enumerate(ORGANS, start=1)}, "lesion": len(ORGANS) + 1}
)
"""Label name -> value: TotalSegmentator's names where they exist."""


@final
@dataclass(frozen=True, eq=False)
class Anatomy:
    """A body or a head.

    Attributes:
        warp: patient to anatomical space.
        levels: mean HU of every tissue.
        organs: organs that can have a lesion, by name.
        layers: all structures in painting order.
    """

    warp: Warp
    levels: Levels
    organs: Mapping[str, Organ]
    layers: Sequence[Layer]

    def painted(self, grid: Grid, textures: Textures) -> Canvas:
        """The anatomy rendered on a grid, without lesion and noise."""
        return paint(grid, self.layers, textures, plain(self.levels["fat"], 8.0))


def sample_head(seed: int, phase: int) -> Anatomy:
    """The head of one case; arguments as in `sample_torso`."""
    warp = sample_warp(seed)
    levels = sample_levels(stream(seed, "levels"), phase)
    organs = head_organs(warp, seed)
    return Anatomy(warp, levels, organs, head_layers(organs, warp, levels, seed, dict(LABELS)))


def sample_torso(seed: int, phase: int) -> Anatomy:
    """The trunk of one case.

    Args:
        seed: of the case.
        phase: index into `PHASES`, the contrast phase.
    """
    warp, trunk = sample_warp(seed), sample_trunk(seed)
    levels = sample_levels(stream(seed, "levels"), phase)
    values = dict(LABELS)
    esophagus_organ = esophagus(warp)
    abdomen = abdominal_organs(trunk, warp, seed)
    layers = [
        *trunk_layers(trunk, warp, levels),
        *abdominal_layers(abdomen, warp, levels, seed, values),
        *lung_layers(trunk, warp, levels, seed, values),
        *mediastinum_layers(warp, levels, values),
        *esophagus_layers(esophagus_organ, levels, seed, values),
        *bone_layers(trunk, warp, levels, values["bone"]),
    ]
    organs = {**abdomen, **lungs(trunk, warp), "esophagus": esophagus_organ}
    return Anatomy(warp, levels, organs, layers)
