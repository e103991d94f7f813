"""The measures of one lesion."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, final

from medsmith.measurement.density import DensityMeasures
from medsmith.measurement.place import PlaceMeasures
from medsmith.measurement.shape import OutlineMeasures, ShapeMeasures
from medsmith.reports.vocabulary import Enhancement

_IN_MM: Final = re.compile(r"_mm[23]?$")
_EDGES: Final = ("edge_x_mm", "edge_y_mm", "edge_z_mm")


@final
@dataclass(frozen=True)
class Measures:
    """Measures of one lesion.

    Attributes:
        label: name of its label ("cyst").
        size_mm: edges of its bounding box along the patient's right-left, front-back and feet-head axes.
        shape: size and shape, in a 2-D image those of its outline.
        spicule_share: see `spiculation.spicule_share`.
        place: in the organ.
        density: None without CT.
        enhancement: of the scan; None if no organ decides it.
        spacing_known: whether lengths are in mm; False in images without spacing (PNG), where they are in pixels.
        margin_resolved: whether voxels are fine enough to tell an ill-defined margin from a sharp one.
        spicules_resolved: whether voxels are fine enough for spicules in a lesion of its size.
    """

    label: str
    size_mm: tuple[float, float, float]
    shape: ShapeMeasures | OutlineMeasures
    spicule_share: float
    place: PlaceMeasures
    density: DensityMeasures | None
    enhancement: Enhancement | None
    spacing_known: bool = True
    margin_resolved: bool = True
    spicules_resolved: bool = True

    @property
    def numbers(self) -> Mapping[str, float]:
        """All numeric measures: name with unit -> value, four significant digits.

        Lengths and areas of an image without spacing have pixels as their unit, and the edges are among them.
        """
        rows: dict[str, Any] = asdict(self.shape) | asdict(self.place) | {"spicule_share": self.spicule_share}
        rows |= asdict(self.density) if self.density is not None else {}
        if not self.spacing_known:
            edges = dict(zip(_EDGES, self.size_mm, strict=True))
            if isinstance(self.shape, OutlineMeasures):
                del edges[_EDGES[-1]]
            rows = {_IN_MM.sub("_pixels", name): value for name, value in (edges | rows).items()}
        kept = {name: value for name, value in rows.items() if isinstance(value, float)}
        return {name: float(f"{value:.4g}") for name, value in kept.items()}
