"""Requests that no lesion can meet are refused by name."""

import numpy as np
import pytest

from medsmith.errors import RequestError
from medsmith.reports.possibility import ellipsoid_sphericity
from medsmith.reports.reading import read_report
from medsmith.reports.sampling import complete_report

RNG = np.random.default_rng(0)


def refusal(text: str) -> str:
    with pytest.raises(RequestError) as refused:
        complete_report(read_report(text).report.lesions[0], RNG)
    return refused.value.line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("an isodense stone in the left kidney", "'isodense' does not go with kidney stone"),
        ("a fluid-like stone in the bladder", "'hypodense fluid-like stone' is not possible; stones are hyperdense"),
        ("a spiculated lesion in the liver", "'spiculated margins' in organ 'liver'; said only of lung"),
        ("a ring-enhancing lesion in the lung", "'ring enhancement' in organ 'lung'; not said of the lung"),
        ("a hyperdense nodule in the right lung", "'hyperdense' in organ 'lung_right'; not said of the lung"),
        ("a cystic irregular lesion in the spleen", "'cystic' contradicts 'irregular'"),
        ("a fluid-like heterogeneous lesion in the liver", "'hypodense fluid-like' contradicts 'heterogeneous'"),
        ("a fluid-like lesion with calcification in the liver", "contradicts 'presence of increased density areas'"),
        ("a homogeneous ring-enhancing lesion in the liver", "'homogeneous' contradicts 'ring enhancement'"),
        ("wall thickening within the lumen of the stomach", "contradicts 'within the lumen of a hollow organ'"),
        ("a punctate 40 mm lesion in the liver", "'punctate' contradicts a size of 40 x 40 x 40 mm; punctate lesions"),
        ("an irregular 5 mm lesion in the liver", "'irregular' contradicts a size of 5 x 5 x 5 mm; a CT shows"),
        (
            "a round lesion of 30 x 5 x 5 mm in the liver",
            "'round-like' contradicts a size of 30 x 5 x 5 mm; an",
        ),
        ("a fluid-like lesion of 80 HU in the liver", "'hypodense fluid-like' contradicts a mean of 80 HU; fluid has"),
        ("a ground-glass nodule of 40 HU in the lung", "contradicts a mean of 40 HU; ground glass has at most -430 HU"),
        (
            "a hypodense lesion of 40 HU in the gallbladder",
            "contradicts a mean of 40 HU; hypodense lesions in walls have",
        ),
        ("a hyperdense lesion of 100 HU in the bladder", "contradicts a mean of 100 HU; hyperdense lesions in hollow"),
        ("an isodense lesion of 130 HU in the stomach", "contradicts a mean of 130 HU; soft tissue in walls has 12 to"),
        ("a solid nodule of -700 HU in the lung", "contradicts a mean of -700 HU; solid nodules of the lung"),
    ],
)
def test_what_contradicts_itself_is_refused(text: str, line: str) -> None:
    assert line in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "a punctate 10 mm lesion in the liver",
        "an irregular 5 mm lesion in the colon",
        "a round lesion of 30 x 20 x 20 mm in the liver",
        "a fluid-like lesion of 30 HU in the liver",
        "a ground-glass nodule of -430 HU in the lung",
        "a solid nodule of -430 HU in the lung",
        "a stone in the bladder",
        "a hypodense lesion of 11 HU in the gallbladder",
        "a hyperdense lesion of 130 HU in the bladder",
        "an isodense lesion of 12 HU in the stomach",
        "a cystic hyperdense lesion in the liver",
    ],
)
def test_what_can_be_is_kept(text: str) -> None:
    (lesion,) = read_report(text).report.lesions
    assert complete_report(lesion, RNG) == lesion


def test_the_sphericity_of_an_ellipsoid() -> None:
    assert ellipsoid_sphericity((20.0, 20.0, 20.0)) == pytest.approx(1)
    long = np.arcsin(np.sqrt(0.75))  # of a prolate spheroid of 2:1
    surface = 2 * np.pi * (1 + 2 * long / np.sqrt(0.75))
    exact = 4 * np.pi * 2 ** (2 / 3) / surface
    assert ellipsoid_sphericity((40.0, 20.0, 20.0)) == pytest.approx(exact, rel=0.011)
