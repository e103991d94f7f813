"""Commands that create and modify cohorts."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medsmith.cli.app import all_numbers, app, cohort_facts, named_for_nnunet, pairs, two_numbers
from medsmith.cli.options import CaseCount, DatasetId, NewCohort, PatientGroup, Seed
from medsmith.cli.preparing import (
    AssumeSpacing,
    ChosenSeries,
    ClassMap,
    GrayOfColor,
    HuOffset,
    KeptKinds,
    LabelValues,
    LeastFraction,
    LeftOutKinds,
    NanFill,
    Percentiles,
    SourceFolder,
    VolumeIndex,
)
from medsmith.cli.terminal import terminal
from medsmith.errors import counted, similar

if TYPE_CHECKING:
    from medsmith.cases.cohort import Cohort

_DIGITS, _SHOWN = 9, 40
"""Of the value of a label, and of what a message shows of it."""


def _tell(cohort: "Cohort") -> None:
    terminal().result(cohort_facts(cohort), [f"{cohort.root}: {counted(len(cohort), 'case')}"])


@app.command()
def phantom(
    family: Annotated[
        str,
        typer.Argument(
            help="Phantom family: breast, chest, chest-healthy, ct, ct-healthy, ct-varied, ct-head, ct-head-healthy, "
            "limb-ct, limb-mr or liver-mr."
        ),
    ],
    out: NewCohort,
    count: CaseCount = 100,
    seed: Seed = 0,
    size: Annotated[
        int,
        typer.Option(
            help="Edge of the image grid: breast 32 to 256 pixels, chest 32 to 512 pixels, ct 48 to 160 voxels, "
            "limb-ct and limb-mr 16 to 160 voxels; "
            "liver-mr 32 to 192 voxels, and 0.4 times as many slices, rounded up to a multiple of 8."
        ),
    ] = 128,
    like: Annotated[
        Path | None,
        typer.Option(help="Cohort whose labels, channel name and gray values the phantoms take over."),
    ] = None,
) -> None:
    """Create a cohort of procedural phantoms with exact ground truth (images, labels and reports)."""
    from medsmith.phantoms.families import phantom as write_cohort

    _tell(write_cohort(family, out, count, seed=seed, size=size, like=like, progress=terminal().progress))


@app.command()
def prepare(  # noqa: PLR0913
    source: SourceFolder,
    out: NewCohort,
    channel: Annotated[
        list[str] | None, typer.Option(help="Channel name, such as CT; repeat for each channel. Inferred if omitted.")
    ] = None,
    label: LabelValues = None,
    class_map: ClassMap = None,
    leave_out: LeftOutKinds = None,
    keep: KeptKinds = None,
    hu_offset: HuOffset = 0.0,
    percentiles: Percentiles = None,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures",
            help="Write slices as 8-bit PNG, turned as radiologists view them, without spacing; needs --percentiles.",
        ),
    ] = False,
    assume_spacing: AssumeSpacing = False,
    volume: VolumeIndex = None,
    nan_fill: NanFill = None,
    dataset_id: DatasetId = None,
    gray_of_color: GrayOfColor = False,
    series: ChosenSeries = None,
    fraction: LeastFraction = 0.5,
) -> None:
    """Convert a folder of images, label maps or both to a cohort.

    What is inferred is printed and recorded in OUT/prepare.json.
    """
    from medsmith.preparation import PrepareOptions, ReadOptions
    from medsmith.preparation import prepare as prepare_cohort

    labels = pairs("--label", label or [])
    options = PrepareOptions(
        channel_names=tuple(channel or ()),
        label_names=_label_values(labels),
        segment_names={name: value for name, value in labels.items() if not (value.isdecimal() and value.isascii())},
        class_map=class_map,
        series=tuple(series or ()),
        fraction=fraction,
        leave_out=frozenset(leave_out or ()),
        keep=frozenset(keep or ()),
        hu_offset=hu_offset,
        percentiles=two_numbers("--percentiles", percentiles) if percentiles is not None else None,
        pictures=pictures,
        read=ReadOptions(assume_spacing=assume_spacing, volume=volume, nan_fill=nan_fill, gray_of_color=gray_of_color),
    )
    out = named_for_nnunet(out, dataset_id)
    _tell(prepare_cohort(source, out, options, report=terminal().note, progress=terminal().progress))


def _label_values(labels: Mapping[str, str]) -> dict[str, int]:
    """The labels that are given by number; the others name segments of DICOM or Slicer."""
    from medsmith.errors import RequestError

    found = {name: value for name, value in labels.items() if value.isdecimal() and value.isascii()}
    for name, value in found.items():
        if len(value) > _DIGITS:
            raise RequestError("--label", f"{name}={value[:_SHOWN]}", "a value is a whole number", "write name=value")
    return {name: int(value) for name, value in found.items()}


@app.command()
def split(
    source: Annotated[Path, typer.Argument(help="Cohort to split.")],
    train: Annotated[Path, typer.Argument(help="Output folder for the training cohort.")],
    test: Annotated[Path, typer.Argument(help="Output folder for the test cohort.")],
    test_fraction: Annotated[
        float | None,
        typer.Option(help="Fraction of the cases that go to the test cohort, between 0 and 1; default: 0.2."),
    ] = None,
    group: PatientGroup = None,
    by_scene: Annotated[
        bool, typer.Option("--by-scene", help="Keep near-duplicate images, such as neighboring slices, on one side.")
    ] = False,
    patients: Annotated[
        Path | None, typer.Option(help="Text file with the test patients, one per line, as --group names them.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Split a cohort into a training and a test cohort, by case, by patient, by scene or by a list."""
    from medsmith.cases.cohort import Cohort
    from medsmith.errors import RequestError
    from medsmith.formats.opening import read_lines
    from medsmith.preparation import split as split_cohort

    if patients is not None and test_fraction is not None:
        raise RequestError("--patients", "--test-fraction is given as well", "one of the two", "choose one")
    cohort, scenes = Cohort.open(source), None
    if by_scene:
        from medsmith.data.scenes import scenes_of

        scenes = scenes_of(cohort, progress=terminal().progress)
    sides = split_cohort(
        cohort,
        train,
        test,
        test_fraction=0.2 if test_fraction is None else test_fraction,
        seed=seed,
        group=group,
        scenes=scenes,
        patients=None if patients is None else read_lines(patients),
        report=terminal().note,
        progress=terminal().progress,
    )
    facts = {name: cohort_facts(side) for name, side in zip(("train", "test"), sides, strict=True)}
    terminal().result(facts, ["; ".join(f"{side.root}: {counted(len(side), 'case')}" for side in sides)])


