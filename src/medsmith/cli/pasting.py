"""Options of ``synthesize`` that say what copy-paste puts into each image, as entries of a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, final

import typer

StructureOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Label of the structures that are pasted (copypaste); default: all that the run keeps. Repeatable."
    ),
]
PerImageOption = Annotated[
    str | None,
    typer.Option(
        help="Structures that are pasted into each image, beside those that it has (copypaste): NUMBER, or LEAST,MOST."
    ),
]
OrganOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Label of the template in which structures lie whole (copypaste); default: the one around each in its own "
        "image, or the unlabeled body. Repeatable."
    ),
]


@final
@dataclass(frozen=True)
class PastingOptions:
    """Values of the options; None where they were not given."""

    structures: Sequence[str] | None = None
    per_image: str | None = None
    organs: Sequence[str] | None = None

    def entries(self, request: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Entries of a request that these options set.

        Raises:
            RequestError: the number of structures cannot be read.
        """
        given = {
            "structures": list(self.structures) if self.structures else None,
            "per_image": None if self.per_image is None else _range_of(self.per_image),
            "within": list(self.organs) if self.organs else None,
        }
        return {key: value for key, value in given.items() if value is not None}


def _range_of(text: str) -> list[int]:
    from medsmith.errors import RequestError

    numbers = text.split(",")
    if not 1 <= len(numbers) <= 2 or not all(number.strip().isdecimal() for number in numbers):
        raise RequestError("--per-image", f"'{text}'", "NUMBER, or LEAST,MOST", "write 1,3, say")
    return [int(numbers[0]), int(numbers[-1])]
