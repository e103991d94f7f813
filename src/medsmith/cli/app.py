"""The application that the commands register with, readers of option values, and the facts of a cohort."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from medsmith.cli.terminal import terminal

if TYPE_CHECKING:
    from medsmith.cases.cohort import Cohort

app = typer.Typer(
    name="medsmith",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def cohort_facts(cohort: "Cohort") -> dict[str, Any]:
    """What a written cohort holds, as JSON values."""
    return {
        "cohort": cohort.root,
        "cases": len(cohort),
        "with_image": len(cohort.ids_with_image),
        "with_labels": len(cohort.ids_with_labels),
        "channel_names": cohort.channel_names,
        "label_names": cohort.label_names,
        "file_ending": cohort.file_ending,
    }


def named_for_nnunet(out: Path, dataset_id: int | None) -> Path:
    """The output folder, named and printed as nnU-Net wants it where an id is given.

    Raises:
        RequestError: the id or the folder's name cannot be used, or another dataset has the id.
    """
    from medsmith.cases.datalists import nnunet_folder

    if dataset_id is None:
        return out
    folder = nnunet_folder(out, dataset_id)
    terminal().note(f"folder for nnU-Net: {folder}")
    return folder


def all_numbers(option: str, text: str) -> tuple[float, ...]:
    """Parses finite numbers separated by commas.

    Raises:
        RequestError: the text is something else.
    """
    from math import isfinite

    from medsmith.errors import RequestError

    try:
        values = tuple(float(number) for number in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(isfinite(value) for value in values):
        raise RequestError(option, f"'{text}'", "numbers separated by commas", "write 0.3,0.5, say")
    return values


def two_numbers(option: str, text: str) -> tuple[float, float]:
    """Parses two finite numbers separated by a comma.

    Raises:
        RequestError: the text is something else.
    """
    from medsmith.errors import RequestError

    values = all_numbers(option, text)
    if len(values) != 2:
        raise RequestError(option, f"'{text}'", "two numbers separated by a comma", "write 0.3,0.5, say")
    return values[0], values[1]


def pairs(option: str, assignments: Sequence[str]) -> dict[str, str]:
    """Parses name=value options into a dictionary.

    Raises:
        RequestError: an assignment has no "=", or a name is given twice.
    """
    from medsmith.errors import RequestError

    found: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise RequestError(option, f"'{assignment}' has no '='", cure="write name=value")
        if name in found:
            raise RequestError(option, f"'{name}' is given twice: {found[name]} and {value}", cure="give it once")
        found[name] = value
    return found
