"""Commands that evaluate synthetic cohorts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from medsmith.cli.app import app
from medsmith.cli.checks import check_comparable, check_given_roles
from medsmith.cli.options import (
    Gain,
    GeneratorCohort,
    MoreCases,
    OneOfEachPatient,
    PatientGroup,
    ProceduralCases,
    ResultsFolder,
    SegmenterBatch,
    SegmenterSteps,
    SyntheticForTraining,
    TestCohort,
    TestScenes,
    Tolerance,
)
from medsmith.cli.terminal import terminal

Network = Literal["unet", "resunet", "wide_resunet", "dynunet", "vnet"]
"""``Architecture`` of medsmith.evaluation.downstream, which takes seconds to load."""
Mirror = Annotated[
    float | None,
    typer.Option(
        help="Probability of mirroring left to right; default: 0.5, or 0 where a label names a side of the body."
    ),
]
GridEdge = Annotated[
    int | None,
    typer.Option(
        min=16,
        help="Edge of the training grid, a multiple of 8 (vnet: 16); default: the smaller image, at most 64 for "
        "volumes.",
    ),
]


@app.command()
def evaluate(
    real: Annotated[Path, typer.Argument(help="Real reference cohort, preferably not used to train the generator.")],
    synthetic: Annotated[Path, typer.Argument(help="Synthetic cohort to evaluate.")],
    out: Annotated[Path, typer.Option(help="Output folder for the report.")],
    training: Annotated[
        Path | None, typer.Option(help="Cohort the generator was trained on, searched for copies; default: REAL.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=16,
            max=4096,
            help="Edge in pixels or voxels of the square or cube that all images are resampled to; default: the "
            "smaller median image size.",
        ),
    ] = None,
    extractor: Annotated[
        list[str] | None,
        typer.Option(
            help="Features to compare: inception, radiomics, astra-resnet152 (CT), medicalnet-resnet50, "
            "radimagenet-resnet50, or NAME=PATH with the file of its weights; repeat for several. Default: inception, "
            "if installed, and radiomics."
        ),
    ] = None,
    group: OneOfEachPatient = None,
    all_: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Everything on one page: distances, label fidelity and utility (networks trained on --training, "
            "tested on REAL), privacy (REAL held out). Trains networks for hours; run again to continue.",
        ),
    ] = False,
) -> None:
    """Compare a synthetic cohort with a real one: feature distances, copied cases, masks, example images."""
    check_comparable(real, synthetic, training, group)
    if all_:
        _everything(real, synthetic, out, training, size, extractor or (), group)
        return
    with terminal().loading():
        from medsmith.cases.cohort import Cohort
        from medsmith.evaluation import evaluate as compare
        from medsmith.evaluation import summary_lines
        from medsmith.evaluation.fidelity.named_extractors import extractors_named

    training_cohort = Cohort.open(training) if training else None
    result = compare(
        Cohort.open(real),
        Cohort.open(synthetic),
        out,
        training=training_cohort,
        size=size,
        extractors=extractors_named(extractor or ()),
        group=group,
        progress=terminal().progress,
    )
    page = out / "evaluation.html"
    terminal().result({**result.as_json(), "report": page}, [*summary_lines(result), f"report: {page}"])


def _everything(
    real: Path,
    synthetic: Path,
    out: Path,
    training: Path | None,
    size: int | None,
    extractors: Sequence[str],
    group: str | None,
) -> None:
    """``evaluate --all``.

    Raises:
        RequestError: no training cohort.
    """
    from medsmith.errors import RequestError
    from medsmith.lazy_imports import import_monai

    if training is None:
        raise RequestError("--all", "no --training", "the generator's training cohort", "name it")
    import_monai()
    from medsmith.evaluation.downstream import UtilityOptions
    from medsmith.evaluation.fidelity.named_extractors import extractors_named
    from medsmith.evaluation.overall import PAGE, evaluate_all
    from medsmith.evaluation.pages.overall_page import verdicts

    found = evaluate_all(
        real,
        synthetic,
        out,
        training=training,
        size=size,
        extractors=extractors_named(extractors),
        options=UtilityOptions(group=group),
        progress=terminal().progress,
        report=terminal().note,
    )
    lines = [*verdicts(found.evaluation, found.labels, found.privacy, found.utility), f"report: {out / PAGE}"]
    terminal().result({**found.as_json(), "report": out / PAGE}, lines)


@app.command()
def privacy(
    synthetic: Annotated[Path, typer.Argument(help="Synthetic cohort to search, of any generator.")],
    training: Annotated[Path, typer.Option(help="Cohort that the generator was trained on.")],
    out: Annotated[Path, typer.Option(help="Output folder for the report; run again to continue.")],
    held_out: Annotated[
        Path | None,
        typer.Option(help="Real cohort that the generator was not trained on: sets thresholds, tests membership."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Label of the lesions; default: all labels but the background.")
    ] = None,
) -> None:
    """Search a synthetic cohort for copies of training cases; measure membership inference by distance."""
    from medsmith.cases.cohort import Cohort
    from medsmith.evaluation.privacy.inputs import check_cohorts

    given = {"synthetic": synthetic, "training": training} | ({"held-out": held_out} if held_out else {})
    named = {name: Cohort.open(folder) for name, folder in given.items()}
    check_cohorts(named)
    with terminal().loading():
        from medsmith.evaluation.privacy import measure_privacy, summary_lines

    result = measure_privacy(
        named["synthetic"],
        named["training"],
        out,
        held_out=named.get("held-out"),
        label=label,
        progress=terminal().progress,
    )
    page = out / "privacy.html"
    terminal().result({**result.as_json(), "page": page}, (*summary_lines(result), f"report: {page}"))


@app.command()
def utility(  # noqa: PLR0913
    real: Annotated[Path, typer.Argument(help="Real cohort to train segmentation networks on.")],
    synthetic: SyntheticForTraining,
    test: TestCohort,
    out: ResultsFolder,
    more: MoreCases = None,
    procedural: ProceduralCases = None,
    training: GeneratorCohort = None,
    cases: Annotated[
        str | None,
        typer.Option(help="Real cases of a subset, such as 20,40; 0 takes all in one subset. Default: half of them."),
    ] = None,
    subsets: Annotated[int, typer.Option(min=1, help="Subsets drawn of each size.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Networks of each arm and subset.")] = 2,
    share: Annotated[
        list[float] | None,
        typer.Option(help="Share of synthetic cases in each batch of R + S; repeat to compare several. Default: 0.5."),
    ] = None,
    weight: Annotated[float, typer.Option(help="Weight of the loss of a synthetic case; that of a real one is 1.")] = 1,
    mirror: Mirror = None,
    group: PatientGroup = None,
    scenes: TestScenes = "apart",
    tolerance: Tolerance = 2.0,
    gain: Gain = 2.0,
    size: GridEdge = None,
    network: Annotated[Network, typer.Option(help="Architecture of the segmentation networks.")] = "resunet",
    steps: SegmenterSteps = 1000,
    batch: SegmenterBatch = 16,
) -> None:
    """Train segmentation networks on real, synthetic and mixed data with equal steps; compare them on test patients."""
    check_given_roles(real, synthetic, test)
    with terminal().loading():
        from medsmith.lazy_imports import import_monai

        import_monai()
        from medsmith.evaluation.downstream import SegmenterConfig, UtilityOptions, summary_lines
        from medsmith.evaluation.downstream import utility as try_out
        from medsmith.methods.config import validated

    drawn = {"cases": _whole_numbers(cases), "subsets": subsets, "seeds": seeds, "group": group, "scenes": scenes}
    learned = {"shares": tuple(share or (0.5,)), "weight": weight, "mirror": mirror, "size": size}
    measured = {"tolerance": tolerance, "gain": gain}
    options = validated(UtilityOptions, "utility", {**drawn, **learned, **measured})
    config = validated(SegmenterConfig, "utility", {"architecture": network, "steps": steps, "batch": batch})
    result = try_out(
        real,
        synthetic,
        test,
        out,
        more=more,
        training=training,
        procedural=procedural,
        options=options,
        config=config,
        progress=terminal().progress,
        report=terminal().note,
    )
    page = out / "utility.html"
    terminal().result({**result.as_json(), "report": page}, [*summary_lines(result), f"report: {page}"])


def _whole_numbers(text: str | None) -> tuple[int, ...] | None:
    """Numbers separated by commas.

    Raises:
        RequestError: something else is among them.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        from medsmith.errors import RequestError

        raise RequestError("--cases", f"{text!r}", "whole numbers separated by commas", "for example 20,40")
    return tuple(map(int, parts))
