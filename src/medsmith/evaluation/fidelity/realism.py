"""How realistic a single case is: the realism score of Kynkäänniemi et al. 2019 (eq. 3).

    R(y) = max over real x of r_k(x) / |x - y|,   r_k(x): distance from x to its k-th nearest real neighbor, k = 3

It is at least 1 where y lies within the ball of some real case. As in the paper, the half of the real cases with the
widest balls is left out: far from all others, a real case would call everything near it realistic.
"""

import numpy as np
from jaxtyping import Float64
from scipy.spatial.distance import cdist

NEIGHBORS = 3
_LEAST = 1e-12


def realism(
    real: Float64[np.ndarray, "n d"], synthetic: Float64[np.ndarray, "m d"], neighbors: int = NEIGHBORS
) -> Float64[np.ndarray, " m"]:
    """The score of every synthetic case; larger is more realistic.

    Args:
        real: features of real cases, more than ``neighbors``.
        synthetic: features of synthetic cases.
        neighbors: k.

    Raises:
        ValueError: too few real cases.
    """
    if len(real) <= neighbors:
        raise ValueError(f"{len(real)} real cases have no neighbor of rank {neighbors}")
    radii = np.sort(cdist(real, real), axis=1)[:, neighbors]
    kept = radii <= np.median(radii)
    scores: Float64[np.ndarray, " m"] = (radii[kept, None] / np.maximum(cdist(real[kept], synthetic), _LEAST)).max(0)
    return scores
