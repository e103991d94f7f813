"""Compares a synthetic cohort with a real one: distributions, copies, masks. Knows no method."""

from medsmith.evaluation.evaluate import evaluate
from medsmith.evaluation.fidelity.pairs import Plan
from medsmith.evaluation.pages.evaluation_page import summary_lines
from medsmith.evaluation.result import Evaluation

__all__ = ["Evaluation", "Plan", "evaluate", "summary_lines"]
