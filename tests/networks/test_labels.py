"""Label maps as channels, and the losses between label maps and logits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceLoss

from medsmith.networks.labels import cross_entropy, dice_loss, most_likely, one_hot


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def label_map(seed, classes, *shape):
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.sampled_from([(2, 3, 4), (1, 3, 2, 4)]))
def test_labels_become_channels_and_come_back(seed, classes, shape):
    labels = label_map(seed, classes, *shape).to(torch.int16)
    channels = one_hot(labels, classes)
    assert channels.shape == (shape[0], classes, *shape[1:])
    assert channels.sum(1).eq(1).all()
    assert torch.equal(most_likely(channels), labels.long())


def test_a_label_beyond_the_classes_is_refused():
    with pytest.raises(RuntimeError, match="smaller than num_classes"):
        one_hot(torch.tensor([[3]]), 3)


@pytest.mark.parametrize("weights", [None, (1.0, 1.0, 1.0), (0.5, 3.0, 2.0)])
@pytest.mark.parametrize("shape", [(2, 5, 4), (2, 3, 4, 5)])
def test_the_dice_loss_is_monais(shape, weights):
    logits, labels = 3 * drawn(0, shape[0], 3, *shape[1:]), label_map(1, 2, *shape)  # the third class is absent
    ours = None if weights is None else torch.tensor(weights)
    theirs = DiceLoss(softmax=True, to_onehot_y=True, weight=None if ours is None else 3 * ours / ours.sum())
    torch.testing.assert_close(dice_loss(logits, labels, ours), theirs(logits, labels[:, None]))


def test_the_cross_entropy_by_hand():
    logits, labels = drawn(0, 2, 3, 4), label_map(1, 3, 2, 4)
    weights = torch.tensor([0.5, 3.0, 2.0])
    likely = torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True)
    each = -torch.log(likely.gather(1, labels[:, None])[:, 0])
    torch.testing.assert_close(cross_entropy(logits, labels), each.mean())
    share = weights[labels]
    torch.testing.assert_close(cross_entropy(logits, labels, weights), (share * each).sum() / share.sum())
    torch.testing.assert_close(cross_entropy(logits, labels), torch.nn.CrossEntropyLoss()(logits, labels))


def test_a_perfect_answer_costs_nothing():
    labels = label_map(0, 3, 2, 6, 6)
    logits = 100 * one_hot(labels, 4)
    assert float(dice_loss(logits, labels)) == pytest.approx(0, abs=1e-5)
    assert float(cross_entropy(logits, labels)) == pytest.approx(0, abs=1e-5)
