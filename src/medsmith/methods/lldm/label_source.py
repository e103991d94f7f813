"""Where a label map comes from: noise, a deformed map of the training cohort, or a given case."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

from jaxtyping import Float32
from torch import Tensor

from medsmith.data.deformation import deformed
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.label_facts import LabelFacts
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError
from medsmith.geometry import Geometry
from medsmith.methods.lldm.config import LldmConfig
from medsmith.methods.lldm.extent import with_extent
from medsmith.methods.lldm.label_bank import Map, kept_map, number_kept
from medsmith.methods.lldm.map_copies import MapGallery


@final
@dataclass(frozen=True, eq=False)
class DrawnMap:
    """A label map that was drawn.

    Attributes:
        labels: indices of classes on the network's grid.
        extent: its field of view (``examples.extent_of``); None for one from noise.
        origin: where it is from, for the provenance.
        grid: where a given map lies in the patient.
        draws: how many were drawn.
        problems: what is not as in training; empty for a legal map.
    """

    labels: Map
    extent: Float32[Tensor, "axes"] | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    grid: Geometry | None = None
    draws: int = 1
    problems: tuple[str, ...] = ()


def deformed_map(memory: Mapping[str, Tensor], facts: Fingerprint, config: LldmConfig, seed: int) -> DrawnMap:
    """A map of the training cohort, chosen and deformed by a seed.

    Raises:
        RequestError: the run keeps no maps.
        RunError: they are damaged.
    """
    count = number_kept(memory)
    if not count:
        found = "deformed, but this run keeps no label maps (kept_maps = 0)"
        raise RequestError("maps", found, "generated", "ask for these, or give label maps (labels)")
    index = derive_seed(seed, "map") % count
    labels, extent = kept_map(memory, index, config.size, 1 + len(facts.foreground_labels))
    there = with_extent(facts, extent)
    voxel = [mm * n / edge for mm, n, edge in zip(there.spacing, there.shape, labels.shape, strict=False)]
    labels = deformed(labels, config.deformation, derive_seed(seed, "deformation"), voxel)
    return DrawnMap(labels, extent, {"deformed_map": index})


def draw_legal(
    draw: Callable[[int], DrawnMap], facts: LabelFacts | None, gallery: MapGallery | None, seed: int, draws: int
) -> DrawnMap:
    """The first map, without fragments, that is legal and no copy; if none is, the last with its problems.

    Args:
        draw: makes a map from a seed.
        facts: of the training maps; None takes the first map.
        gallery: of which it must be no copy; None compares with none.
        seed: of all draws.
        draws: their largest number, at least 1.
    """
    for number in range(1, draws + 1):
        found = draw(derive_seed(seed, "draw", number))
        if facts is None:
            break
        labels = facts.without_fragments(found.labels)
        found = replace(found, labels=labels, draws=number, problems=facts.problems(labels))
        if gallery is not None:
            found = _compared(found, gallery)
        if not found.problems:
            break
    return found


def _compared(drawn: DrawnMap, gallery: MapGallery) -> DrawnMap:
    """With the nearest map of training in its origin, and a problem if it is a copy of it."""
    nearest, agreement = gallery.nearest(drawn.labels)
    origin = {**drawn.origin, "nearest_map": nearest, "agreement": round(agreement, 4)}
    copied = (f"a copy of a training map (number {nearest})",) if agreement > gallery.threshold else ()
    return replace(drawn, origin=origin, problems=(*drawn.problems, *copied))
