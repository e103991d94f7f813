"""A grid over factor and last time of one guide, for one request and one seed, with the measured adherence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product, zip_longest
from pathlib import Path
from typing import Any, final

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.diffusion import derive_seed
from medsmith.errors import CohortError, RequestError, similar
from medsmith.evaluation.pages.image_grid import image_grid
from medsmith.evaluation.pages.sheets import Tile, side_by_side
from medsmith.formats.atomic import write_bytes, write_json
from medsmith.formats.json_file import read_json
from medsmith.formats.lock import hold_output
from medsmith.methods.config import validated
from medsmith.methods.mddpm import Mddpm
from medsmith.methods.mddpm.request import MddpmRequest
from medsmith.methods.mddpm.steering import Steering
from medsmith.networks.threads import one_thread
from medsmith.progress import NullProgress, Progress
from medsmith.synthesis.case_synthesis import (
    load,
    provenance,
    resolve_request,
    sampling_of,
)
from medsmith.synthesis.coordinator import with_hashes
from medsmith.synthesis.damage import check_cases
from medsmith.synthesis.references import absolute, check_output, with_paths
from medsmith.synthesis.steering_pictures import SteeredCase, guide_tiles, image_tiles, legend
from medsmith.synthesis.steering_words import adherence_lines, gray_unit, guide_name
from medsmith.synthesis.tasks import LOADER, CaseTask, CohortSpec, SynthesisRequest, canonical_hash
from medsmith.synthesis.unchanged import of_unchanged_inputs, stamps_of
from medsmith.synthesis.worker import open_cohort

FACTORS = (1 / 4, 1 / 8, 1 / 16, 1 / 32)
UNTILS = (0.0, 0.2, 0.4, 0.6)
PICTURE, RECORD, MEASURES = "sweep.png", "sweep.json", "measures.json"


@final
@dataclass(frozen=True)
class SweepGrid:
    """What is varied.

    Attributes:
        guide: key of the guide in the request: "anatomy", "guides.0", "pathologies.0"; None takes the first of these.
        factors: relative factors, one per column.
        untils: shares of the schedule at the end in which the guide does not act, one per row.
    """

    guide: str | None = None
    factors: Sequence[float] = FACTORS
    untils: Sequence[float] = UNTILS

    def check(self) -> None:
        """Checks that both axes have values in range, without repetitions.

        Raises:
            RequestError: one has not.
        """
        for option, values, high in (("--factors", self.factors, 1.0), ("--untils", self.untils, 0.999)):
            low = 0.0 if option == "--untils" else 1e-4
            if not values or len(set(values)) < len(values) or not all(low <= value <= high for value in values):
                found = ", ".join(map(_written, values)) or "nothing"
                raise RequestError(option, found, f"different values from {low:g} to {high:g}", "write 0.25,0.125")


def sweep(
    run: Path | str,
    out: Path | str,
    grid: SweepGrid,
    *,
    request: Mapping[str, Any],
    seed: int = 0,
    solver: str | None = None,
    steps: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Makes one case per cell and a picture of all, with the adherence under each. A second call continues.

    The cases are written as a cohort, without the checks of ``synthesize``: a cell that fails is worth seeing.

    Args:
        run: a run of mddpm, or the name of shipped weights.
        out: the folder.
        grid: what is varied.
        request: of mddpm, with at least one guide.
        seed: of every cell.
        solver: of the sampler; None uses the method's default.
        steps: of the sampler; None uses the method's default.
        progress: of the cells.

    Returns:
        The picture's path.

    Raises:
        RequestError: the run is no 2-D mddpm, there is no such guide, an axis has no values or one twice, or the
            request is invalid.
        CohortError: the folder holds another sweep or something else, or lies in a folder that is read.
        RunError: a case that was written earlier is missing or damaged.
        MedsmithError: a file cannot be read or written.
    """
    grid.check()
    out, method = Path(out), _method(run)
    validated(MddpmRequest, "request", request)
    base = SynthesisRequest(run=str(run), seed=seed, request=request, solver=solver, steps=steps)
    guide, cells = _guide(request, grid.guide), list(product(grid.untils, grid.factors))
    tasks = _tasks(base, [_changed(request, guide, factor, until) for until, factor in cells])
    check_output(out, base.run, tasks[0].paths.values())
    wanted = {
        "guide": guide,
        "cells": {_name(cell): _recipe_hash(task) for cell, task in zip(cells, tasks, strict=True)},
    }
    spec, shown = resolve_request(base, "cpu").spec, []
    # All cells are steered before the folder belongs to this sweep, so that a request that is refused leaves none.
    steered = [_steered(method, task) for task in tasks]
    with hold_output(out):
        cohort = _opened(out, wanted, spec)
        check_cases(out, cohort.ids, [out])
        with (progress or NullProgress()).task("sweep", len(cells)) as advance:
            for cell, task, steering in zip(cells, tasks, steered, strict=True):
                shown.append(SteeredCase(_made(method, cohort, task, _name(cell)), steering))
                advance(1, "")
        cohort.finish()
        write_json(out / MEASURES, {_name(cell): each.adherence for cell, each in zip(cells, shown, strict=True)})
        write_bytes(out / PICTURE, _picture(method, grid, guide, shown))
    return out / PICTURE


