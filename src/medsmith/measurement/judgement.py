"""A lesion that was requested, measured where it lies and compared with its request.

Axes: u v w voxels of a region of a scan, canonical.
"""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import find_objects

from medsmith.measurement.adherence import Verdict, compare
from medsmith.measurement.describe import Scan, measure_lesion
from medsmith.measurement.lesions import Lesion
from medsmith.measurement.visibility import is_visible
from medsmith.measurement.words import words_from
from medsmith.reports.lesion_label import LESION, MAX_LABEL
from medsmith.reports.schema import LesionReport


@final
@dataclass(frozen=True)
class Judgement:
    """What became of a request.

    Attributes:
        measured: the measured report.
        visible: whether the lesion can be seen, or was meant not to stand out.
        verdicts: requested against measured.
    """

    measured: LesionReport
    visible: bool
    verdicts: tuple[Verdict, ...]

    @property
    def misses(self) -> int:
        """Attributes that are not as requested; a lesion that nobody sees misses more than all of them."""
        return sum(not verdict.passed for verdict in self.verdicts) + (0 if self.visible else 100)


def judge_lesion(scan: Scan, mask: Bool[np.ndarray, "u v w"], requested: LesionReport) -> Judgement:
    """Measure a lesion where it lies and compare it with its request.

    Args:
        scan: a CT with the lesion in its image; the lesion need not be in the labels, into which nothing is written.
        mask: voxels of the lesion; not empty.
        requested: the request.
    """
    labels = scan.labels.copy()
    labels[mask] = MAX_LABEL
    names = {name: value for name, value in scan.label_names.items() if value != MAX_LABEL}
    labelled = replace(scan, labels=labels, label_names={**names, LESION: MAX_LABEL})
    x, y, z = find_objects(mask.astype(np.uint8))[0]
    measures = measure_lesion(labelled, Lesion(LESION, (x, y, z), mask[x, y, z]))
    measured = words_from(measures)
    assert measures.density is not None
    largest_slice = int(mask.sum(axis=(0, 1)).max())
    visible = requested.density == "isodense" or is_visible(measures.density, largest_slice)
    return Judgement(measured, visible, compare(requested, measured, scan.geometry.spacing))
