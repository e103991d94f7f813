"""Writes docs/commands.md from the commands themselves; with --check, fails where it is out of step."""

import sys
from pathlib import Path

import typer

from medsmith.cli import app

PAGE = Path(__file__).with_name("commands.md")
HEAD = """# Commands

Written by `make docs` from the commands themselves. A user's mistake ends as one line on standard error and exit code
2; an interrupted command exits with 130 and continues when it is run again.
"""


def page() -> str:
    """The whole page."""
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="medsmith")
    parts = [HEAD]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = typer.Context(command, info_name=f"medsmith {name}", terminal_width=100, max_content_width=100)
        parts.append(f"## medsmith {name}\n\n```text\n{command.get_help(inner).strip()}\n```\n")
    return "\n".join(parts)


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
