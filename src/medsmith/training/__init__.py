"""Training of any method. With ``run`` and ``stage_loop`` the only place that knows the engine (Lightning Fabric)."""

from medsmith.training.budget import Budget
from medsmith.training.run import train

__all__ = ["Budget", "train"]
