"""Tables and numbers of reports in Markdown."""

from collections.abc import Iterable, Mapping, Sequence


def number(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a head."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def source(facts: Mapping[str, str]) -> str:
    """Where a figure is from.

    Args:
        facts: of ``medsmith.machine.facts``.
    """
    return f"`{facts['command']}`; {facts['machine']}, {facts['date']}, {facts['versions']}."
