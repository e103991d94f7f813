"""How the processes of a training share the weights of a stage: each keeps all of them, or a part of every tensor.

Fully sharded data parallelism: Y. Zhao et al. 2023, arXiv 2304.11277; here PyTorch's ``fully_shard`` (FSDP2).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, final

from lightning.fabric import Fabric
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.optim import Optimizer

from medsmith.methods.base import Method, Stage
from medsmith.networks.recomputation import BLOCKS


class Sharing(ABC):
    """How weights, gradients, moments and averages of the trained parts lie in the processes."""

    @abstractmethod
    def divide(self, module: nn.Module) -> None:
        """Divides the weights of a module among the processes, before an optimizer gets them.

        Args:
            module: the method, of which the weights that are trained are divided, or the average of a part.
        """

    @abstractmethod
    def set_up(self, method: Method, optimizers: Sequence[Optimizer]) -> tuple[nn.Module, Sequence[Any]]:
        """What computes losses and averages their gradients over the processes, and the optimizers for the engine."""

    @abstractmethod
    def without_averaging(self, wrapped: nn.Module, *, enabled: bool) -> AbstractContextManager[None]:
        """Inside, gradients stay in their process if enabled, to be averaged later."""


@final
class Replicated(Sharing):
    """Every process keeps everything (distributed data parallelism).

    Args:
        fabric: the engine.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric

    def divide(self, module: nn.Module) -> None:
        """Nothing is divided."""

    def set_up(self, method: Method, optimizers: Sequence[Optimizer]) -> tuple[nn.Module, Sequence[Any]]:
        """As of the engine."""
        wrapped, *engines = self._fabric.setup(method, *optimizers)
        return wrapped, engines

    def without_averaging(self, wrapped: nn.Module, *, enabled: bool) -> AbstractContextManager[None]:
        """As of the engine."""
        context: AbstractContextManager[None] = self._fabric.no_backward_sync(wrapped, enabled=enabled)
        return context


@final
class Sharded(Sharing):
    """Every process keeps a part of each tensor; a block's weights are whole in it while the block computes.

    Args:
        fabric: the engine.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._mesh: DeviceMesh = init_device_mesh(fabric.device.type, (fabric.world_size,))

    def divide(self, module: nn.Module) -> None:
        """Divides each block's weights as a group of their own, and all others together."""
        frozen = {weight for weight in module.parameters() if not weight.requires_grad}
        whole = frozen if isinstance(module, Method) else set()
        for block in reversed([each for each in module.modules() if isinstance(each, BLOCKS)]):
            if not whole.issuperset(block.parameters()):
                fully_shard(block, mesh=self._mesh, ignored_params=whole)
        fully_shard(module, mesh=self._mesh, ignored_params=whole)

    def set_up(self, method: Method, optimizers: Sequence[Optimizer]) -> tuple[nn.Module, Sequence[Any]]:
        """The method itself, whose gradients are averaged as they are divided."""
        engines = self._fabric.setup_optimizers(*optimizers)
        return method, engines if isinstance(engines, tuple) else (engines,)

    @contextmanager
    def without_averaging(self, wrapped: nn.Module, *, enabled: bool) -> Iterator[None]:
        """The gradients stay whole in their process meanwhile."""
        assert isinstance(wrapped, FSDPModule)
        wrapped.set_requires_gradient_sync(not enabled)
        try:
            yield
        finally:
            wrapped.set_requires_gradient_sync(True)


def sharing_of(fabric: Fabric, method: Method, stage: Stage) -> Sharing:
    """How the weights of a stage are shared: as its settings say.

    One process keeps everything, and so does each where several networks are trained in turn.

    Args:
        fabric: the engine.
        method: has the settings.
        stage: the stage.
    """
    asked = method.training_of(stage).sharding == "sharded"
    return Sharded(fabric) if asked and fabric.world_size > 1 and len(stage.parts) == 1 else Replicated(fabric)
