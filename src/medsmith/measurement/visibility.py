"""Visibility of a lesion in its scan by Rose's criterion (Rose 1948)."""

from typing import Final

import numpy as np

from medsmith.measurement.density import DensityMeasures

ROSE_SNR: Final = 5.0
"""Smallest signal-to-noise ratio of the lesion's largest slice at which it is visible (Rose 1948)."""


def is_visible(density: DensityMeasures, voxels: int) -> bool:
    """Whether a lesion's contrast, rim or texture exceeds the noise of its largest slice.

    Rose's criterion requires a contrast of five times the standard error of the mean over the slice. A texture adds to
    the variance of the noise and must exceed five times the standard error of a variance.

    Args:
        density: of the lesion.
        voxels: of the largest slice.
    """
    contrasts = (density.contrast_hu, density.rim_minus_core_hu)
    strongest = max((abs(contrast) for contrast in contrasts if contrast is not None), default=0.0)  # too small to tell
    if strongest * np.sqrt(voxels) >= ROSE_SNR * density.noise_hu:
        return True
    texture = density.heterogeneity_hu or 0.0
    return bool(texture**2 >= ROSE_SNR * density.noise_hu**2 * np.sqrt(2 / voxels) and texture > 0)
