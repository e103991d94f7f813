"""Variances of means over images where several images come from one patient."""

import numpy as np
from jaxtyping import Float, Float64


def covariance_of_means(rows: Float[np.ndarray, "r n"], patients: np.ndarray | None) -> Float64[np.ndarray, "r r"]:
    """Covariance of the means of rows over the same images; images of one patient may depend on each other.

    With I patients and d the sum of the deviations from the mean over the images of a patient, it is
    I / (I - 1) sum(d d^T) / n^2 (Obuchowski 1997, "Nonparametric analysis of clustered ROC curve data"); with one image
    of each patient the usual one.

    Args:
        rows: a value for each reader and image.
        patients: of each image, at least two; None: each image is of another one.
    """
    count = rows.shape[1]
    deviations = rows - rows.mean(axis=1, keepdims=True)
    if patients is not None:
        names, owner = np.unique(patients, return_inverse=True)
        deviations = deviations @ (owner[:, None] == np.arange(len(names)))
    groups = deviations.shape[1]
    covariance: Float64[np.ndarray, "r r"] = deviations @ deviations.T * (groups / (groups - 1) / count**2)
    return covariance
