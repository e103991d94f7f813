"""Where the viewer of a cohort lies, and links from other pages to it."""

import os
from collections.abc import Mapping
from pathlib import Path

from medsmith.evaluation.pages.page import Link
from medsmith.formats.folders import real_path

SUFFIX = "-view"
"""Ending of the folder beside the cohort."""
STATE, PAGE = "view.json", "index.html"


def view_folder(cohort: Path) -> Path:
    """The folder beside a cohort that ``medsmith view`` writes by default."""
    root = real_path(cohort)
    return root.with_name(root.name + SUFFIX)


def link_to_coming_view(cohort: Path, page: Path) -> Link:
    """A link from a page in a cohort to the viewer beside it, which is mostly made after the page.

    Args:
        cohort: its folder.
        page: the file that will hold the link.
    """
    name = real_path(cohort).name
    text = f"Look at the cases in their viewer (written by: medsmith view {name})"
    return Link(text, relative_address(view_folder(cohort) / PAGE, page.parent))


def links_to_views(cohorts: Mapping[str, Path], page: Path) -> tuple[Link, ...]:
    """Links from a page to the viewers of cohorts, of those that lie beside their cohort.

    Args:
        cohorts: what a cohort is called on the page -> its folder.
        page: the file that will hold the links.
    """
    folders = {name: view_folder(cohort) for name, cohort in cohorts.items()}
    return tuple(
        Link(f"Look at the {name} cases in their viewer", relative_address(folder / PAGE, page.parent))
        for name, folder in folders.items()
        if (folder / STATE).is_file() and (folder / PAGE).is_file()
    )


def relative_address(target: Path, folder: Path) -> str:
    """The path of a file from a folder, with "/" between its parts."""
    return Path(os.path.relpath(real_path(target), real_path(folder))).as_posix()
