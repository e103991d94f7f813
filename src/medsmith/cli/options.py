"""Options and arguments that several commands share, each declared once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

NewCohort = Annotated[Path, typer.Argument(help="Output folder for the new cohort.")]
DatasetId = Annotated[
    int | None,
    typer.Option(help="Name the output folder as nnU-Net wants it: 501 makes Dataset501_NAME of NAME."),
]
NewCohortOrShards = Annotated[
    str, typer.Argument(help="Output folder for the new cohort; of --format shards, a folder or URL.")
]
OutputFormat = Annotated[
    Literal["folder", "shards"],
    typer.Option("--format", help="folder: a cohort; shards: tar archives as WebDataset reads them (medsmith unpack)."),
]
ShardCases = Annotated[int, typer.Option(min=100, max=1000, help="Cases of one tar shard, with --format shards.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what would be done, and what it takes by a short trial; nothing is written."),
]
CaseCount = Annotated[int, typer.Option(min=1, help="Total number of cases in the output folder.")]
RunOrWeights = Annotated[
    str, typer.Argument(help="Run folder, or shipped weights by name: lesiondiffusion, lldm, mddpm or pig.")
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same result.")]


def _use_method_files(paths: list[Path] | None) -> list[Path] | None:
    if paths:
        from medsmith.methods.elsewhere import use_method_file

        for path in paths:
            use_method_file(path)
    return paths


MethodFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--method-file",
        callback=_use_method_files,
        help="Python file with a method of your own; its name without .py is that of the method. Repeatable.",
    ),
]
SyntheticForTraining = Annotated[
    Path, typer.Argument(help="Synthetic cohort; its generator must not have seen the test cases.")
]
TestCohort = Annotated[Path, typer.Option(help="Real cohort used only for testing.")]
ResultsFolder = Annotated[Path, typer.Option(help="Output folder for the results; run again to continue.")]
MoreCases = Annotated[Path | None, typer.Option(help="Further real cases, for an arm that shows what they bring.")]
ProceduralCases = Annotated[
    Path | None,
    typer.Option(
        help="Phantoms of the same kind (phantom --like REAL), for an arm that mixes them with the real cases, as R + "
        "S does S."
    ),
]
GeneratorCohort = Annotated[
    Path | None, typer.Option(help="Cohort the generator was trained on, kept apart from TEST; default: REAL.")
]
PatientGroup = Annotated[
    str | None,
    typer.Option(
        help="Regular expression that extracts the patient from a case id. Each case is its own patient if omitted."
    ),
]
OneOfEachPatient = Annotated[
    str | None,
    typer.Option(
        "--group",
        help="Regular expression that extracts the patient from the id of a real case: one case of each is compared, "
        "and the utility of --all keeps the cases of a patient together. Each case is its own patient if omitted.",
    ),
]
Scenes = Literal["apart", "ignored"]
"""As in ``UtilityOptions``."""
TestScenes = Annotated[
    Scenes,
    typer.Option(help="apart: leave out test cases that show a scene of the training cases (near-duplicates)."),
]
Tolerance = Annotated[
    float, typer.Option(help="Tolerance of the surface Dice in mm, or in pixels where the files give no spacing.")
]
Gain = Annotated[float, typer.Option(help="Gain in points of Dice to compute the needed test patients for.")]
CasesOfSubsets = Annotated[
    str | None,
    typer.Option(help="Real cases of a subset, such as 20,40; 0 takes all in one subset. Default: half of them."),
]
SegmenterSteps = Annotated[int, typer.Option(min=2, help="Gradient steps of each network.")]
SegmenterBatch = Annotated[int, typer.Option(min=1, help="Cases per step.")]
MethodName = Annotated[
    str,
    typer.Argument(help="Method: copypaste, ddpm, lesiondiffusion, lldm, mddpm, pig, segguided, or one of your own."),
]
ContextClasses = Annotated[
    str,
    typer.Option(
        metavar="<auto|none|NAME,...>",
        help="Classes that thresholds add below the labels: auto (body and lung where found), none, or names among "
        "body, lung and bone, separated by commas.",
    ),
]
Preset = Annotated[
    str,
    typer.Option(
        metavar="<tiny|best|paper|released>",
        help="Configuration of the generator: tiny (runs on a CPU), best, paper, or released (the authors' code).",
    ),
]
ConfigValues = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a value of the configuration, such as training.batch=8. Repeatable."),
]
RequestFile = Annotated[
    Path | None, typer.Option(help="JSON file with the request for each case; options override it.")
]
Solver = Annotated[
    str | None,
    typer.Option(
        metavar="<ddpm|ddim|dpm++2m|euler|NAME>",
        help="Sampler; NAME: one that another package registers. Default: as configured.",
    ),
]
SamplingSteps = Annotated[int | None, typer.Option(min=1, help="Sampling steps; default: as configured.")]
Attempts = Annotated[int, typer.Option(min=1, help="Largest number of attempts at a case that the checks refuse.")]


def _check_devices(devices: list[str] | None) -> list[str] | None:
    if devices:
        from medsmith.synthesis.devices import check_built

        check_built(devices)  # before anything heavy is imported
    return devices


Devices = Annotated[
    list[str] | None,
    typer.Option(
        callback=_check_devices,
        metavar="<cpu|cuda|cuda:INDEX>",
        help="Device that computes; repeat to share the work. Default: cuda if there is a GPU.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Worker processes; default: one per CPU core or GPU. Does not change the cases."),
]
BatchOfCases = Annotated[
    int,
    typer.Option(
        "--batch",
        min=1,
        max=256,
        help="Cases that a worker makes at once, in joint network passes: meant for GPUs, takes more memory. "
        "Changes the cases by rounding, and is recorded.",
    ),
]
ShardOfCases = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Make part I of N of the cases, I from 1; medsmith merge joins all parts. "
        "Of tar shards: every N-th shard, at one place.",
    ),
]
ExecutorName = Annotated[
    Literal["processes", "ray"],
    typer.Option("--executor", help="processes of this machine, or tasks of a Ray cluster (extra cluster)."),
]
ClusterAddress = Annotated[
    str | None, typer.Option("--address", help="Of the Ray cluster, such as auto; default: Ray on this machine.")
]
