"""The mask and the region that LINet is given.

Axes: s s s LINet's cube.
"""

import numpy as np
from jaxtyping import Float32

from medsmith.insertion.edge import edge_width_mm, with_edge
from medsmith.insertion.shape import Field, inpainting_region
from medsmith.methods.lesiondiffusion.config import PaintConfig
from medsmith.reports.schema import LesionReport


def linet_mask(
    share: Field, spacing_mm: float, report: LesionReport, config: PaintConfig
) -> tuple[Float32[np.ndarray, "s s s"], Float32[np.ndarray, "s s s"]]:
    """The lesion's share of each voxel, with the edge that LINet is shown, and 1 where it inpaints.

    The word of the margin alone is learned late, since an edge is decided at low noise levels, where words matter
    least; an edge as wide as the report says is seen at every level. The region does not depend on it.

    Args:
        share: share of each voxel inside the mask, 0 to 1.
        spacing_mm: edge of a voxel of the cube.
        report: of the lesion.
        config: of LINet.
    """
    region = inpainting_region(share, spacing_mm, config.reach_mm).astype(np.float32)
    if config.edge == "sharp":
        return share, region
    width = edge_width_mm(report.surface, report.density)
    return with_edge(share, np.ones(share.shape, bool), (spacing_mm,) * 3, width), region
