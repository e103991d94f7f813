"""Downstream utility: segmentation networks trained on real cases, synthetic cases or both, tested on real cases."""

from medsmith.evaluation.downstream.options import UtilityOptions
from medsmith.evaluation.downstream.page import summary_lines
from medsmith.evaluation.downstream.result import Utility
from medsmith.evaluation.downstream.segmenter import SegmenterConfig
from medsmith.evaluation.downstream.utility import utility

__all__ = ["SegmenterConfig", "Utility", "UtilityOptions", "summary_lines", "utility"]
