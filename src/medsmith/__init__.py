"""medsmith generates annotated medical images: synthetic research data, not for diagnosis.

Public names are imported on first use, so that ``import medsmith`` is fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from medsmith.cases.case import Case as Case
    from medsmith.cases.cohort import Cohort as Cohort
    from medsmith.errors import MedsmithError as MedsmithError
    from medsmith.evaluation import evaluate as evaluate
    from medsmith.geometry import Geometry as Geometry
    from medsmith.preparation import prepare as prepare
    from medsmith.preparation import split as split
    from medsmith.runs.checkpoints import load_method as load_method
    from medsmith.synthesis import regenerate as regenerate
    from medsmith.synthesis import synthesize as synthesize
    from medsmith.training import Budget as Budget
    from medsmith.training import train as train

_HOMES = {
    "Budget": "medsmith.training",
    "Case": "medsmith.cases.case",
    "Cohort": "medsmith.cases.cohort",
    "Geometry": "medsmith.geometry",
    "MedsmithError": "medsmith.errors",
    "evaluate": "medsmith.evaluation",
    "load_method": "medsmith.runs.checkpoints",
    "prepare": "medsmith.preparation",
    "regenerate": "medsmith.synthesis",
    "split": "medsmith.preparation",
    "synthesize": "medsmith.synthesis",
    "train": "medsmith.training",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
