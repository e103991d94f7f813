"""Whether a lesion can be seen in its scan (Rose 1948)."""

from typing import Final

import numpy as np

from medsmith.measurement.density import DensityMeasures

ROSE_SNR: Final = 5.0
"""Signal-to-noise ratio of the lesion's largest slice from which on it can be seen (Rose 1948)."""


def is_visible(density: DensityMeasures, voxels: int) -> bool:
    """Whether a lesion's contrast, rim or texture is above the noise of its largest slice.

    Contrast below the noise of one voxel does not hide a lesion of many: Rose's criterion asks for five times the
    noise of the mean over the slice. A texture shows as variance beside that of the noise, and is asked for five times
    the standard error of a variance.

    Args:
        density: measured.
        voxels: of the largest slice.
    """
    signs = (density.contrast_hu, density.rim_minus_core_hu)
    strongest = max((abs(sign) for sign in signs if sign is not None), default=0.0)  # too small to tell
    if strongest * np.sqrt(voxels) >= ROSE_SNR * density.noise_hu:
        return True
    texture = density.heterogeneity_hu or 0.0
    return bool(texture**2 >= ROSE_SNR * density.noise_hu**2 * np.sqrt(2 / voxels) and texture > 0)
