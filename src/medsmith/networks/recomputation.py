"""Activations that are computed again in the backward pass instead of being kept (Chen et al. 2016, arXiv 1604.06174).

Each block of a network keeps its inputs alone; the backward pass runs the block once more. Gradients are the same.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from monai.networks.nets.diffusion_model_unet import (
    AttnDownBlock,
    AttnMidBlock,
    AttnUpBlock,
    CrossAttnDownBlock,
    CrossAttnMidBlock,
    CrossAttnUpBlock,
    DownBlock,
    UpBlock,
)
from torch import nn
from torch.utils.checkpoint import checkpoint

from medsmith.networks.autoencoder import ResidualBlock

BLOCKS: tuple[type[nn.Module], ...] = (
    *(AttnDownBlock, AttnMidBlock, AttnUpBlock, CrossAttnDownBlock, CrossAttnMidBlock, CrossAttnUpBlock),
    *(DownBlock, UpBlock, ResidualBlock),
)
"""Of the U-Net, the ControlNet and the autoencoders."""


@contextmanager
def recomputed_activations(module: nn.Module) -> Iterator[int]:
    """Inside, every block of the module recomputes its activations in the backward pass; yields the number of blocks.

    Args:
        module: a network, or what holds several.
    """
    blocks = [each for each in module.modules() if isinstance(each, BLOCKS)]
    for block in blocks:
        block.forward = partial(_kept_inputs_alone, block.forward)
    try:
        yield len(blocks)
    finally:
        for block in blocks:
            del block.forward


def _kept_inputs_alone(forward: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **named)
    return checkpoint(forward, *inputs, use_reentrant=False, **named)
