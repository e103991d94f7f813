"""Whether a lesion can be seen."""

import numpy as np

from medsmith.measurement.density import DensityMeasures
from medsmith.measurement.visibility import is_visible


def test_what_stands_out_follows_roses_criterion():
    def measured(contrast, noise):
        return DensityMeasures(0, 0, 0, 0, contrast, noise, 0.0, None, None)

    assert is_visible(measured(10.0, 20.0), 100)
    assert not is_visible(measured(10.0, 20.0), 99)
    assert is_visible(measured(-10.0, 20.0), 100)


def test_texture_stands_out_by_five_standard_errors_of_the_noises_variance():
    def measured(heterogeneity):
        return DensityMeasures(0, 0, 0, 0, 0.0, 10.0, heterogeneity, None, None)

    rng = np.random.default_rng(0)
    variances = (10.0 * rng.standard_normal((4000, 200))).var(axis=1)
    least = np.sqrt(5 * variances.std())
    assert is_visible(measured(1.03 * least), 200)
    assert not is_visible(measured(0.97 * least), 200)
