"""Commands for shape spaces of label maps."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medsmith.cli.app import app, cohort_facts, pairs
from medsmith.cli.options import CaseCount, ContextClasses, NewCohort, Seed
from medsmith.cli.terminal import terminal
from medsmith.errors import counted

if TYPE_CHECKING:
    from medsmith.anatomy import ShapeSpace
    from medsmith.anatomy.record import SpaceRecord

group = typer.Typer(help="Learn the shapes of label maps, and draw new maps and guidance images.", no_args_is_help=True)
app.add_typer(group, name="anatomy", rich_help_panel=None)

Space = Annotated[Path, typer.Argument(help="File of the shape space, such as chest.safetensors.")]


@group.command("fit")
def fit(
    cohort: Annotated[Path, typer.Argument(help="Cohort of labeled slices, or of images alone.")],
    space: Space,
    points: Annotated[int, typer.Option(help="Control points per contour, 8 to 512.")] = 48,
    variance: Annotated[float, typer.Option(help="Share of the variance to keep, above 0, at most 1.")] = 0.98,
    context: ContextClasses = "auto",
    gray: Annotated[
        list[str] | None,
        typer.Option(
            help="Gray value of a class in guidance images as name=value, one value per channel separated by commas; "
            "repeat for each class. Default: its mean over the cohort."
        ),
    ] = None,
) -> None:
    """Learn a shape space: B-spline contours of all classes and their principal components."""
    from medsmith.anatomy import ShapeSpace
    from medsmith.anatomy.space_file import check_free
    from medsmith.cases.cohort import Cohort
    from medsmith.formats.folders import check_outside

    values = _gray_values(gray or [])
    check_outside(space, [cohort])
    check_free(space)
    fitted = ShapeSpace.fit(
        Cohort.open(cohort), points=points, variance=variance, context=context, progress=terminal().progress
    ).with_gray_values(values)
    fitted.save(space)
    _tell(fitted.record, {"space": space})


@group.command("sample")
def sample(
    space: Space,
    out: NewCohort,
    count: CaseCount,
    seed: Seed = 0,
    size: Annotated[
        int | None, typer.Option(help="Pixels along each edge; default: the median size of the training slices.")
    ] = None,
    spread: Annotated[
        float, typer.Option(help="Largest deviation from the mean, in standard deviations of each component; 0 to 5.")
    ] = 2.0,
    images: Annotated[bool, typer.Option("--images", help="Write the guidance images as well.")] = False,
) -> None:
    """Draw a cohort of label maps from a shape space. Run the command again to continue after an interruption."""
    from medsmith.anatomy import ShapeSpace
    from medsmith.anatomy.writing import write_anatomies

    shape = None if size is None else (size, size)
    loaded, progress = ShapeSpace.load(space), terminal().progress
    drawn = write_anatomies(loaded, out, count, seed, size=shape, spread=spread, images=images, progress=progress)
    terminal().result(cohort_facts(drawn), [f"{len(drawn)} anatomies in {out}"])


@group.command("show")
def show(
    space: Space,
    out: Annotated[
        Path | None, typer.Option(help="PNG picture of the mean and the first components at -2 and +2 sd.")
    ] = None,
) -> None:
    """Print the facts of a shape space, and draw its first components."""
    from medsmith.anatomy import ShapeSpace

    loaded = ShapeSpace.load(space)
    if out is not None:
        _draw(loaded, out)
    _tell(loaded.record, {"space": space, "picture": out})


def _draw(space: "ShapeSpace", out: Path) -> None:
    from medsmith.anatomy.picture import draw_components
    from medsmith.errors import FileError
    from medsmith.formats.atomic import write_bytes

    if out.exists():
        raise FileError(out, "exists", cure="choose another file")
    write_bytes(out, draw_components(space))


def _gray_values(assignments: list[str]) -> dict[str, tuple[float, ...]]:
    from medsmith.errors import RequestError

    try:
        return {name: tuple(map(float, text.split(","))) for name, text in pairs("--gray", assignments).items()}
    except ValueError:
        found = " ".join(assignments)
        raise RequestError("--gray", f"'{found}'", "values are numbers", "write name=value") from None


def _tell(record: "SpaceRecord", files: Mapping[str, Path | None]) -> None:
    """What a space holds, and the files that were read or written."""
    picture = files.get("picture")
    lines = [*_lines(record), *([f"picture: {picture}"] if picture else [])]
    terminal().result({**record.model_dump(mode="json"), **files}, lines)


def _lines(record: "SpaceRecord") -> Iterator[str]:
    kept = f"{len(record.explained)} components with {sum(record.explained):.1%} of the variance"
    yield f"{record.cases} slices, {record.points} control points per contour, {kept}"
    for name, value in record.region_names.items():
        outlines = [slot for slot in record.slots if slot.value == value and not slot.hole]
        holes = [slot for slot in record.slots if slot.value == value and slot.hole]
        kind = "context" if name in record.context_names else "label"
        gray = ", ".join(f"{number:.4g}" for number in record.gray_values.get(name, ()))
        drawn = f"{counted(len(outlines), 'outline')}, {counted(len(holes), 'hole')}"
        shapes = drawn if value else "outside all classes"
        yield f"  {name} ({kind} {value}): {shapes}; gray value {gray or 'unknown'}"
    fragments, contours = counted(record.fragments, "fragment"), counted(record.left_out, "contour")
    yield f"left out: {fragments}, {contours} that too few slices have"
    found = record.rejection
    counts = f"{found.crossing} cross themselves, {found.overlapping} overlap"
    yield f"rejected: {found.rate:.0%} of {found.drawn} drawn anatomies ({counts})"
