"""What other installed packages register by entry points: a name each, of one package."""

from importlib.metadata import EntryPoint, entry_points

from medsmith.errors import RequestError


def registered_names(group: str) -> frozenset[str]:
    """All names that installed packages register in a group of entry points."""
    return frozenset(point.name for point in entry_points(group=group))


def registered(group: str, name: str) -> EntryPoint | None:
    """The entry point of a name; None if no package registers it.

    Args:
        group: of entry points, such as ``medsmith.solvers``.
        name: asked for.

    Raises:
        RequestError: several packages register it, and which one is meant cannot be known.
    """
    points = sorted(entry_points(group=group, name=name), key=_package)
    if len(points) > 1:
        found = f"is registered by {' and by '.join(map(_package, points))}"
        raise RequestError(name, found, f"one package for each name of {group}", "uninstall the others")
    return points[0] if points else None


def registered_version(group: str, name: str, kind: str) -> dict[str, str]:
    """What is recorded of a registered ``kind`` of thing: its package and version; nothing where none has the name."""
    point = registered(group, name)
    return {} if point is None or point.dist is None else {f"{kind} {name}": f"{point.dist.name} {point.dist.version}"}


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version} ({point.value})" if point.dist else point.value
