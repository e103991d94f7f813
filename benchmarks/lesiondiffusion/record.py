"""Which weights the kept results of a benchmark are of."""

from pathlib import Path

from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json


def claim(folder: Path, weights: str) -> None:
    """Notes whose results a folder keeps; stops where they are of other weights."""
    path = folder / "weights.json"
    if path.exists() and read_json(path)["sha256"] != weights:
        raise SystemExit(f"{folder} keeps results of other weights: choose another folder, or delete it")
    write_json(path, {"sha256": weights})
