"""Pictures of what the checks refused: why no case passes is often seen at once.

``rejected/`` has one picture for each of the first attempts at the first cases, so that the files do not depend on the
workers, and a sheet of all of them. Near-copies of training cases are never shown.
"""

from collections.abc import Collection, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from medsmith.cases.case import Case
from medsmith.formats.atomic import write_bytes
from medsmith.synthesis.tasks import CaseTask

REJECTED, SHEET = "rejected", "rejected.png"
_CASES, _ATTEMPTS = 16, 4
"""Of how many cases, and of how many attempts at each, pictures are kept."""
_COLUMNS, _CAPTION = 4, 16


def keep_picture(out: Path, task: CaseTask, attempt: int, case: Case, checks: Collection[str]) -> None:
    """Write the picture of a refused attempt, if it is among the first.

    Args:
        out: folder of the cohort.
        task: of the case.
        attempt: its number, from 0.
        case: what was refused.
        checks: that refused it.
    """
    if task.index >= _CASES or attempt >= _ATTEMPTS or _is_copy(checks, case.provenance or {}):
        return
    from medsmith.evaluation.pages.preview_grid import preview_grid

    data = BytesIO()
    Image.fromarray(preview_grid([case], 1)).save(data, "PNG")
    write_bytes(out / REJECTED / f"{task.id}-{attempt}-{'-'.join(sorted(checks))}.png", data.getvalue())


def _is_copy(checks: Collection[str], record: Mapping[str, Any]) -> bool:
    return "not_a_copy" in checks or any("copy" in problem for problem in record.get("label_problems", ()))


def write_sheet(out: Path) -> Path | None:
    """All pictures on one sheet, with their names; None where there are none."""
    paths = sorted(path for path in (out / REJECTED).glob("*.png") if path.name != SHEET)
    if not paths:
        return None
    pictures = [Image.open(path).convert("RGB") for path in paths]
    width, height = (max(edges) for edges in zip(*(picture.size for picture in pictures), strict=True))
    rows = -(-len(pictures) // _COLUMNS)
    sheet = Image.new("RGB", (min(len(pictures), _COLUMNS) * width, rows * (height + _CAPTION)), "white")
    drawing = ImageDraw.Draw(sheet)
    for index, (path, picture) in enumerate(zip(paths, pictures, strict=True)):
        x, y = index % _COLUMNS * width, index // _COLUMNS * (height + _CAPTION)
        drawing.text((x + 2, y + 2), path.stem, fill="black")
        sheet.paste(picture, (x, y + _CAPTION))
    data = BytesIO()
    sheet.save(data, "PNG")
    write_bytes(out / REJECTED / SHEET, data.getvalue())
    return out / REJECTED / SHEET
