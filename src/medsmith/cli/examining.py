"""The command that examines the environment."""

from medsmith.cli.app import app
from medsmith.cli.terminal import terminal


@app.command()
def doctor() -> None:
    """Show versions, devices, memory, disk, weights and optional packages, and how to install what is missing."""
    from medsmith.doctor import examine

    findings = tuple(examine())
    terminal().result([finding.as_json() for finding in findings], [finding.line for finding in findings])
