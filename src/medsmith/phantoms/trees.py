"""Trees of vessels and airways that reach given points."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from medsmith.phantoms.space import Points


def grown_tree(
    rng: np.random.Generator,
    root: Sequence[float],
    targets: Points,
    leaf_mm: float,
    exponent: float = 2.7,
    directness: float = 0.0,
) -> tuple[Points, Points, Float64[np.ndarray, "n 2"]]:
    """A tree that reaches every target: targets are joined to the nearest branch, in order of distance from the root.

    Radii follow Murray's law: the sum of radius ** exponent is conserved at bifurcations.

    Args:
        rng: source of the bends of branches.
        root: where the tree starts.
        targets: where its branches end.
        leaf_mm: radius of the thinnest branches.
        exponent: of Murray's law.
        directness: weight of the way from the root in the choice of the nearest branch; with 1, ways are nearly
            straight.

    Returns:
        Starts, ends and radii (n x 2) of its branches, in the space of the targets.
    """
    count = 2 * len(targets) + 1
    nodes, parents = np.empty((count, 3)), np.zeros(count, np.int64)
    nodes[0] = root
    ways = np.zeros(count)
    bends = rng.normal(size=targets.shape) * 0.10
    order = np.argsort(np.sum((targets - nodes[0]) ** 2, axis=1))
    for index, (target, bend) in enumerate(zip(targets[order], bends, strict=True)):
        bent, last = 2 * index + 1, 2 * index + 2
        gaps = np.sqrt(np.sum((nodes[:bent] - target) ** 2, axis=1))
        nearest = int(np.argmin(gaps + directness * ways[:bent]))
        nodes[bent] = (nodes[nearest] + target) / 2 + bend * gaps[nearest]
        nodes[last] = target
        parents[bent], parents[last] = nearest, bent
        ways[bent : last + 1] = ways[nearest] + gaps[nearest] * np.array((0.5, 1.0))
    flow = np.full(count, leaf_mm**exponent)
    for index in range(count - 1, 0, -1):
        flow[parents[index]] += flow[index]
    radius, above = flow ** (1 / exponent), parents[1:]
    first = np.minimum(radius[above], radius[1:] * 1.25)
    return nodes[above], nodes[1:], np.stack([first, radius[1:]], axis=1)
