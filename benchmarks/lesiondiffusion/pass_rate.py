"""What share of lesions is as asked in every attribute: at the first draw, and after all draws?

    python benchmarks/lesiondiffusion/pass_rate.py RUN TEMPLATES OUT [COUNT] [SEED]

Lesions of any type that the templates have room for, their reports drawn by the rules: what

    medsmith synthesize lesiondiffusion CASES --templates TEMPLATES --count COUNT --keep-missed

asks for. Lesions that miss their request, are not visible or have no mask count as well; nothing is made at another
place. RUN may be "lesiondiffusion", the shipped weights. OUT keeps every lesion; the same command goes on.
pass-rate.json beside this file has the result; about five seconds of processor time a lesion.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from as_asked import DRAWS
from record import claim

from medsmith.cases.case_ref import CaseRef
from medsmith.diffusion import derive_seed
from medsmith.errors import MedsmithError, RequestError
from medsmith.evaluation.fidelity.bootstrap import proportion
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.machine import facts
from medsmith.methods.lesiondiffusion import LesionDiffusion
from medsmith.methods.lesiondiffusion.request import LesionDiffusionRequest
from medsmith.progress import Advance, ConsoleProgress
from medsmith.runs.checkpoints import load_method

HERE = Path(__file__).parent
COUNT, SEED = 200, 0
Json = Mapping[str, Any]


def main(run: str, templates: Path, out: Path, count: int, seed: int) -> None:
    """Draw the lesions that are missing, and keep the shares."""
    torch.set_num_threads(1)
    method = load_method(run)
    assert isinstance(method, LesionDiffusion)
    out.mkdir(parents=True, exist_ok=True)
    claim(out, method.weights_hash)
    with ConsoleProgress().task("lesions", count) as advance:
        rows = list(drawn(method, templates, out, (count, seed), advance))
    said = {**facts(), "weights": method.weights_hash}
    placed = [row for row in rows if "no place" not in row]
    counts = {"n": len(placed), "no_place": count - len(placed), "most_draws": LesionDiffusionRequest().attempts}
    result = {**counts, **shares(placed), "facts": said}
    write_json(HERE / "pass-rate.json", result)
    print({name: result[name] for name in ("n", "no_place", "passed", "visible")})


def drawn(
    method: LesionDiffusion, templates: Path, out: Path, asked: tuple[int, int], advance: Advance
) -> Iterator[Json]:
    """The records of one lesion after the other, kept in OUT; asked for are their number and the seed of all."""
    count, seed = asked
    for number in range(count):
        kept = out / f"{number:04d}.json"
        if not kept.exists():
            write_json(kept, one_lesion(method, templates, derive_seed(seed, "case", number)))
        advance(1, "")
        yield read_json(kept)


def one_lesion(method: LesionDiffusion, templates: Path, seed: int) -> Json:
    """What the provenance says of a lesion at the first draw and after all draws; or why it has no place."""
    asked = LesionDiffusionRequest(templates=CaseRef(cohort=templates), keep_missed=True)
    once = asked.model_copy(update={"attempts": 1})
    try:
        first = lesion_of(method, once, seed)
    except RequestError as refusal:
        return {"no place": refusal.line}
    return {DRAWS[0]: first, DRAWS[1]: first if first["passed"] else lesion_of(method, asked, seed)}


def lesion_of(method: LesionDiffusion, request: LesionDiffusionRequest, seed: int) -> Json:
    """The record of the lesion of one case."""
    made = method.synthesize(request, seed, method.config.sampling)
    assert made.provenance is not None
    (record,) = made.provenance["lesions"]
    found: Json = record
    return found


def shares(rows: Sequence[Json]) -> Json:
    """Shares of all lesions, of those asked for each attribute, and of each type."""
    both = {draw: [row[draw] for row in rows] for draw in DRAWS}
    names = sorted({verdict["attribute"] for row in rows for verdict in row[DRAWS[1]].get("verdicts", ())})
    return {
        "passed": {draw: share(lesions, lambda lesion: lesion["passed"]) for draw, lesions in both.items()},
        "visible": {draw: share(lesions, lambda lesion: lesion["visible"]) for draw, lesions in both.items()},
        "without_mask": {draw: sum("measured" not in lesion for lesion in lesions) for draw, lesions in both.items()},
        "attributes": {
            name: {draw: of_attribute(lesions, name) for draw, lesions in both.items()} for name in names
        },
        "types": {name: of_type(rows, name) for name in sorted({type_of(row) for row in rows})},
    }  # fmt: skip


def share(lesions: Sequence[Json], holds: Callable[[Json], bool]) -> Json | None:
    """The share of lesions for which something holds, with Wilson's interval; None without lesions."""
    return proportion(sum(map(holds, lesions)), len(lesions)).as_json() if lesions else None


def of_attribute(lesions: Sequence[Json], name: str) -> Json | None:
    """Share of the lesions asked for an attribute that show it."""
    verdicts = [each for lesion in lesions for each in lesion.get("verdicts", ()) if each["attribute"] == name]
    return share(verdicts, lambda verdict: verdict["passed"])


def of_type(rows: Sequence[Json], name: str) -> Json:
    """Lesions of a type: the share as asked, and means of what was requested and measured, HU."""
    own = [row for row in rows if type_of(row) == name]
    last = [row[DRAWS[1]] for row in own]
    numbers = [lesion["measured"].get("measured", {}) for lesion in last if "measured" in lesion]
    return {
        "passed": {draw: share([row[draw] for row in own], lambda lesion: lesion["passed"]) for draw in DRAWS},
        "requested_hu": mean([lesion["requested"].get("ct_value_hu") for lesion in last]),
        "lesion_hu": mean([each.get("mean_hu") for each in numbers]),
        "around_hu": mean([each.get("surroundings_hu") for each in numbers]),
    }


def mean(values: Sequence[float | None]) -> Json | None:
    """Mean of the values that are known, and their number; None if none is."""
    known = [value for value in values if value is not None]
    return {"value": round(fmean(known), 1), "n": len(known)} if known else None


def type_of(row: Json) -> str:
    """The type that a lesion was asked to be of."""
    return str(row[DRAWS[1]]["requested"].get("lesion_type") or "any lesion")


if __name__ == "__main__":
    try:
        count, seed = (*map(int, sys.argv[4:]), *(COUNT, SEED)[len(sys.argv[4:]) :])
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), count, seed)
    except MedsmithError as error:
        sys.exit(error.line)
