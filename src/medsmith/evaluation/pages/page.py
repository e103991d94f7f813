"""A page of sections as one HTML file: pictures inside, no outside requests, every name escaped."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from jinja2 import Environment, PackageLoader, StrictUndefined

from medsmith.formats.atomic import write_bytes

WARNING = "Synthetic research data, not for diagnosis."


@final
@dataclass(frozen=True)
class Table:
    """Rows of text under a head.

    Attributes:
        head: column titles.
        rows: one string per cell.
        caption: what is shown.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@final
@dataclass(frozen=True)
class Picture:
    """A PNG with its words.

    Attributes:
        png: the file's bytes.
        caption: what is shown.
    """

    png: bytes
    caption: str

    @property
    def source(self) -> str:
        """The picture as a data address, so that the page needs no other file."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@final
@dataclass(frozen=True)
class Section:
    """A titled part of a page: sentences, then tables, then pictures.

    Attributes:
        title: of the section.
        sentences: one paragraph each.
        tables: after the sentences.
        pictures: after the tables.
    """

    title: str
    sentences: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()


@final
@dataclass(frozen=True)
class Page:
    """What a report says.

    Attributes:
        title: of the page.
        summary: the few sentences that matter most.
        sections: in order.
        facts: versions, hashes, seeds: a table at the end.
    """

    title: str
    summary: Sequence[str]
    sections: Sequence[Section]
    facts: Mapping[str, str] = field(default_factory=dict)


def render(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("medsmith.evaluation.pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html").render(page=page, warning=WARNING)


def write_page(page: Page, path: Path) -> None:
    """Writes the page whole or not at all.

    Raises:
        FileError: the disk does not take it.
    """
    write_bytes(path, render(page).encode())