def _method(run: Path | str) -> Mddpm:
    method = load(str(run), LOADER, "cpu")
    if not isinstance(method, Mddpm) or method.fingerprint.dimensions != 2:
        found = f"a run of {method.name} on {method.fingerprint.dimensions}-D images"
        raise RequestError(str(run), found, "a sweep needs mddpm on slices")
    return method


def _guide(request: Mapping[str, Any], chosen: str | None) -> str:
    """The key of the guide that is varied."""
    lists = ("guides", "pathologies")
    there = [f"{name}.{number}" for name in lists for number in range(len(request.get(name) or ()))]
    there = (["anatomy"] if request.get("anatomy") else []) + there
    if not there:
        raise RequestError("sweep", "the request has no guide", cure="name one: --anatomy, --texture or --pathology")
    if chosen is not None and chosen not in there:
        cure = similar(chosen, there, "name one of these")
        raise RequestError("--guide", f"'{chosen}'", f"the request has {', '.join(there)}", cure)
    return chosen or there[0]


def _changed(request: Mapping[str, Any], guide: str, factor: float, until: float) -> dict[str, Any]:
    """The request with other settings of one guide, given relative to size and schedule."""
    name, _, index = guide.partition(".")
    entries = request[name] if index else [request[name]]
    place = int(index or 0)
    kept = {key: value for key, value in entries[place].items() if key not in ("factor", "last_step")}
    entry = {**kept, "relative_factor": factor, "until": until}
    changed = [*entries[:place], entry, *entries[place + 1 :]]
    return {**request, name: changed if index else entry}


def _tasks(base: SynthesisRequest, requests: Sequence[Mapping[str, Any]]) -> list[CaseTask]:
    """A task per cell; all name the same files, which are hashed once."""
    resolved = [resolve_request(base.model_copy(update={"request": request}), "cpu") for request in requests]
    stamps, inputs = stamps_of(resolved[0].references), with_hashes(resolved[0]).inputs
    paths = {reference.key: absolute(reference.path) for reference in resolved[0].references}
    recipes = [each.recipe.model_copy(update={"inputs": inputs}) for each in resolved]
    template = CaseTask(run=base.run, loader=base.loader, recipe=recipes[0], paths=paths, stamps=stamps, index=0)
    return [template.model_copy(update={"recipe": recipe}) for recipe in recipes]


def _recipe_hash(task: CaseTask) -> str:
    return canonical_hash(task.recipe.model_dump(mode="json"))


