"""Radiomic features that the Image Biomarker Standardisation Initiative defines, against the package mirp if installed.

Ours differ by definition in two: kurtosis has no 3 subtracted, and energy is the root of the angular second moment.
"""

import warnings

import numpy as np
import pytest

from medsmith.evaluation.fidelity.radiomics import features
from medsmith.evaluation.fidelity.views import View

mirp = pytest.importorskip("mirp", reason="mirp is not installed")

STATISTICS = {
    "mean": "stat_mean",
    "skewness": "stat_skew",
    "median": "stat_median",
    "10th percentile": "stat_p10",
    "90th percentile": "stat_p90",
}
TEXTURES = {
    "contrast": "cm_contrast",
    "dissimilarity": "cm_diff_avg",
    "homogeneity": "cm_inv_diff_mom",
    "correlation": "cm_corr",
}


def of_mirp(image, mask):
    """All features of a picture by name without suffixes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = mirp.extract_features(
            image=image[None].astype(np.float64),
            mask=mask[None].astype(np.uint8),
            by_slice=True,
            base_discretisation_method="fixed_bin_size",
            base_discretisation_bin_width=16.0,
            resegmentation_intensity_range=[0.0, 256.0],
            base_feature_families=["statistics", "cooccurrence_matrix"],
            glcm_distance=[1.0],
            glcm_spatial_method=["2d_average", "2d_slice_merge"],
        )[0]
    return {name: float(value) for name, value in table.iloc[0].items() if name.startswith(("stat_", "cm_"))}


def picture(seed):
    rng = np.random.default_rng(seed)
    image = rng.gamma(3, 30, (48, 48))
    image = np.clip(np.round((image + np.roll(image, 1, 0) + np.roll(image, 1, 1)) / 3), 0, 255)
    mask = np.zeros((48, 48), bool)
    mask[10:34, 14:30] = True
    return image, mask


@pytest.mark.parametrize("place", ["whole", "inside"])
def test_features_equal_mirp(place):
    image, mask = picture(0)
    view = View("v", image.astype(np.float32)[..., None], mask.astype(np.uint8)[..., None], (1.0, 1.0, 1.0))
    ours, theirs = features(view), of_mirp(image, np.ones_like(mask) if place == "whole" else mask)

    def texture(name, method="2d_avg"):
        return next(value for key, value in theirs.items() if key.startswith(f"{name}_") and method in key)

    for name, other in STATISTICS.items():
        assert ours[f"{place}: {name}"] == pytest.approx(theirs[other], rel=1e-5, abs=1e-6)
    assert ours[f"{place}: standard deviation"] ** 2 == pytest.approx(theirs["stat_var"], rel=1e-5)
    assert ours[f"{place}: kurtosis"] - 3 == pytest.approx(theirs["stat_kurt"], rel=1e-4)
    for name, other in TEXTURES.items():
        assert ours[f"{place}: {name} at 1"] == pytest.approx(texture(other), rel=1e-4)
    assert ours[f"{place}: energy at 1"] ** 2 == pytest.approx(texture("cm_energy"), rel=0.02)
    assert ours[f"{place}: entropy of pairs at 1"] == pytest.approx(texture("cm_joint_entr", "2d_s_mrg"), rel=1e-3)
