"""Are the cases of use? A segmentation network learns from real, synthetic, or both, and is tested on real ones."""

from medsmith.utility.page import summary_lines
from medsmith.utility.result import Utility
from medsmith.utility.segmenter import Training
from medsmith.utility.utility import utility

__all__ = ["Training", "Utility", "summary_lines", "utility"]
