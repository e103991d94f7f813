"""Are the cases of use? A segmentation network learns from real, synthetic, or both, and is tested on real ones."""

from medsmith.evaluation.downstream.page import summary_lines
from medsmith.evaluation.downstream.result import Utility
from medsmith.evaluation.downstream.segmenter import Training
from medsmith.evaluation.downstream.utility import utility

__all__ = ["Training", "Utility", "summary_lines", "utility"]
