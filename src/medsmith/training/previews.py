"""Previews: a grid of cases as one picture."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw

from medsmith.cases.case import Case
from medsmith.errors import counted
from medsmith.evaluation.pages.preview_grid import preview_grid, views_of
from medsmith.formats.atomic import write_bytes
from medsmith.methods.base import Method

COUNT, COLUMNS = 8, 4
_TITLE = 20
"""Height of the title, pixels."""


def write_previews(method: Method, path: Path, step: int) -> None:
    """Write previews of a method in training as a PNG with a title.

    Args:
        method: in training.
        path: of the picture.
        step: steps of the last stage so far, for the title.
    """
    cases = method.preview(COUNT)
    grid = preview_grid(cases, COLUMNS)
    sheet = Image.new("RGB", (grid.shape[1], grid.shape[0] + _TITLE), "white")
    ImageDraw.Draw(sheet).text((4, 4), preview_title(cases, method.name, step), fill="black")
    sheet.paste(Image.fromarray(grid), (0, _TITLE))
    picture = BytesIO()
    sheet.save(picture, "PNG")
    write_bytes(path, picture.getvalue())


def preview_title(cases: Sequence[Case], name: str, step: int) -> str:
    """What the picture shows: the method, its step, and what stands side by side.

    Args:
        cases: as in the picture.
        name: of the method.
        step: steps of the last stage so far.
    """
    shown = " and, to its right, ".join(words for words, _ in views_of(cases))
    return f"{name}, step {step}: {counted(len(cases), 'case')} sampled in few steps, not selected; each as {shown}"
