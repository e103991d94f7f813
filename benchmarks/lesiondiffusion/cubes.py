"""Small cubes about lesions with the lesion as their only label."""

from dataclasses import dataclass

import numpy as np

from medsmith import Case
from medsmith.cases.canonical import canonical_view
from medsmith.diffusion import derive_seed
from medsmith.insertion.annotated_lesion import largest_lesion
from medsmith.insertion.frame import AIR_HU, Frame
from medsmith.reports.organs import is_lesion

LESION = {"background": 0, "lesion": 1}
FEWEST_VOXELS = 4


@dataclass(frozen=True)
class Crop:
    """A cube about the largest lesion of a scan.

    Attributes:
        edge_mm: of the cube.
        size: voxels along the edge.
        jitter_mm: the lesion's middle lies up to this far from the cube's along each axis, drawn by the case's name, so
            that the place in the cube does not give the lesion away.
        window_hu: densities beyond it are clipped.
    """

    edge_mm: float
    size: int
    jitter_mm: float
    window_hu: tuple[float, float]

    def of(self, case: Case, name: str) -> Case | None:
        """The cube; None if next to nothing of a lesion is in it.

        Raises:
            ContentError: no lesion is labeled.
        """
        lesion = largest_lesion(case)
        rng = np.random.Generator(np.random.PCG64(derive_seed("crop", name)))
        moved = lesion.box.center + rng.uniform(-1, 1, 3) * self.jitter_mm / np.array(lesion.geometry.spacing)
        centre = (float(moved[0]), float(moved[1]), float(moved[2]))
        frame = Frame(lesion.geometry, centre, self.size, self.edge_mm / self.size)
        image = frame.resample_in(canonical_view(case.require_image()[0], case.geometry), AIR_HU)
        labels = frame.resample_labels_in(canonical_view(lesions_of(case), case.geometry))
        if labels.sum() < FEWEST_VOXELS:
            return None
        return Case(
            id=name,
            image=np.rint(np.clip(image, *self.window_hu))[None],
            labels=labels,
            geometry=frame.geometry,
            channel_names=case.channel_names,
            label_names=LESION,
            stored=np.dtype(np.int16),
            report=case.report,
            provenance=case.provenance,
        )


def lesions_of(case: Case) -> np.ndarray:
    """1 where any label of a lesion is."""
    values = [value for name, value in case.label_names.items() if is_lesion(name)]
    return np.isin(case.require_labels(), values).astype(np.uint8)
