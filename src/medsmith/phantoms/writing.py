"""Writes a cohort of procedural cases: a seed for each, resuming, and refusing a folder with other content."""

from collections.abc import Mapping
from pathlib import Path

from medsmith.cases.case import Case, Json
from medsmith.cases.cohort import Cohort
from medsmith.cases.integrity import MOST_CASES
from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.errors import CohortError, RequestError
from medsmith.formats.json_file import read_json
from medsmith.formats.lock import hold_output
from medsmith.phantoms.family import PhantomFamily, case_id, case_seed
from medsmith.phantoms.likeness import LIKE, Likeness
from medsmith.progress import NullProgress, Progress, advancing


def write_phantom(
    family: PhantomFamily,
    out: Path,
    count: int,
    seed: int,
    size: int,
    progress: Progress | None = None,
    like: Cohort | None = None,
) -> Cohort:
    """Writes a cohort of `count` cases; a second call resumes an interrupted one.

    Args:
        family: of the cases.
        out: the cohort's folder, new or from an interrupted call with the same arguments.
        count: number of cases, 1 or more.
        seed: of the cohort, 0 or more.
        size: edge of the grid in pixels or voxels.
        progress: of the cases.
        like: cohort whose labels, channel names and gray values they take over (``likeness``).

    Returns:
        The finished cohort.

    Raises:
        RequestError: count, seed or size is out of range.
        CohortError: the folder holds other cases, another process writes to it, or ``like`` shows something else.
    """
    _require_request(family, count, seed, size)
    likeness = None if like is None else Likeness.of(family, like)
    made = family if likeness is None else likeness
    with hold_output(out):
        cohort = Cohort.create(
            out,
            channel_names=made.channel_names,
            label_names=made.label_names,
            file_ending=family.file_ending,
            description=f"Procedural {family.name} phantoms. Synthetic research data, not for diagnosis.",
        )
        seeds = {case_id(family.name, index): case_seed(family.name, seed, index) for index in range(count)}
        taken = {LIKE: None if likeness is None else likeness.record}
        _require_own_cases(
            cohort, family, {name: {**family.provenance(own, size), **taken} for name, own in seeds.items()}
        )
        missing = [name for name in seeds if name not in cohort]
        with (progress or NullProgress()).task(f"phantom {family.name}", count, count - len(missing)) as advance:
            cohort.write_all(missing, advancing(lambda name: _made(family, seeds[name], name, size, likeness), advance))
        cohort.finish()
    return Cohort.open(out)


def _made(family: PhantomFamily, seed: int, name: str, size: int, likeness: Likeness | None) -> Case:
    """One case, with the provenance that tells it from others."""
    phantom = family.make(seed, name, size)
    return phantom if likeness is None else likeness.case(phantom)


def _require_request(family: PhantomFamily, count: int, seed: int, size: int) -> None:
    """Checks the arguments before anything is written."""
    family.require_size(size)
    subject = f"phantom {family.name}"
    if not 1 <= count <= MOST_CASES:
        raise RequestError(subject, f"count {count}", f"a cohort has 1 to {MOST_CASES} cases")
    if seed < 0:
        raise RequestError(subject, f"seed {seed}", "seeds are 0 or more", "choose --seed 0 or more")


def _require_own_cases(cohort: Cohort, family: PhantomFamily, wanted: Mapping[str, Json]) -> None:
    """Refuses a folder with other cases, before anything is written."""
    foreign = [name for name in cohort.ids if name not in wanted]
    if foreign:
        raise CohortError(
            cohort.root,
            f"holds {len(foreign)} other cases, {foreign[0]} first",
            f"{len(wanted)} {family.name} phantoms are requested",
            "choose a new folder",
        )
    for name in cohort.ids:
        _require_same(cohort.root / PROVENANCE / f"{name}.json", wanted[name])


def _require_same(path: Path, wanted: Json) -> None:
    """Refuses to resume a cohort of another seed, size, version or likeness."""
    found = read_json(path)
    changed = [key for key in wanted if found.get(key) != wanted[key]]
    if changed:
        raise CohortError(
            path,
            f"was made with another {'--like' if changed[0] == LIKE else changed[0]}",
            cure="choose a new folder, or the options that started this one",
        )
