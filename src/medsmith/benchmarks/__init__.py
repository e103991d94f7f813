"""The papers' tables in shape: every row trained, sampled and measured by one command (``medsmith bench``).

The public names are imported on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsmith.benchmarks.papers import PAPERS as PAPERS
    from medsmith.benchmarks.running import bench as bench
    from medsmith.benchmarks.scales import SCALES as SCALES

_MODULES = {"PAPERS": "papers", "SCALES": "scales", "bench": "running"}
__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
