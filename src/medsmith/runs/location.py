"""Where runs lie: folders, and the shipped weights by their names."""

from pathlib import Path

from medsmith.errors import RunError, similar

SHIPPED = Path(__file__).parents[1] / "weights"


def find_run(run: Path | str) -> Path:
    """The folder of a run or of shipped weights.

    Raises:
        RunError: neither is found.
    """
    if (Path(run) / "run.json").is_file():
        return Path(run)
    shipped = sorted(path.name for path in SHIPPED.glob("*") if (path / "run.json").is_file())
    if str(run) in shipped:
        return SHIPPED / str(run)
    cure = similar(str(run), shipped, "train one first")
    found = "no run.json in it" if Path(run).exists() else "no folder of this name"
    raise RunError(run, found, f"shipped weights: {', '.join(shipped) or 'none'}", cure)
