"""Pictures of what the checks refused: why no case passes is often seen at once.

``rejected/`` has one picture for each of the first attempts at the first cases, so that the files do not depend on the
workers, and a sheet of all of them. Near-copies of training cases are never shown.
"""

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from medsmith.cases.case import Case
from medsmith.formats.atomic import remove_if_empty, remove_temporary_files, write_bytes
from medsmith.synthesis.tasks import CaseTask

REJECTED, SHEET = "rejected", "rejected.png"
_CASES, _ATTEMPTS = 16, 4
"""Of how many cases, and of how many attempts at each, pictures are kept."""
_COLUMNS, _CAPTION = 4, 16
_NAME = re.compile(r".+_\d{5,}-\d+-[a-z_-]+\.png$")
"""ID-ATTEMPT-CHECKS.png; other files in the folder are the user's."""


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


def _opened(path: Path) -> Image.Image | None:
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError):  # what Pillow raises for a file that is no PNG
        return None


def _is_copy(checks: Collection[str], record: Mapping[str, Any]) -> bool:
    return "not_a_copy" in checks or any("copy" in problem for problem in record.get("label_problems", ()))


def remove_pictures(out: Path) -> None:
    """Remove the pictures and their sheet, and the folder unless it holds something else."""
    folder = out / REJECTED
    with suppress(OSError):
        for path in (*_pictures(out), folder / SHEET):
            path.unlink(missing_ok=True)
        remove_temporary_files(folder)
    remove_if_empty(folder)


def _pictures(out: Path) -> list[Path]:
    """Those that ``keep_picture`` has written."""
    return sorted(path for path in (out / REJECTED).glob("*.png") if _NAME.match(path.name) and path.is_file())


def write_sheet(out: Path) -> Path | None:
    """All pictures on one sheet, with their names; None where there are none. Damaged ones are left out."""
    read = {path: picture for path in _pictures(out) if (picture := _opened(path)) is not None}
    if not read:
        return None
    paths, pictures = list(read), list(read.values())
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
