"""Writes docs/commands.md from the commands themselves; with --check, fails where it is out of step."""

import sys
from collections.abc import Iterator
from pathlib import Path

import typer
from typer.core import TyperCommand, TyperGroup

from medsmith.cli import app

PAGE = Path(__file__).with_name("commands.md")
HEAD = """# Commands

Written by `make docs` from the commands themselves. A user's mistake ends as one line on standard error and exit code
2; an interrupted command exits with 130 and continues when it is run again.
"""


def _sections(command: TyperCommand | TyperGroup, path: str) -> Iterator[str]:
    """A command's help, or that of every command of a group."""
    context = typer.Context(command, info_name=path, terminal_width=100, max_content_width=100)
    if isinstance(command, TyperGroup):
        for name in command.list_commands(context):
            inner = command.commands[name]
            assert isinstance(inner, TyperCommand | TyperGroup)
            yield from _sections(inner, f"{path} {name}")
    else:
        yield f"## {path}\n\n```text\n{command.get_help(context).strip()}\n```\n"


def page() -> str:
    """The whole page."""
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    return "\n".join((HEAD, *_sections(command, "medsmith")))


def main() -> int:
    """Write the page, or compare it."""
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text)
        return 0
    if PAGE.is_file() and PAGE.read_text() == text:
        return 0
    print(f"{PAGE.name} is out of step with the commands: run make docs", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
