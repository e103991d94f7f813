"""How a command makes its cases: the executor, of which Ray is imported only where it is asked for, and the rest."""

from typing import TYPE_CHECKING

from medsmith.machine import usual_device

if TYPE_CHECKING:
    from medsmith.synthesis import SynthesisOptions
    from medsmith.synthesis.executors.base import StartExecutor


def executor_of(name: str, address: str | None, workers: int | None = None) -> "StartExecutor":
    """What makes the cases.

    Raises:
        RequestError: Ray is asked for and not installed, an address is given without it, or workers with it.
    """
    from importlib.util import find_spec

    from medsmith.errors import RequestError
    from medsmith.machine import install_line
    from medsmith.synthesis.executors.processes import ProcessExecutor

    if name == "processes":
        if address is not None:
            raise RequestError("--address", "no cluster is used", "it is that of a Ray cluster", "add --executor ray")
        return ProcessExecutor
    if workers is not None:
        raise RequestError("--workers", f"{workers}", "Ray uses the CPUs of its cluster", "leave it out")
    if find_spec("ray") is None:
        cure = f"install it: {install_line('cluster')}"
        raise RequestError("--executor", "ray is not installed", "--executor ray needs it", cure)
    from medsmith.synthesis.executors.ray_cluster import RayOptions, ray_executor

    return ray_executor(RayOptions(address=address))


def synthesis_options(
    devices: list[str] | None,
    attempts: int,
    batch: int,
    shard: str | None,
    executor: "StartExecutor",
    shard_cases: int,
) -> "SynthesisOptions":
    """How cases are made, by the options of a command; without devices a GPU if PyTorch sees one.

    Raises:
        RequestError: the shard is none.
    """
    from medsmith.synthesis import Limits, Shard, SynthesisOptions

    return SynthesisOptions(
        devices=tuple(devices or (usual_device(),)),
        limits=Limits(attempts=attempts),
        shard=None if shard is None else Shard.parse(shard),
        executor=executor,
        shard_cases=shard_cases,
        batch=batch,
    )