@app.command()
def crop(
    source: Annotated[Path, typer.Argument(help="Cohort to crop.")],
    out: NewCohort,
    mm: Annotated[
        str, typer.Option(metavar="X,Y,Z", help="Edges of the crop in mm: left to right, front to back, foot to head.")
    ],
    place: Annotated[
        str,
        typer.Option(
            metavar="<foreground|center|sliding>",
            help="foreground: around the labels; center: of the scan; sliding: crops that cover it.",
        ),
    ] = "foreground",
    overlap: Annotated[float, typer.Option(help="Smallest share that sliding crops have in common.")] = 0.25,
) -> None:
    """Crop scans to one field of view. Run the command again to continue after an interruption."""
    from typing import get_args

    from medsmith.errors import RequestError
    from medsmith.preparation.crop import CropOptions, Place
    from medsmith.preparation.crop import crop as crop_cohort

    edges, chosen = all_numbers("--mm", mm), next((known for known in get_args(Place) if known == place), None)
    if len(edges) != 3:
        raise RequestError("--mm", f"'{mm}'", "three edges separated by commas", "write 80,80,64, say")
    if chosen is None:
        raise RequestError(
            "--place",
            f"'{place}'",
            f"one of {', '.join(get_args(Place))}",
            similar(place, get_args(Place), "choose one"),
        )
    options = CropOptions((edges[0], edges[1], edges[2]), chosen, overlap)
    _tell(crop_cohort(source, out, options, report=terminal().note, progress=terminal().progress))


@app.command()
def merge(
    out: Annotated[Path, typer.Argument(help="Output folder for the merged cohort.")],
    sources: Annotated[list[Path], typer.Argument(help="Two or more cohorts to merge.")],
    dataset_id: DatasetId = None,
) -> None:
    """Merge cohorts into one. Labels of the same name become one label. Shards of a synthesis become the whole."""
    from medsmith.preparation import merge as merge_cohorts
    from medsmith.synthesis.shards import are_shards, join_shards

    out = named_for_nnunet(out, dataset_id)
    if are_shards(sources):
        _tell(join_shards(sources, out, terminal().progress))
        return
    _tell(merge_cohorts(sources, out, report=terminal().note, progress=terminal().progress))


@app.command()
def select(
    source: Annotated[Path, typer.Argument(help="Cohort, such as one that synthesize made.")],
    out: NewCohort,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            help="Threshold, such as 'foreground_share>0'; an unknown measure lists the known ones. Repeatable."
        ),
    ] = None,
) -> None:
    """Keep the cases that pass every rule, and show what is lost by size and type: thresholds keep the easy cases."""
    from medsmith.preparation.select import select as select_cases

    selected = select_cases(source, out, rule or (), report=terminal().note, progress=terminal().progress)
    terminal().result(selected.as_json(), selected.lines)


@app.command()
def describe(
    cohort: Annotated[Path, typer.Argument(help="Cohort with lesion labels: annotated CT, or label maps alone.")],
    out: Annotated[
        Path | None, typer.Option(help="Output folder for the reports; default: reports/ of the cohort.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite existing reports.")] = False,
) -> None:
    """Measure every lesion and write structured reports. Run the command again to continue after an interruption.

    Lesions are the labels that are named so (lesion, tumor, nodule, cyst, ...); all others are organs.
    """
    from medsmith.measurement.reports import describe as describe_cohort

    found = describe_cohort(cohort, out, replace=replace, progress=terminal().progress)
    terminal().result(found.as_json(), found.lines)
