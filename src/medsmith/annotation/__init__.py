"""The annotation loop of mDDPM: labels for a large unlabeled cohort from few labeled slices."""

from medsmith.annotation.loop import annotate
from medsmith.annotation.options import AnnotationOptions
from medsmith.annotation.result import Annotation

__all__ = ["Annotation", "AnnotationOptions", "annotate"]
