"""nnU-Net's cross-validation over real patients, with synthetic cases in the training part alone.

nnU-Net draws each case of a batch uniformly from the training list of ``splits_final.json``, with replacement. A case
that stands there twice is drawn twice as often, so that repetition sets the share of synthetic cases.
"""

from collections.abc import Sequence

import numpy as np

from medsmith.errors import RequestError

FOLDS = 5
_MOST_REPETITIONS = 100
_CLOSE = 0.005
REAL_PREFIX, SYNTHETIC_PREFIX = "real-", "synthetic-"
"""Of the ids in nnU-Net's datasets."""
Split = dict[str, list[str]]


def folds_of(groups: Sequence[Sequence[str]], seed: int) -> list[list[str]]:
    """The validation cases of five folds, in whole groups and as equal in size as these allow.

    Args:
        groups: ids of the cases of each patient or scene.
        seed: of the order of groups of one size.

    Raises:
        RequestError: there are fewer groups than folds.
    """
    if len(groups) < FOLDS:
        found = f"{len(groups)} real {'patient or scene' if len(groups) == 1 else 'patients or scenes'}"
        raise RequestError("folds", found, f"nnU-Net's cross-validation has {FOLDS}", "give more real cases")
    order = np.random.default_rng(seed).permutation(len(groups))
    folds: list[list[str]] = [[] for _ in range(FOLDS)]
    for row in sorted(order, key=lambda row: -len(groups[row])):
        min(folds, key=len).extend(groups[row])
    return [sorted(fold) for fold in folds]


def repetitions(real: int, synthetic: int, share: float) -> tuple[int, int]:
    """How often each real and each synthetic case stands in the training list: the fewest for a share within .005.

    Args:
        real: real cases.
        synthetic: synthetic cases.
        share: wanted of the synthetic ones, between 0 and 1.
    """
    best, least = (1, 1), 1.0
    for of_real in range(1, _MOST_REPETITIONS + 1):
        of_synthetic = round(share / (1 - share) * of_real * real / synthetic)
        of_synthetic = min(max(of_synthetic, 1), _MOST_REPETITIONS)
        drawn = (real * of_real, synthetic * of_synthetic)
        off = abs(drawn[1] / sum(drawn) - share)
        if off < least:
            best, least = (of_real, of_synthetic), off
        if off < _CLOSE:
            break
    return best


def splits_of(folds: Sequence[Sequence[str]], synthetic: Sequence[str], share: float) -> list[Split]:
    """The content of ``splits_final.json``.

    Args:
        folds: validation cases of each fold; the real training cases are those of the others.
        synthetic: synthetic cases.
        share: of them in the training list; 0 and 1 leave the others out.
    """
    found = []
    for number, validation in enumerate(folds):
        real = [case_id for other, ids in enumerate(folds) if other != number for case_id in ids]
        times = {0.0: (1, 0), 1.0: (0, 1)}.get(share) or repetitions(len(real), len(synthetic), share)
        training = sorted(real * times[0] + list(synthetic) * times[1])
        found.append({"train": training, "val": list(validation)})
    return found


def synthetic_share(split: Split) -> float:
    """Share of the training list that is synthetic, as the ids say."""
    return sum(case_id.startswith(SYNTHETIC_PREFIX) for case_id in split["train"]) / len(split["train"])