def _name(cell: tuple[float, float]) -> str:
    until, factor = cell
    return f"factor-{_written(factor)}-until-{_written(until)}".replace(".", "_")


def _written(value: float) -> str:
    """The shortest text that tells a number from every other, so that no two cells have one name."""
    return repr(float(value) + 0.0).removesuffix(".0")  # + 0.0 turns -0.0 into 0.0


def _opened(out: Path, wanted: Mapping[str, Any], spec: CohortSpec) -> Cohort:
    """The cohort of the cells; new, or of an identical call that was interrupted."""
    if (out / RECORD).exists() and read_json(out / RECORD) != wanted:
        raise CohortError(out, "holds another sweep", "one folder has one sweep", "choose a new folder")
    cohort = open_cohort(out, spec)
    if len(cohort) and not (out / RECORD).exists():
        raise CohortError(out, "holds a cohort that is no sweep", cure="choose a new folder")
    write_json(out / RECORD, wanted)
    return cohort


def _steered(method: Mddpm, task: CaseTask) -> Steering:
    return method.steering(_asked(task), _seed(task), sampling_of(method, task.recipe))


def _asked(task: CaseTask) -> MddpmRequest:
    return validated(MddpmRequest, "request", with_paths(task.recipe.request, task.paths))


def _seed(task: CaseTask) -> int:
    return derive_seed(task.recipe.seed, "sweep")


def _made(method: Mddpm, cohort: Cohort, task: CaseTask, name: str) -> Case:
    """The case of a cell, written if it is new."""
    if name not in cohort:
        asked = _asked(task)
        case = of_unchanged_inputs(task, asked, lambda: _synthesized(method, asked, task))
        record = provenance(task, _seed(task), 0, {}, ()) | dict(case.provenance or {})
        cohort.write(replace(case, id=name, provenance=record))
    return cohort[name]


def _synthesized(method: Mddpm, request: MddpmRequest, task: CaseTask) -> Case:
    with one_thread():
        return method.synthesize(request, _seed(task), sampling_of(method, task.recipe))


def _picture(method: Mddpm, grid: SweepGrid, guide: str, shown: Sequence[SteeredCase]) -> bytes:
    """The guides, then one row per last time and one column per factor, with the adherence to the varied guide."""
    cells, guides = [_cell(method, each, guide) for each in shown], [*guide_tiles(method, shown[0]).values()]
    across = len(grid.factors)
    made = [(_stop(until), cells[row * across :][:across]) for row, until in enumerate(grid.untils)]
    pixels = [each.steering.guides[guide].factor for each in shown[:across]]
    names = ["guides", *map(_share, grid.factors, pixels)]
    # The guides stand in a column of their own on the left, as far as there are rows for them.
    rows = [(stop, [first, *tiles]) for first, (stop, tiles) in zip_longest(guides[: len(made)], made)]
    title = f"{guide_name(guide)}: relative factor, and what is left of the schedule when it stops"
    colors = legend(guides, cells, shown[0].case.label_names)
    return image_grid(rows, names, title, colors)


def _share(factor: float, pixels: int) -> str:
    """A relative factor, as a fraction where it is one, and what it is on the grid."""
    parts = Fraction(factor).limit_denominator(128)
    exact = f"{parts}" if float(parts) == factor else _written(factor)
    return f"relative factor {exact} ({pixels} px)"


def _stop(until: float) -> str:
    """The end of the action, as the share of the schedule that is left then."""
    return f"stops at {100 * until:.4g} % of the schedule"


def _cell(method: Mddpm, steered: SteeredCase, guide: str) -> Tile:
    """The new image, to its right the same with its annotation if it has one, and the adherence below."""
    facts = method.fingerprint
    tiles = image_tiles(steered.case, facts.robust_range[0], "")
    lines = adherence_lines(steered.adherence, [guide], list(steered.steering.guides), gray_unit(facts))
    return side_by_side(tiles, "\n".join(lines))
