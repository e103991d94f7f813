"""docs/phantoms.md states the distributions that the code draws from."""

from pathlib import Path

import pytest

from medsmith.phantoms.breast.masses import (
    CONTRAST_DB,
    DEVIATIONS,
    DIAMETER_LIMITS_MM,
    DIAMETER_MM,
    KINDS,
    MARGIN_MM,
    POSTERIOR_DB,
)
from medsmith.phantoms.breast.tissue import LOBULES_MEAN, RIB_SHARE, SHADOWS_MEAN
from medsmith.phantoms.chest import nodule_kinds as nodules
from medsmith.phantoms.chest.anatomy import samples_per_pixel
from medsmith.phantoms.chest.patient import LEVEL_MM, PHASE_SHARES
from medsmith.phantoms.chest.phantom import SIZES, ChestPhantom
from medsmith.phantoms.chest.pose import BEND_MM
from medsmith.phantoms.chest.scanner import NOISE_HU
from medsmith.phantoms.shares import Shares

TEXT = (Path(__file__).parents[2] / "docs" / "phantoms.md").read_text(encoding="utf-8")


def shares(table: Shares) -> str:
    return ", ".join(f"{name} {share:.0%}".replace("%", " %") for name, share in table.items())


def span(limits: tuple[float, float]) -> str:
    return f"{limits[0]} to {limits[1]}"


@pytest.mark.parametrize("name", list(KINDS))
def test_the_table_of_kinds_is_that_of_the_code(name: str) -> None:
    kind = KINDS[name]
    cells = (
        name,
        shares({"": kind.share}).strip(),
        shares(kind.shapes),
        shares(kind.margins),
        shares(kind.echoes),
        shares(kind.posteriors),
        f"{kind.tilt_degrees:.0f}°",
        f"x {kind.diameter_factor}",
        f"{span(kind.texture_db)} dB",
    )
    assert f"| {' | '.join(cells)} |" in TEXT


@pytest.mark.parametrize(("table", "unit"), [(MARGIN_MM, "mm"), (CONTRAST_DB, "dB"), (POSTERIOR_DB, "dB")])
def test_the_table_of_ranges_is_that_of_the_code(table: dict[str, tuple[float, float]], unit: str) -> None:
    for name, limits in table.items():
        assert f"| {name} | {span(limits)} {unit} |" in TEXT


@pytest.mark.parametrize("shape", list(DEVIATIONS))
def test_the_table_of_shapes_is_that_of_the_code(shape: str) -> None:
    row = DEVIATIONS[shape]
    cells = [shape, *map(span, (row.ratio, row.waves, row.rough, row.spicules, row.reach))]
    assert f"| {' | '.join(cells)} |" in TEXT


def test_the_sizes_and_distractors_are_those_of_the_code() -> None:
    assert f"median {DIAMETER_MM[0]} mm, sd of the logarithm {DIAMETER_MM[1]}, cut at" in TEXT
    assert f"cut at {DIAMETER_LIMITS_MM[0]} and {DIAMETER_LIMITS_MM[1]} mm" in TEXT
    flowing = " ".join(TEXT.split())
    assert f"Fat lobules inside the gland (Poisson, mean {LOBULES_MEAN})" in flowing
    assert f"(Poisson, mean {SHADOWS_MEAN}), ribs with their shadow ({RIB_SHARE:.0%}".replace("30%", "30 %") in flowing


def test_the_shares_and_ranges_of_chests_are_those_of_the_code() -> None:
    flowing = " ".join(TEXT.split())
    counts = [f"{share:.0%}".replace("%", " %") for share in nodules.COUNT_SHARES]
    assert f"0, 1, 2 and 3 nodules: {', '.join(counts[:3])} and {counts[3]}" in flowing
    assert shares(PHASE_SHARES) in flowing
    assert shares(nodules.DENSITY_SHARES).capitalize() in flowing
    assert shares({name: shape.share for name, shape in nodules.SHAPES.items()}) in flowing
    around, pleura, vessel = (f"{share:.0%}".replace("%", " %") for share in nodules.PLACE_SHARES.values())
    assert f"surrounded by lung {around}, touching the pleura {pleura}, touching a vessel {vessel}" in flowing
    low, high = nodules.DIAMETER_LIMITS_MM
    assert f"median {nodules.DIAMETER_MM[0]} mm, cut at {low} and {high} mm; the pleura" in flowing
    assert f"between {NOISE_HU[0]} and {NOISE_HU[1]} HU" in flowing
    assert f"bend ({BEND_MM[1]} mm)" in flowing
    assert f"aortic arch ({LEVEL_MM[1]:.0f} mm)" in flowing
    assert f"chest slices at {SIZES[0]} to {SIZES[1]} pixels" in flowing
    assert [samples_per_pixel(size) for size in (60, 61, 160, 161)] == [5, 3, 3, 1]
    for name, value in ChestPhantom.label_names.items():
        assert name == "background" or (f"`{name}`" in TEXT and f"| {value} |" in TEXT)
