"""A page of sections as one self-contained HTML file: pictures embedded, no external requests, all text escaped."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from jinja2 import Environment, PackageLoader, StrictUndefined

from medsmith.errors import FileError
from medsmith.formats.atomic import remove_temporary_files, write_bytes, write_json
from medsmith.formats.folders import check_outside
from medsmith.formats.lock import check_not_held, hold_output
from medsmith.formats.opening import read_bytes

WARNING = "Synthetic research data, not for diagnosis."


@final
@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Attributes:
        head: column titles.
        rows: one string per cell.
        caption: above the table.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@final
@dataclass(frozen=True)
class Picture:
    """A PNG with a caption.

    Attributes:
        png: the file's bytes.
        caption: below the picture.
        legend: name -> color (#rrggbb) of what is outlined, after the caption.
    """

    png: bytes
    caption: str
    legend: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The picture as a data URL."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@final
@dataclass(frozen=True)
class Link:
    """A link to another page.

    Attributes:
        text: what is read.
        address: relative to the page.
    """

    text: str
    address: str


@final
@dataclass(frozen=True)
class Section:
    """A section of a page: sentences, then tables, then pictures.

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
    """The content of a report.

    Attributes:
        title: of the page.
        summary: the main results.
        sections: in order.
        facts: versions, hashes and seeds, in a table at the end.
        links: to other pages, after the summary.
    """

    title: str
    summary: Sequence[str]
    sections: Sequence[Section]
    facts: Mapping[str, str] = field(default_factory=dict)
    links: Sequence[Link] = ()


def render(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("medsmith.evaluation.pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html").render(page=page, warning=WARNING)


def check_results_folder(out: Path, names: Iterable[str], inputs: Iterable[Path]) -> None:
    """Checks a folder of results before they are computed.

    Args:
        out: the folder.
        names: of the files to write; earlier results and pages, which carry the warning, may be replaced.
        inputs: folders that are read.

    Raises:
        CohortError: the folder lies in one that is read, or another process writes to it.
        FileError: a file of others has one of the names.
    """
    check_outside(out, inputs)
    for path in (out / name for name in names):
        if (path.exists() or path.is_symlink()) and WARNING.encode() not in read_bytes(path):
            raise FileError(path, "exists and is no earlier result", "nothing is overwritten", "choose another folder")
    check_not_held(out)


def write_page(page: Page, path: Path) -> None:
    """Write the page atomically.

    Raises:
        FileError: the file cannot be written.
    """
    write_bytes(path, render(page).encode())


def write_report(out: Path, names: tuple[str, str], record: Mapping[str, Any], page: Page) -> None:
    """Writes the record and the page of a report, and removes what killed writers left beside them.

    Args:
        out: the folder.
        names: of both files.
        record: as JSON values.
        page: the report.

    Raises:
        CohortError: another process writes to the folder.
        FileError: a file cannot be written.
    """
    with hold_output(out):
        remove_temporary_files(out)
        write_json(out / names[0], record)
        write_page(page, out / names[1])
