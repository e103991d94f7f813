"""Varied CT phantoms: no word of the image tells another, or the type, and the image shows what the words say."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

from medsmith.phantoms.ct.phantom import TORSO, VARIED, sampled_case, sampled_type
from medsmith.phantoms.ct.varied import AREAS, DENSITIES, VARIATIONS
from medsmith.phantoms.family import case_seed
from medsmith.reports.organs import members_of
from medsmith.reports.rules import compatible
from medsmith.reports.schema import LesionReport

SEEDS = [case_seed("ct-varied", 3, index) for index in range(600)]


@pytest.fixture(scope="module")
def reports() -> list[LesionReport]:
    return [VARIED.report(*sampled_type(VARIED, seed), seed) for seed in SEEDS]


def test_reports_contradict_no_rule_and_state_every_word(reports: list[LesionReport]) -> None:
    for report in reports:
        assert compatible(report)
        assert None not in (report.density, report.density_variation, report.surface, report.enhancement)


def test_every_density_is_as_frequent_in_each_type(reports: list[LesionReport]) -> None:
    solid = [report for report in reports if report.organ not in members_of("lung")]
    for kinds in ("cyst", "cancer"):
        found = Counter(report.density for report in solid if kinds in str(report.lesion_type))
        shares = np.array([found[density] for density in DENSITIES]) / found.total()
        np.testing.assert_allclose(shares, 1 / len(DENSITIES), atol=0.09)


def test_rings_are_as_rare_by_the_rules_as_the_page_says(reports: list[LesionReport]) -> None:
    by_rules = [TORSO.report(*sampled_type(TORSO, seed), seed).density for seed in SEEDS]
    assert np.mean([density == "ring enhancement" for density in by_rules]) == pytest.approx(0.01, abs=0.01)
    assert np.mean([report.density == "ring enhancement" for report in reports]) > 0.08


def test_margin_and_texture_are_independent(reports: list[LesionReport]) -> None:
    free = [report for report in reports if report.density in ("hypodense", "isodense", "hyperdense")]
    table = Counter((report.density_variation, report.surface) for report in free)
    shares = np.array(list(table.values())) / table.total()
    assert len(table) == 4
    np.testing.assert_allclose(shares, 0.25, atol=0.09)


def test_areas_are_drawn_where_nothing_contradicts_them(reports: list[LesionReport]) -> None:
    uneven = [report for report in reports if report.density_variation == "heterogeneous"]
    able = [report for report in uneven if "punctate" not in report.shape]
    for area in AREAS:
        assert np.mean([area in report.features for report in able]) == pytest.approx(0.4, abs=0.09)
    even = [report for report in reports if report.density_variation == "homogeneous"]
    assert not any(set(AREAS) & set(report.features) for report in even)


def test_the_lesion_has_what_the_words_say(reports: list[LesionReport]) -> None:
    plain = {
        seed: report.density_variation
        for seed, report in zip(SEEDS, reports, strict=True)
        if report.density == "hypodense" and not report.features
    }
    spread = {
        word: [measured(seed)["heterogeneity_hu"] for seed in [s for s, said in plain.items() if said == word][:2]]
        for word in VARIATIONS
    }
    assert max(spread["homogeneous"]) < min(spread["heterogeneous"])
    ring = next(seed for seed, report in zip(SEEDS, reports, strict=True) if report.density == "ring enhancement")
    assert sampled_case(VARIED, ring)[1].density.numbers["rim_hu"] >= 45


def measured(seed: int) -> Mapping[str, float]:
    return sampled_case(VARIED, seed)[1].report.measured
