"""What LINet is shown of the mask."""

from dataclasses import replace

import numpy as np
import pytest

from medsmith.insertion.edge import SOFT_EDGE_MM
from medsmith.methods.lesiondiffusion.config import LesionDiffusionConfig, PaintConfig
from medsmith.methods.lesiondiffusion.linet_mask import linet_mask
from medsmith.methods.lesiondiffusion.training_example import training_example
from medsmith.phantoms.families import find_family
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import Surface
from medsmith.text.embeddings import PhraseTable

SPACING_MM, SIZE = 1.5, 16
SHARP: Surface = "well-defined margin"
BLURRED: Surface = "ill-defined margin"


def slab():
    """A lesion with two plane borders along the first axis, at 3 and 13 voxels."""
    share = np.zeros((SIZE,) * 3, np.float32)
    share[3:13] = 1
    return share


def config_of(edge):
    return PaintConfig(edge=edge, reach_mm=3.0)


@pytest.mark.parametrize(
    ("edge", "surface"), [("sharp", SHARP), ("sharp", BLURRED), ("reported", SHARP), ("reported", None)]
)
def test_a_sharp_edge_is_the_mask_itself(edge, surface):
    seen, region = linet_mask(slab(), SPACING_MM, LesionReport(surface=surface), config_of(edge))
    assert np.array_equal(seen, slab())
    assert region.sum() == (10 + 2 * 2) * SIZE**2  # 3 mm are two voxels


def test_a_reported_edge_falls_over_its_width_in_the_closed_form():
    seen, region = linet_mask(slab(), SPACING_MM, LesionReport(surface=BLURRED), config_of("reported"))
    centers = (np.arange(SIZE) + 0.5) * SPACING_MM
    t = np.clip(0.5 + np.minimum(centers - 3 * SPACING_MM, 13 * SPACING_MM - centers) / SOFT_EDGE_MM, 0, 1)
    assert np.allclose(seen, (3 * t**2 - 2 * t**3)[:, None, None], atol=1e-6)
    assert np.array_equal(seen >= 0.5, slab() > 0)
    assert np.array_equal(region, linet_mask(slab(), SPACING_MM, LesionReport(), config_of("sharp"))[1])


@pytest.mark.parametrize("surface", [SHARP, BLURRED])
def test_an_example_of_training_holds_the_edge_of_its_report(surface):
    case = find_family("ct-varied").make(3, "one", 48)
    report = case.report or {}
    (lesion,) = report["lesions"]
    case = replace(case, report={**report, "lesions": [{**lesion, "surface": surface}]})
    tables = (PhraseTable.load(),) * 2
    sharp, reported = (
        training_example(case, LesionDiffusionConfig(paint=config_of(edge)), tables) for edge in ("sharp", "reported")
    )
    assert bool((sharp["lesion"] == reported["lesion"]).all()) == (surface == SHARP)
    for name in ("image", "region", "mask", "image_words"):
        assert sharp[name].equal(reported[name])
