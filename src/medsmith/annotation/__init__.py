"""The annotation loop of mDDPM: labels for a large unlabelled cohort from few labelled slices."""

from medsmith.annotation.loop import annotate
from medsmith.annotation.options import AnnotationOptions
from medsmith.annotation.result import Annotation

__all__ = ["Annotation", "AnnotationOptions", "annotate"]
