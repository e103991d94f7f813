"""Assessment of a synthetic lesion: measured in its scan and compared with its request.

Axes: u v w voxels of a region of a scan, canonical.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import find_objects

from medsmith.measurement.adherence import AttributeVerdict, compare
from medsmith.measurement.describe import LabeledScan, measure_lesion
from medsmith.measurement.lesions import Lesion
from medsmith.measurement.visibility import is_visible
from medsmith.measurement.words import LUNG, words_from
from medsmith.reports.lesion_label import LESION, MAX_LABEL
from medsmith.reports.schema import LesionReport

_WITHOUT_ORGAN: Final = "soft_tissue"
"""Where a lesion of a request without an organ lies (``insertion.regions.target_of``)."""


@final
@dataclass(frozen=True)
class LesionAssessment:
    """The assessment of one lesion.

    Attributes:
        measured: the measured report.
        visible: whether the lesion is visible, or was requested to be as dense as its organ.
        verdicts: requested against measured.
        drawn: attributes that the rules of the lesion type drew; nobody asked for them.
    """

    measured: LesionReport
    visible: bool
    verdicts: tuple[AttributeVerdict, ...]
    drawn: tuple[str, ...] = ()

    @property
    def misses(self) -> int:
        """Number of attributes that were asked for and do not pass; 100 more if the lesion is not visible."""
        return len(self._missed) - self.drawn_misses + (0 if self.visible else 100)

    @property
    def drawn_misses(self) -> int:
        """Number of attributes that were drawn and do not pass: they tell draws apart that meet the request alike."""
        return sum(verdict.attribute in self.drawn for verdict in self._missed)

    @property
    def _missed(self) -> list[AttributeVerdict]:
        return [verdict for verdict in self.verdicts if not verdict.passed]


def assess_lesion(
    scan: LabeledScan, mask: Bool[np.ndarray, "u v w"], requested: LesionReport, denied: Sequence[str] = ()
) -> LesionAssessment:
    """Measure a lesion in its scan, against the organ of the request if that is beside it, and compare the two.

    Args:
        scan: a CT with the lesion in its image. The labels need not contain the lesion and are not modified.
        mask: voxels of the lesion; not empty.
        requested: the request.
        denied: options that the lesion must not have.
    """
    labels = scan.labels.copy()
    labels[mask] = MAX_LABEL
    names = {name: value for name, value in scan.label_names.items() if value != MAX_LABEL}
    labeled = replace(scan, labels=labels, label_names={**names, LESION: MAX_LABEL})
    x, y, z = find_objects(mask.astype(np.uint8))[0]
    measures = measure_lesion(labeled, Lesion(LESION, (x, y, z), mask[x, y, z]), requested.organ or _WITHOUT_ORGAN)
    measured = words_from(measures)
    assert measures.density is not None
    largest_slice = int(mask.sum(axis=(0, 1)).max())
    visible = need_not_stand_out(requested.density, requested.organ) or is_visible(measures.density, largest_slice)
    return LesionAssessment(measured, visible, compare(requested, measured, scan.geometry.spacing, denied))


def need_not_stand_out(density: str | None, organ: str | None) -> bool:
    """Whether a lesion is requested to be as dense as its organ, so that it shows by its shape if at all.

    Args:
        density: that is requested.
        organ: likewise. A solid nodule of the lung stands out.
    """
    return density == "isodense" or (density == "isodense soft tissue mass" and organ not in LUNG)
