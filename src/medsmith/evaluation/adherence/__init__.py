"""Adherence: whether the cases of a method are what was asked for, attribute by attribute, and follow their labels.

The public names are imported on first use, since they need the methods.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsmith.evaluation.adherence.measuring import AdherenceOptions as AdherenceOptions
    from medsmith.evaluation.adherence.measuring import adherence as adherence
    from medsmith.evaluation.adherence.of_cohort import cohort_adherence as cohort_adherence
    from medsmith.evaluation.adherence.page import summary_lines as summary_lines
    from medsmith.evaluation.adherence.result import Adherence as Adherence

_MODULES = {
    "Adherence": "result",
    "AdherenceOptions": "measuring",
    "adherence": "measuring",
    "cohort_adherence": "of_cohort",
    "summary_lines": "page",
}
__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
