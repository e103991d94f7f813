"""Radiomic features that the Image Biomarker Standardisation Initiative defines, against the package mirp.

The values of mirp 2.7.0 are fixed here, since it needs many packages; where it is installed they are computed again.

Ours differ by definition in two: kurtosis has no 3 subtracted, and energy is the root of the angular second moment.
"""

import warnings

import numpy as np
import pytest

from medsmith.evaluation.fidelity.radiomics import features
from medsmith.evaluation.fidelity.views import View

PICTURE = {
    "whole": {
        "stat_mean": 90.80685763888889,
        "stat_var": 932.4770189450109,
        "stat_skew": 0.5986024932225337,
        "stat_kurt": 0.30111003075443454,
        "stat_median": 88.0,
        "stat_p10": 55.0,
        "stat_p90": 132.0,
        "cm_diff_avg_d1_2d_avg_fbs_w16.0": 1.8040261430511544,
        "cm_energy_d1_2d_avg_fbs_w16.0": 0.024256342004480902,
        "cm_contrast_d1_2d_avg_fbs_w16.0": 5.548862607514713,
        "cm_inv_diff_mom_d1_2d_avg_fbs_w16.0": 0.41232207802094345,
        "cm_corr_d1_2d_avg_fbs_w16.0": 0.25383482374800403,
        "cm_joint_entr_d1_2d_s_mrg_fbs_w16.0": 5.83190624957876,
    },
    "inside": {
        "stat_mean": 90.60416666666667,
        "stat_var": 1003.4214409722222,
        "stat_skew": 0.6911551444746102,
        "stat_kurt": 0.4293937507487513,
        "stat_median": 87.0,
        "stat_p10": 53.0,
        "stat_p90": 134.7,
        "cm_diff_avg_d1_2d_avg_fbs_w16.0": 1.8396588164251204,
        "cm_energy_d1_2d_avg_fbs_w16.0": 0.02481946413568578,
        "cm_contrast_d1_2d_avg_fbs_w16.0": 5.819791666666666,
        "cm_inv_diff_mom_d1_2d_avg_fbs_w16.0": 0.4107085408827942,
        "cm_corr_d1_2d_avg_fbs_w16.0": 0.27488427840239055,
        "cm_joint_entr_d1_2d_s_mrg_fbs_w16.0": 5.8553923243898005,
    },
}
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
    """All features of a picture by name."""
    mirp = pytest.importorskip("mirp", reason="mirp is not installed")
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
    ours, theirs = features(view), PICTURE[place]

    def texture(name, method="2d_avg"):
        return theirs[f"{name}_d1_{method}_fbs_w16.0"]

    for name, other in STATISTICS.items():
        assert ours[f"{place}: {name}"] == pytest.approx(theirs[other], rel=1e-5, abs=1e-6)
    assert ours[f"{place}: standard deviation"] ** 2 == pytest.approx(theirs["stat_var"], rel=1e-5)
    assert ours[f"{place}: kurtosis"] - 3 == pytest.approx(theirs["stat_kurt"], rel=1e-4)
    for name, other in TEXTURES.items():
        assert ours[f"{place}: {name} at 1"] == pytest.approx(texture(other), rel=1e-4)
    assert ours[f"{place}: energy at 1"] ** 2 == pytest.approx(texture("cm_energy"), rel=0.02)
    assert ours[f"{place}: entropy of pairs at 1"] == pytest.approx(texture("cm_joint_entr", "2d_s_mrg"), rel=1e-3)


@pytest.mark.parametrize("place", ["whole", "inside"])
def test_the_fixed_values_are_those_of_mirp(place):
    image, mask = picture(0)
    theirs = of_mirp(image, np.ones_like(mask) if place == "whole" else mask)
    assert {name: theirs[name] for name in PICTURE[place]} == pytest.approx(PICTURE[place], rel=1e-9)
