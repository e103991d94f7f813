"""Utility experiments of a few seconds."""

from box_cohorts import make_cohort
from medsmith.evaluation.downstream import UtilityOptions
from medsmith.evaluation.downstream.segmenter import SegmenterConfig
from medsmith.evaluation.downstream.utility import utility

QUICK = SegmenterConfig(steps=3, batch=4, channels=4)
QUICKLY = {"cases": (3,), "subsets": 2, "seeds": 1}


def three_cohorts(root):
    """Real, synthetic and test cases."""
    return (
        make_cohort(root / "real", 6, 0),
        make_cohort(root / "synthetic", 12, 1, shape=(16, 16, 1), synthetic=True),
        make_cohort(root / "test", 5, 2),
    )


def of_all(cohorts, out, *, config=QUICK, **options):
    """The experiment with three cohorts."""
    real, synthetic, test = cohorts
    return utility(real, synthetic, test, out, options=UtilityOptions(**{**QUICKLY, **options}), config=config)
