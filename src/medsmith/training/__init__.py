"""Training of any method; the only package that uses the engine (Lightning Fabric)."""

from medsmith.training.budget import Budget
from medsmith.training.run import train

__all__ = ["Budget", "train"]
