"""Writes a cohort of drawn anatomies."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medsmith import __version__
from medsmith.anatomy.drawing import SPREAD
from medsmith.anatomy.shape_space import AnatomyMap, ShapeSpace, check_draw
from medsmith.cases.case import Case, Json
from medsmith.cases.cohort import Cohort
from medsmith.cases.integrity import MOST_CASES
from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.errors import CohortError, RequestError
from medsmith.formats.json_file import read_json
from medsmith.formats.lock import hold_output
from medsmith.geometry import Geometry
from medsmith.progress import NullProgress, Progress, advancing

_WHITEST = 2**16 - 1
_NOTICE = "Synthetic research data, not for diagnosis"


def case_seed(space_hash: str, seed: int, index: int) -> int:
    """The seed of one case: the first 53 bits of a SHA-256, which JSON readers keep exactly.

    It does not depend on the number of cases, so a shorter cohort is a prefix of a longer one.
    """
    digest = hashlib.sha256(f"medsmith anatomy {space_hash} {seed} {index}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 11


def write_anatomies(
    space: ShapeSpace,
    out: Path,
    count: int,
    seed: int,
    *,
    size: tuple[int, int] | None = None,
    spread: float = SPREAD,
    images: bool = False,
    progress: Progress | None = None,
) -> Cohort:
    """Writes label maps drawn from a space; a second call resumes an interrupted one.

    Labels are those of the training cohort and the context classes. Slices are NIfTI files where the spacing of the
    training cohort is known, else PNG files.

    Args:
        space: to draw from.
        out: the cohort's folder, new or from an interrupted call with the same arguments.
        count: number of cases, 1 or more.
        seed: of the cohort, 0 or more.
        size: pixels along x and y; None for the median size of the training slices.
        spread: largest deviation from the mean per component, in standard deviations.
        images: whether the guidance images are written as images of the cases.
        progress: of the cases.

    Raises:
        RequestError: an argument is out of range, or the space has no gray values for the images, or
            values that a picture cannot hold.
        CohortError: the folder holds other cases, or another process writes to it.
    """
    if not 1 <= count <= MOST_CASES:
        raise RequestError("--count", f"{count}", f"a cohort has 1 to {MOST_CASES} cases", "choose another number")
    size = size or space.record.size
    check_draw(seed, size, spread)
    channels = _channel_names(space) if images else ()
    if images:
        _check_gray(space)
    wanted = {
        f"anatomy-{index:05d}": _provenance(space, case_seed(space.content_hash, seed, index), size, spread, images)
        for index in range(count)
    }
    with hold_output(out):
        cohort = Cohort.create(
            out,
            channel_names=channels,
            label_names=space.record.region_names,
            file_ending=_ending(space),
            description=f"Label maps drawn from a shape space. {_NOTICE}.",
        )
        _require_own_cases(cohort, wanted)

        def drawn(name: str) -> Case:
            facts = wanted[name]
            return _case(space, name, space.sample(facts["seed"], size, spread), facts, cohort)

        with (progress or NullProgress()).task("draw anatomies", count, len(cohort)) as advance:
            cohort.write_all([name for name in wanted if name not in cohort], advancing(drawn, advance))
        cohort.finish()
    return Cohort.open(out)


def _ending(space: ShapeSpace) -> str:
    return ".png" if space.record.extent_mm is None else ".nii.gz"


def _channel_names(space: ShapeSpace) -> tuple[str, ...]:
    names = space.record.channel_names
    channels = len(next(iter(space.record.gray_values.values()), ()))
    if not channels:
        raise RequestError("--images", "the space has no gray values", "it was fitted on labels alone", "give --gray")
    return names or tuple(f"channel_{index}" for index in range(channels))


def _check_pixels(space: ShapeSpace) -> None:
    """Checks that pictures can hold the gray values, before anything is written."""
    for name, numbers in space.record.gray_values.items():
        if not all(0 <= round(number) <= _WHITEST for number in numbers):
            found = f"the gray value of {name} is {', '.join(f'{number:g}' for number in numbers)}"
            cure = "fit it with another --gray, or leave --images out"
            raise RequestError("--images", found, f"PNG holds 0 to {_WHITEST}", cure)


def _provenance(space: ShapeSpace, seed: int, size: tuple[int, int], spread: float, images: bool) -> Json:
    return {
        "synthetic": True,
        "notice": _NOTICE,
        "method": "anatomy",
        "space": space.content_hash,
        "seed": seed,
        "size": list(size),
        "spread": spread,
        "images": images,
        "medsmith": __version__,
    }


def _case(space: ShapeSpace, name: str, drawn: AnatomyMap, facts: Json, cohort: Cohort) -> Case:
    image = space.guidance_image(drawn)[..., None] if cohort.channel_names else None
    stored: np.dtype[Any] = np.dtype(np.float32)
    if image is not None and cohort.file_ending == ".png":
        highest = max(max(numbers) for numbers in space.record.gray_values.values())
        stored = np.dtype(np.uint8 if highest <= np.iinfo(np.uint8).max else np.uint16)
        image = np.rint(image)
    return Case(
        name,
        image,
        drawn.regions[..., None],
        _geometry(space, drawn.regions.shape),
        cohort.channel_names,
        cohort.label_names,
        stored,
        provenance={**facts, "attempts": drawn.attempts},
    )


def _geometry(space: ShapeSpace, size: tuple[int, ...]) -> Geometry:
    """The grid of a slice: the median field of view of the training slices, if it is known."""
    shape = size[0], size[1], 1
    extent = space.record.extent_mm
    if extent is None:
        return Geometry.plain(shape)
    return Geometry(shape, np.diag([extent[0] / size[0], extent[1] / size[1], 1.0, 1.0]))


def _require_own_cases(cohort: Cohort, wanted: Mapping[str, Json]) -> None:
    """Refuses a folder with other cases, before anything is written."""
    foreign = [name for name in cohort.ids if name not in wanted]
    if foreign:
        found = f"holds {len(foreign)} other cases, {foreign[0]} first"
        raise CohortError(cohort.root, found, f"{len(wanted)} anatomies are requested", "choose a new folder")
    for name in cohort.ids:
        path = cohort.root / PROVENANCE / f"{name}.json"
        written = read_json(path)
        changed = [key for key, value in wanted[name].items() if written.get(key) != value]
        if changed:
            cure = "choose a new folder, or the options that started this one"
            raise CohortError(path, f"was made with another {changed[0]}", cure=cure)


def _check_gray(space: ShapeSpace) -> None:
    """Check before anything is written that every class has a gray value that its file can hold."""
    lacking = [name for name in space.record.region_names if name not in space.record.gray_values]
    if lacking:
        found = f"no gray value of {', '.join(lacking)}"
        raise RequestError("--images", found, "every class needs one", "fit the space with --gray NAME=VALUE")
    if _ending(space) == ".png":
        _check_pixels(space)
