"""Masses follow the tables that the documentation states."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import kstest

from medsmith.phantoms.breast.masses import (
    CONTRAST_DB,
    DEVIATIONS,
    DIAMETER_LIMITS_MM,
    DIAMETER_MM,
    KINDS,
    MARGIN_LIMIT,
    MARGIN_MM,
    POSTERIOR_DB,
    Mass,
    fold_degrees,
    sample_mass,
)
from medsmith.phantoms.outline import sample_outline
from medsmith.phantoms.shares import Shares

DRAWS = 6000


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@pytest.fixture(scope="module")
def drawn() -> list[Mass]:
    rng = generator()
    return [sample_mass(rng) for _ in range(DRAWS)]


def test_the_shares_of_every_table_sum_to_one_and_name_what_exists() -> None:
    assert sum(kind.share for kind in KINDS.values()) == pytest.approx(1)
    for kind in KINDS.values():
        for shares, table in (
            (kind.shapes, DEVIATIONS),
            (kind.margins, MARGIN_MM),
            (kind.echoes, CONTRAST_DB),
            (kind.posteriors, POSTERIOR_DB),
        ):
            assert sum(shares.values()) == pytest.approx(1)
            assert set(shares) <= set(table)


def test_kinds_come_with_their_shares(drawn: list[Mass]) -> None:
    assert_shares(Counter(mass.kind for mass in drawn), {name: kind.share for name, kind in KINDS.items()})


@pytest.mark.parametrize("name", list(KINDS))
def test_attributes_come_with_the_shares_of_their_kind(drawn: list[Mass], name: str) -> None:
    kind, own = KINDS[name], [mass for mass in drawn if mass.kind == name]
    assert_shares(Counter(mass.shape for mass in own), kind.shapes)
    assert_shares(Counter(mass.margin for mass in own), kind.margins)
    assert_shares(Counter(mass.echo_pattern for mass in own), kind.echoes)
    assert_shares(Counter(mass.posterior for mass in own), kind.posteriors)


def assert_shares(counts: Counter[str], shares: Shares) -> None:
    """Within 4.5 standard deviations of the binomial distribution, and nothing else was drawn."""
    total = sum(counts.values())
    assert set(counts) <= set(shares)
    for name, share in shares.items():
        allowed = 4.5 * np.sqrt(share * (1 - share) / total) + 1e-9
        assert counts[name] / total == pytest.approx(share, abs=allowed)


@pytest.mark.parametrize("pattern", list(CONTRAST_DB))
def test_contrasts_are_uniform_over_their_range(drawn: list[Mass], pattern: str) -> None:
    low, high = CONTRAST_DB[pattern]
    values = [mass.contrast_db for mass in drawn if mass.echo_pattern == pattern]
    assert kstest(values, "uniform", (low, high - low)).pvalue > 1e-4


def test_contrast_ranges_do_not_overlap_and_are_ordered() -> None:
    ranges = [CONTRAST_DB[name] for name in ("anechoic", "hypoechoic", "isoechoic", "hyperechoic")]
    assert all(low < high for low, high in ranges)
    assert all(ranges[i][1] <= ranges[i + 1][0] for i in range(3))


@pytest.mark.parametrize("name", list(KINDS))
def test_diameters_are_log_normal_and_clipped(drawn: list[Mass], name: str) -> None:
    median, spread = DIAMETER_MM
    diameters = np.array([mass.diameter_mm for mass in drawn if mass.kind == name])
    assert diameters.min() >= DIAMETER_LIMITS_MM[0]
    assert diameters.max() <= DIAMETER_LIMITS_MM[1]
    center = np.log(median * KINDS[name].diameter_factor)
    inner = np.quantile(np.log(diameters), [0.2, 0.5, 0.8])
    np.testing.assert_allclose(inner, center + spread * np.array([-0.8416, 0, 0.8416]), atol=0.06)


def test_margins_lie_in_their_range_and_never_fill_the_mass(drawn: list[Mass]) -> None:
    for mass in drawn:
        low, high = MARGIN_MM[mass.margin]
        assert min(low, MARGIN_LIMIT * mass.diameter_mm) <= mass.margin_mm <= high
        assert mass.margin_mm <= MARGIN_LIMIT * mass.diameter_mm + 1e-12


def test_the_orientation_follows_from_the_tilt(drawn: list[Mass]) -> None:
    tilts = np.array([mass.tilt_degrees for mass in drawn])
    assert -90 < tilts.min() < -60
    assert 60 < tilts.max() <= 90
    assert {mass.orientation for mass in drawn if abs(mass.tilt_degrees) <= 30} == {"parallel"}
    assert {mass.orientation for mass in drawn if abs(mass.tilt_degrees) > 30} == {"not parallel"}


@pytest.mark.parametrize(
    ("tilt", "seen"), [(0, 0), (22.5, 22.5), (90, 90), (-90, 90), (135, -45), (-135, 45), (180, 0), (400, 40)]
)
def test_an_axis_has_no_front(tilt: float, seen: float) -> None:
    assert fold_degrees(tilt) == pytest.approx(seen)


@pytest.mark.parametrize("shape", list(DEVIATIONS))
def test_outlines_have_the_drawn_area_whatever_their_shape(drawn: list[Mass], shape: str) -> None:
    rng = generator(1)
    for mass in [mass for mass in drawn if mass.shape == shape][:40]:
        outline = sample_outline(mass.form, rng)
        assert outline.area_mm2 == pytest.approx(np.pi * mass.diameter_mm**2 / 4, rel=1e-9)
        assert outline.longest_diameter_mm >= mass.diameter_mm * (1 - 1e-3)


@pytest.mark.slow
def test_shapes_are_ordered_from_round_to_spiculated(drawn: list[Mass]) -> None:
    rng = generator(2)
    outlines = {
        shape: [sample_outline(mass.form, rng) for mass in drawn if mass.shape == shape][:150] for shape in DEVIATIONS
    }
    order = ("round", "oval", "lobulated", "irregular", "spiculated")
    circularity = [np.median([outline.circularity for outline in outlines[shape]]) for shape in order]
    assert circularity == sorted(circularity, reverse=True)
    assert circularity[0] > 0.97
    assert circularity[-1] < 0.5
    solidity = {shape: np.median([outline.solidity for outline in outlines[shape]]) for shape in order}
    assert min(solidity["round"], solidity["oval"]) > 0.98 > solidity["lobulated"] > solidity["irregular"]


def test_spicules_belong_to_spiculated_masses_alone(drawn: list[Mass]) -> None:
    for mass in drawn:
        low, high = DEVIATIONS[mass.shape].spicules
        assert low <= mass.spicules <= high
        assert (mass.spicules > 0) == (mass.shape == "spiculated")
