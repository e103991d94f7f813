"""Synthetic cases from trained methods: seeds, workers, checks, provenance, resuming and regeneration.

The public names are imported on first use: a worker has to watch for the end of its coordinator before it imports
anything heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsmith.synthesis.checks.result import Limits as Limits
    from medsmith.synthesis.coordinator import synthesize as synthesize
    from medsmith.synthesis.executors.base import Executor as Executor
    from medsmith.synthesis.executors.base import Timeouts as Timeouts
    from medsmith.synthesis.folder import Summary as Summary
    from medsmith.synthesis.guide_sweep import SweepGrid as SweepGrid
    from medsmith.synthesis.guide_sweep import sweep as sweep
    from medsmith.synthesis.lesions_page import lesions_line as lesions_line
    from medsmith.synthesis.lesions_page import write_lesions_page as write_lesions_page
    from medsmith.synthesis.options import SynthesisOptions as SynthesisOptions
    from medsmith.synthesis.pasted import pasted_line as pasted_line
    from medsmith.synthesis.regeneration import regenerate as regenerate
    from medsmith.synthesis.shards import Shard as Shard
    from medsmith.synthesis.shards import join_shards as join_shards
    from medsmith.synthesis.steering_page import write_steering_page as write_steering_page
    from medsmith.synthesis.tar_shards.call import ShardsSummary as ShardsSummary
    from medsmith.synthesis.tar_shards.making import synthesize_shards as synthesize_shards
    from medsmith.synthesis.tar_shards.unpacking import unpack as unpack

_MODULES = {
    "Limits": "checks.result",
    "SynthesisOptions": "options",
    "Executor": "executors.base",
    "Timeouts": "executors.base",
    "Summary": "folder",
    "regenerate": "regeneration",
    "synthesize": "coordinator",
    "lesions_line": "lesions_page",
    "write_lesions_page": "lesions_page",
    "pasted_line": "pasted",
    "Shard": "shards",
    "join_shards": "shards",
    "write_steering_page": "steering_page",
    "SweepGrid": "guide_sweep",
    "sweep": "guide_sweep",
    "ShardsSummary": "tar_shards.call",
    "synthesize_shards": "tar_shards.making",
    "unpack": "tar_shards.unpacking",
}
__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
