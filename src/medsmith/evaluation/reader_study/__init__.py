"""The reader study (visual Turing test): a blind page for readers, a sealed key, and the analysis of their answers."""

from medsmith.evaluation.reader_study.create import create_study
from medsmith.evaluation.reader_study.plan import StudyPlan
from medsmith.evaluation.reader_study.score import score_study

__all__ = ["StudyPlan", "create_study", "score_study"]
