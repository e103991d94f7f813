"""Compares a synthetic cohort with a real one: distributions, copies, masks. Independent of the methods.

The public names are imported on first use: the pages of a report are also written by processes that need no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsmith.evaluation.compare_cohorts import evaluate as evaluate
    from medsmith.evaluation.fidelity.comparison import ComparisonPlan as ComparisonPlan
    from medsmith.evaluation.pages.evaluation_page import summary_lines as summary_lines
    from medsmith.evaluation.result import Evaluation as Evaluation

_MODULES = {
    "ComparisonPlan": "fidelity.comparison",
    "Evaluation": "result",
    "evaluate": "compare_cohorts",
    "summary_lines": "pages.evaluation_page",
}
__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
