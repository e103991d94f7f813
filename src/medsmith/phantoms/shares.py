"""Sampling of one of several kinds by its share."""

from collections.abc import Mapping

import numpy as np

Shares = Mapping[str, float]


def choose(shares: Shares, rng: np.random.Generator) -> str:
    """A key, sampled by its share; shares sum to one."""
    return list(shares)[int(np.searchsorted(np.cumsum(list(shares.values()))[:-1], rng.uniform(), "right"))]
