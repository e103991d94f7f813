"""Whether a method from elsewhere is still the one that a run was trained with."""

from collections.abc import Mapping
from pathlib import Path

import medsmith
from medsmith.errors import RunError
from medsmith.formats.json_file import read_json
from medsmith.runs.location import find_run

_SHOWN = 24
_OWN = Path(medsmith.__file__).parent / "methods"


def check_same_method(folder: Path, method: str, recorded: Mapping[str, str]) -> None:
    """Refuses to continue a run with another version of its method: one part of it would be trained by each.

    Args:
        folder: of the run.
        method: its name.
        recorded: versions in the record of the run.

    Raises:
        RunError: the method has changed.
    """
    changed = _changed(method, recorded)
    if changed:
        raise RunError(folder, changed, "one run is trained by one version", "restore it, or choose another folder")


def changed_method_warnings(run: Path | str) -> list[str]:
    """One line if the method of a run has changed since the run began.

    Args:
        run: a run folder, or the name of shipped weights.

    Raises:
        RunError: there is no such run.
        FileError: its record cannot be read.
    """
    record = read_json(find_run(run) / "run.json")
    method, recorded = record.get("method"), record.get("versions")
    changed = _changed(method, recorded) if isinstance(method, str) and isinstance(recorded, Mapping) else ""
    return [f"{run}: {changed}; what it makes may not be what it was trained for"] if changed else []


def _changed(method: str, recorded: Mapping[str, str]) -> str:
    """What has changed; "" if nothing has, or if the run does not know."""
    if (_OWN / method).is_dir() or (_OWN / f"{method}.py").is_file():
        return ""  # of this package, which has a version; the coordinator of a synthesis need not load the networks
    from medsmith.methods.elsewhere import version_of

    for name, now in version_of(method).items():
        before = recorded.get(name, now)
        if before != now:
            return f"{name} was {before[:_SHOWN]} when this run began and is {now[:_SHOWN]}"
    return ""
