"""Text conditioning: attribute dropout, and what the network is given."""

import pytest
import torch

from medsmith.networks.text_conditioning import TextConditioning, attribute_dropout
from medsmith.text.encoded_vocabulary import TextConfig


def test_attributes_are_dropped_as_often_as_requested():
    vectors, null = torch.ones(4000, 5, 2), torch.zeros(5, 2)
    config = TextConfig(left_out=0.2, null=0.1)
    dropped = attribute_dropout(vectors, null, config, torch.Generator().manual_seed(0))[..., 0] == 0
    assert float(dropped.all(1).float().mean()) == pytest.approx(0.1 + 0.9 * 0.2**5, abs=0.02)
    assert float(dropped.float().mean()) == pytest.approx(1 - 0.9 * 0.8, abs=0.02)
    kept = attribute_dropout(vectors, null, TextConfig(left_out=0.0, null=0.0), torch.Generator().manual_seed(0))
    assert torch.equal(kept, vectors)


def test_cross_attention_gets_the_vectors_as_they_are():
    vectors = torch.randn((2, 3, 6), generator=torch.Generator().manual_seed(0))
    plain = TextConditioning(TextConfig(dimension=6, reach="cross-attention", width=6), attributes=3)
    context, pooled = plain(vectors)
    assert torch.equal(context, vectors)
    assert pooled is None
    assert not list(plain.parameters())
    everywhere = TextConditioning(TextConfig(dimension=6, width=4, pooled=4), attributes=3)
    assert everywhere(vectors)[1].shape == (2, 4)
