"""Commands that put one question to synthetic cases: private, useful, as asked for."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from medsmith.cli.app import app
from medsmith.cli.checks import check_given_roles, whole_numbers
from medsmith.cli.options import (
    CasesOfSubsets,
    Gain,
    GeneratorCohort,
    MoreCases,
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
def privacy(
    synthetic: Annotated[Path, typer.Argument(help="Synthetic cohort to search, of any generator.")],
    training: Annotated[Path, typer.Option(help="Cohort that the generator was trained on.")],
    out: Annotated[Path, typer.Option(help="Output folder for the report; run again to continue.")],
    held_out: Annotated[
        Path | None,
        typer.Option(help="Real cohort that the generator was not trained on: sets thresholds, tests membership."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Label of the lesions; default: those named as lesions, or else all labels.")
    ] = None,
    group: PatientGroup = None,
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
        group=group,
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
    cases: CasesOfSubsets = None,
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

    drawn = {"cases": whole_numbers(cases), "subsets": subsets, "seeds": seeds, "group": group, "scenes": scenes}
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
