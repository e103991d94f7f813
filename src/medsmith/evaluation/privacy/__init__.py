"""What synthetic cases give away of the training cohort: copies, and membership inference by distance.

The public names are imported on first use, since a report on fidelity needs only part of them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsmith.evaluation.privacy.measuring import measure_privacy as measure_privacy
    from medsmith.evaluation.privacy.page import summary_lines as summary_lines
    from medsmith.evaluation.privacy.result import Privacy as Privacy

_MODULES = {"Privacy": "result", "measure_privacy": "measuring", "summary_lines": "page"}
__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
