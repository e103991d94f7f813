"""Tensors that are divided among the processes of a training (PyTorch's ``DTensor``)."""

from jaxtyping import Shaped
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def whole(tensor: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
    """A tensor with all its values; one that is divided is gathered, for which every process has to call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def divided_like(tensor: Shaped[Tensor, "*shape"], other: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
    """A whole tensor, which every process has, divided among them as another is."""
    if not isinstance(other, DTensor):
        return tensor
    return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements, src_data_rank=None)
