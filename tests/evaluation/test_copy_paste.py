"""Copy-paste augmentation: what is pasted, where, and how its edge looks."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from medsmith.evaluation.downstream.copy_paste import CopyPaste

EDGE = 24


def batch(space=(EDGE, EDGE)):
    """Two cases, one of gray 1 with class 1 in a corner, one of gray 5 with class 2 in another."""
    images, labels = torch.ones(2, 1, *space), torch.zeros(2, *space, dtype=torch.int64)
    images[1] = 5.0
    first, second = (tuple(slice(*ends) for _ in space) for ends in ((2, 9), (12, 20)))
    labels[0][first], labels[1][second] = 1, 2
    return images, labels


def swapped_seed():
    """A seed whose permutation of two cases swaps them."""
    return next(s for s in range(100) if torch.randperm(2, generator=torch.Generator().manual_seed(s))[0] == 1)


def pasted(space=(EDGE, EDGE), seed=None, **settings):
    rng = torch.Generator().manual_seed(swapped_seed() if seed is None else seed)
    images, labels = batch(space)
    return CopyPaste(**settings)(images, labels, rng)


@pytest.mark.parametrize("space", [(EDGE, EDGE), (EDGE, EDGE, EDGE)])
def test_all_structures_of_the_other_case_arrive_with_image_and_label(space):
    images, labels = pasted(space, share=1, kept=1, softness=0)
    before, truth = batch(space)
    for here, there in ((0, 1), (1, 0)):
        inside = truth[there] > 0
        assert torch.equal(images[here, 0], torch.where(inside, before[there, 0], before[here, 0]))
        assert torch.equal(labels[here], torch.where(inside, truth[there], truth[here]))


def test_the_image_is_pasted_whole_and_fades_outside():
    _, truth = batch()
    images, labels = pasted(share=1, kept=1, softness=2.0)
    inside = (truth[1] == 2).numpy()
    blurred = gaussian_filter(inside.astype("float32"), 2.0, mode="constant", truncate=4)
    weight = (images[0, 0] - 1).numpy() / 4
    assert weight[inside] == pytest.approx(1)
    assert weight[~inside] == pytest.approx(np.minimum(2 * blurred, 1)[~inside], abs=1e-2)
    assert torch.equal(labels[0] == 2, truth[1] == 2)


@pytest.mark.parametrize("softness", [0.7, 2.0, 10.0])
@pytest.mark.parametrize("edge", [1, 2, 3])
def test_thin_structures_and_those_at_the_border_arrive_whole(softness, edge):
    images, labels = torch.zeros(2, 1, EDGE, EDGE), torch.zeros(2, EDGE, EDGE, dtype=torch.int64)
    images[1], labels[1, 12 : 12 + edge, :edge] = 1.0, 1
    rng = torch.Generator().manual_seed(swapped_seed())
    made, found = CopyPaste(share=1, kept=1, softness=softness)(images, labels, rng)
    assert int((found[0] == 1).sum()) == edge**2
    assert float(made[0, 0][found[0] == 1].min()) == pytest.approx(1)


def test_share_and_kept_are_probabilities():
    images, labels = torch.zeros(4000, 1, 4, 4), torch.zeros(4000, 4, 4, dtype=torch.int64)
    labels[:2000, 1, 1], images[:2000] = 1, 1.0
    rng = torch.Generator().manual_seed(0)
    _, found = CopyPaste(share=0.5, kept=0.4, softness=0)(images, labels, rng)
    gained = float((found[2000:] > 0).any(-1).any(-1).float().mean())
    assert gained == pytest.approx(0.5 * 0.5 * 0.4, abs=0.03)  # half of the donors have the structure


def test_nothing_is_pasted_at_share_zero_and_the_input_stays():
    images, labels = batch()
    copies = images.clone(), labels.clone()
    changed = CopyPaste(share=0)(images, labels, torch.Generator().manual_seed(swapped_seed()))
    assert all(torch.equal(a, b) for a, b in zip(changed, copies, strict=True))
    CopyPaste(share=1)(images, labels, torch.Generator().manual_seed(swapped_seed()))
    assert torch.equal(images, copies[0])
    assert torch.equal(labels, copies[1])


def test_the_generator_decides_all():
    first, again, other = (pasted(seed=seed, share=0.9) for seed in (5, 5, 8))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
