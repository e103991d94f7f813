"""The application that the commands register with, and their shared options."""

from collections.abc import Sequence
from typing import Annotated

import typer

app = typer.Typer(
    name="medsmith",
    help="Generate annotated medical images from a few labeled ones. Synthetic research data, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Seed = Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same result.")]


def echo(line: str) -> None:
    """Print one line to standard output."""
    typer.echo(line)


def numbers(option: str, text: str) -> tuple[float, float]:
    """Parses two numbers separated by a comma.

    Raises:
        RequestError: the text is not two finite numbers.
    """
    from math import isfinite

    from medsmith.errors import RequestError

    try:
        first, second = (float(number) for number in text.split(","))
    except ValueError:
        raise RequestError(option, f"'{text}'", "two numbers", "write them as 0.3,0.5") from None
    if not (isfinite(first) and isfinite(second)):
        raise RequestError(option, f"'{text}'", "finite numbers", "write them as 0.3,0.5")
    return first, second


def pairs(option: str, assignments: Sequence[str]) -> dict[str, str]:
    """Parses name=value options into a dictionary.

    Raises:
        RequestError: an assignment has no "=".
    """
    from medsmith.errors import RequestError

    for assignment in assignments:
        if "=" not in assignment:
            raise RequestError(option, f"'{assignment}' has no '='", cure="write name=value")
    return dict(assignment.split("=", 1) for assignment in assignments)
