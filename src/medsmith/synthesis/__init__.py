"""Cases from trained methods: seeds, workers, checks, provenance, resuming, and making a case again.

The names below are imported when first used: a worker must hear of its coordinator's end before it loads anything
heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsmith.synthesis.conditions import Conditions as Conditions
    from medsmith.synthesis.coordinator import synthesize as synthesize
    from medsmith.synthesis.executors.base import Executor as Executor
    from medsmith.synthesis.executors.base import Patience as Patience
    from medsmith.synthesis.folder import Summary as Summary
    from medsmith.synthesis.lesions_page import write_lesions_page as write_lesions_page
    from medsmith.synthesis.regeneration import regenerate as regenerate

_HOMES = {
    "Conditions": "conditions",
    "Executor": "executors.base",
    "Patience": "executors.base",
    "Summary": "folder",
    "regenerate": "regeneration",
    "synthesize": "coordinator",
    "write_lesions_page": "lesions_page",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
