"""The command that examines the environment."""

from medsmith.cli.app import app, echo


@app.command()
def doctor() -> None:
    """Show versions, devices, memory, disk, weights and optional packages, and how to install what is missing."""
    from medsmith.doctor import examine

    for finding in examine():
        echo(finding.line)
