"""The executor that a command asks for; Ray is imported only then."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
