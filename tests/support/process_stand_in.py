"""Stand-ins for the environments of two processes, which are threads of a test."""

import socket
from types import SimpleNamespace
from typing import Any


def free_port():
    """A port that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def two_environments() -> list[Any]:
    """Number and address of each of two processes."""
    place = {"main_address": "localhost", "main_port": free_port(), "world_size": lambda: 2}
    return [SimpleNamespace(global_rank=lambda: 0, **place), SimpleNamespace(global_rank=lambda: 1, **place)]
