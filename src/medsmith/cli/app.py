"""The application that all commands belong to, and what they share."""

from collections.abc import Sequence
from typing import Annotated

import typer

app = typer.Typer(
    name="medsmith",
    help="Makes annotated medical images from a few labelled ones. Synthetic research data, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Seed = Annotated[int, typer.Option(min=0, help="Decides everything that is drawn by lot.")]


def echo(line: str) -> None:
    """Tell the user."""
    typer.echo(line)


def pairs(option: str, assignments: Sequence[str]) -> dict[str, str]:
    """name=value options as a dictionary.

    Raises:
        RequestError: one has no "=".
    """
    from medsmith.errors import RequestError

    for assignment in assignments:
        if "=" not in assignment:
            raise RequestError(option, f"'{assignment}' has no '='", cure="write name=value")
    return dict(assignment.split("=", 1) for assignment in assignments)
