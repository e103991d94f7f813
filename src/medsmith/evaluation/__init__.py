"""Compares a synthetic cohort with a real one: distributions, copies, masks. Independent of the methods."""

from medsmith.evaluation.evaluate import evaluate
from medsmith.evaluation.fidelity.comparison import ComparisonPlan
from medsmith.evaluation.pages.evaluation_page import summary_lines
from medsmith.evaluation.result import Evaluation

__all__ = ["ComparisonPlan", "Evaluation", "evaluate", "summary_lines"]
