"""Downstream utility with nnU-Net v2: its networks trained on real cases, and on real and synthetic ones."""

from medsmith.evaluation.nnunet.experiment import nnunet_utility
from medsmith.evaluation.nnunet.options import NnunetOptions
from medsmith.evaluation.nnunet.page import summary_lines
from medsmith.evaluation.nnunet.result import NnunetUtility

__all__ = ["NnunetOptions", "NnunetUtility", "nnunet_utility", "summary_lines"]
