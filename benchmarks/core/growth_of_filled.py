"""As growth.py, for as many cases as it would take hours to make: the folder is filled with copies of a few.

A few cases are made; the others are copies of their files under other ids, with provenance that has the index, the seed
and the file names of each, so that every case is whole and verified as such. Of such a folder is measured: 500 cases
more, the same call with nothing to make, opening, checking, merging with ten cases, and joining as the one part of a
synthesis. Tar shards and ``unpack`` are measured of cases that are made: 100,000 take more than an hour.

Writes growth_of_filled.json beside this file, after each step; rows of steps that are not measured again stay.
Run: python benchmarks/core/growth_of_filled.py FOLDER [COUNT ...] [--steps "tar shards,unpack"]
"""

import argparse
import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import growth
from growth import Step

HERE = Path(__file__).parent
COUNTS = (1000, 10_000, 100_000)
MADE, MORE = 20, 500


def filled(folder: Path, count: int) -> None:
    """A folder with so many cases, all but the first of them copies."""
    growth.synthesize(folder, min(MADE, count))
    from medsmith.diffusion import derive_seed

    whole = folder / "whole"
    texts = [(whole / "provenance" / f"squares_{index:05d}.json").read_text() for index in range(MADE)]
    records = [json.loads(text) for text in texts]
    files = [{name: (whole / name).read_bytes() for name in record["files"]} for record in records]
    for index in range(MADE, count):
        kind, id = index % MADE, f"squares_{index:05d}"
        old, text = f"squares_{kind:05d}", texts[kind]
        text = text.replace(old, id).replace(f'"index": {kind},', f'"index": {index},')
        text = text.replace(records[kind]["case_seed"], str(derive_seed(0, id, 0)))
        for name, data in files[kind].items():
            (whole / name.replace(old, id)).write_bytes(data)
        (whole / "provenance" / f"{id}.json").write_text(text)
    for name, key in (("synthesis.json", "count"), ("dataset.json", "numTraining")):
        facts = json.loads((whole / name).read_text()) | {key: count}
        (whole / name).write_text(json.dumps(facts, indent=2) + "\n")


def more(folder: Path, count: int) -> None:
    growth.synthesize(folder, count + MORE)


def open_folder(folder: Path, count: int) -> None:
    growth.open_folder(folder, count + MORE)


def merge(folder: Path, count: int) -> None:
    growth.merge(folder, count + MORE)


def join(folder: Path, count: int) -> None:
    growth.join(folder, count + MORE)


STEPS: Mapping[str, Step] = {
    "nothing": growth.nothing,
    "fill": filled,
    "500 cases more": more,
    "again": more,
    "open": open_folder,
    "check": growth.check,
    "merge": merge,
    "join parts": join,
    "tar shards": growth.shards,
    "unpack": growth.unpack,
}


def cases_of(step: str, count: int) -> int:
    """Cases that a step reads or writes."""
    if step in ("nothing", "fill", "tar shards", "unpack"):
        return count
    return count + MORE + growth.FEW * (step == "merge")


def measure_all(
    folder: Path, count: int, steps: Collection[str], rows: dict[str, dict[str, float]], save: Callable[[], None]
) -> None:
    """The steps for so many cases; ``rows`` receives each when it is done."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "run").mkdir(parents=True)
    growth.measured("ten cases", growth.ten_cases, folder, growth.FEW)
    for name in (name for name in STEPS if name in steps):
        if name == "join parts":
            growth.as_one_part(folder)
        rows[name] = {"cases": cases_of(name, count)} | growth.measured(name, STEPS[name], folder, count)
        save()
        for made in ("merged", "joined", "unpacked"):
            shutil.rmtree(folder / made, ignore_errors=True)
    shutil.rmtree(folder)


def main(folder: Path, counts: Sequence[int], steps: Collection[str]) -> None:
    """Measure and write."""
    growth.nothing(folder, 0)
    out = HERE / "growth_of_filled.json"
    cases = json.loads(out.read_text())["cases"] if out.exists() else {}

    def save() -> None:
        out.write_text(json.dumps(growth.result_of(Path(__file__).name, cases), indent=2) + "\n")

    for count in counts:
        measure_all(folder / str(count), count, steps, cases.setdefault(str(count), {}), save)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("counts", type=int, nargs="*", default=COUNTS)
    parser.add_argument("--steps", default=",".join(STEPS), help="those to measure, separated by commas")
    asked = parser.parse_args()
    main(asked.folder, asked.counts, asked.steps.split(","))
