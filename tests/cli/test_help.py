"""The help of the commands: options with fixed values list them."""

from collections.abc import Iterator
from typing import get_args

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from medsmith.annotation.options import TrainedOn
from medsmith.cli import app
from medsmith.diffusion.solvers import SOLVERS
from medsmith.evaluation.adherence.pairs import LEAST_PAIRS
from medsmith.evaluation.reader_study.plan import Mode
from medsmith.phantoms.families import FAMILIES
from medsmith.preparation.class_maps import CLASS_MAPS
from medsmith.preparation.crop import Place
from medsmith.preparation.options import EMPTY, UNPAIRED, UNREADABLE
from medsmith.reports.coverage import COUNTED


def commands(command: TyperCommand | TyperGroup, name: str = "") -> Iterator[tuple[str, TyperCommand]]:
    """Every command with its name."""
    if isinstance(command, TyperGroup):
        for each, inner in command.commands.items():
            assert isinstance(inner, TyperCommand | TyperGroup)
            yield from commands(inner, f"{name} {each}".strip())
    else:
        yield name, command


ROOT = typer.main.get_command(app)
assert isinstance(ROOT, TyperGroup)
HELPS = {
    name: " ".join(command.get_help(typer.Context(command, terminal_width=400, max_content_width=400)).split())
    for name, command in commands(ROOT)
}


@pytest.mark.parametrize(
    ("command", "option", "values"),
    [
        ("annotate", "--train-on", get_args(TrainedOn)),
        ("crop", "--place", get_args(Place)),
        ("prepare", "--leave-out", (EMPTY, UNPAIRED, UNREADABLE)),
        ("prepare", "--class-map", tuple(CLASS_MAPS)),
        ("prepare", "--keep", (EMPTY, UNPAIRED)),
        ("synthesize", "--solver", (*SOLVERS, "NAME")),
        ("sweep", "--solver", (*SOLVERS, "NAME")),
        ("synthesize", "--maps", ("generated", "deformed")),
        ("synthesize", "--organ-map", ("template", "totalsegmentator", "coarse", "FILE")),
        ("synthesize", "--device", ("cpu", "cuda", "cuda:INDEX")),
        ("train", "--preset", ("tiny", "best", "paper", "released")),
        ("turing", "--mode", tuple(Mode)),
    ],
)
def test_fixed_values_stand_in_place_of_the_type(command: str, option: str, values: tuple[str, ...]) -> None:
    assert f"{option} <{'|'.join(values)}>" in HELPS[command]


def test_values_that_are_combined_or_positional_are_named() -> None:
    assert f"combine: {', '.join(COUNTED)}." in HELPS["coverage"]
    assert all(name in HELPS["phantom"] for name in FAMILIES)
    assert f"at least {LEAST_PAIRS};" in HELPS["adherence"]
