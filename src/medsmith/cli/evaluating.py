"""The command that compares a synthetic cohort with a real one, or answers every question on one page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from medsmith.cli.app import app
from medsmith.cli.checks import check_comparable, whole_numbers
from medsmith.cli.options import CasesOfSubsets, OneOfEachPatient
from medsmith.cli.terminal import terminal

_Values = Mapping[str, Any]
_Edge = Annotated[
    int | None,
    typer.Option(
        min=16,
        max=4096,
        help="Edge in pixels or voxels of the square or cube that all images are resampled to; default: the "
        "smaller median image size.",
    ),
]
_Extractors = Annotated[
    list[str] | None,
    typer.Option(
        help="Features to compare: inception, radiomics, astra-resnet152 (CT), medicalnet-resnet50, "
        "radimagenet-resnet50, or NAME=PATH with the file of its weights; repeat for several. Default: inception, "
        "if installed, and radiomics."
    ),
]
_OnOnePage = Annotated[
    bool,
    typer.Option(
        "--all",
        help="Everything on one page: distances, label fidelity and utility (networks trained on --training, "
        "tested on REAL), privacy (REAL held out). Training takes hours or days on CPUs by default; run again to "
        "continue. The options below are those of utility; label fidelity takes the last three of them as well.",
    ),
]
_NetworkEdge = Annotated[
    int | None,
    typer.Option(
        min=16,
        help="Edge of the networks' grid, a multiple of 8; default: the smaller image, at most 64 for volumes.",
    ),
]


@app.command()
def evaluate(  # noqa: PLR0913
    real: Annotated[Path, typer.Argument(help="Real reference cohort, preferably not used to train the generator.")],
    synthetic: Annotated[Path, typer.Argument(help="Synthetic cohort to evaluate.")],
    out: Annotated[Path, typer.Option(help="Output folder for the report.")],
    training: Annotated[
        Path | None, typer.Option(help="Cohort the generator was trained on, searched for copies; default: REAL.")
    ] = None,
    size: _Edge = None,
    extractor: _Extractors = None,
    group: OneOfEachPatient = None,
    all_: _OnOnePage = False,
    cases: CasesOfSubsets = None,
    subsets: Annotated[int | None, typer.Option(min=1, help="Subsets drawn of each size. Default: 5.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Networks of each arm and subset. Default: 2.")] = None,
    steps: Annotated[int | None, typer.Option(min=2, help="Gradient steps of each network. Default: 1000.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Cases per step. Default: 16.")] = None,
    network_size: _NetworkEdge = None,
) -> None:
    """Compare a synthetic cohort with a real one: feature distances, copied cases, masks, example images."""
    check_comparable(real, synthetic, training, group)
    drawn = _given({"cases": whole_numbers(cases), "subsets": subsets, "seeds": seeds, "size": network_size})
    trained = _given({"steps": steps, "batch": batch})
    if all_:
        _everything((real, synthetic, training), out, size, extractor or (), ({"group": group, **drawn}, trained))
        return
    _refuse_without_all(drawn, trained)
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


def _given(values: _Values) -> _Values:
    return {name: value for name, value in values.items() if value is not None}


def _refuse_without_all(*options: _Values) -> None:
    """Refuses options of the networks where none are trained.

    Raises:
        RequestError: one is given.
    """
    for name in (name for each in options for name in each):
        from medsmith.errors import RequestError

        option = "--network-size" if name == "size" else f"--{name}"
        raise RequestError(option, "given without --all", "networks are trained by --all alone", "leave it out")


def _everything(
    cohorts: tuple[Path, Path, Path | None],
    out: Path,
    size: int | None,
    extractors: Sequence[str],
    of_utility: tuple[_Values, _Values],
) -> None:
    """``evaluate --all``.

    Args:
        cohorts: real, synthetic and training.
        out: folder of the report.
        size: edge of the grid of the distances.
        extractors: of the distances.
        of_utility: what is drawn, and how networks are trained, where it is not as usual.

    Raises:
        RequestError: no training cohort, or unfit options.
    """
    from medsmith.errors import RequestError
    from medsmith.lazy_imports import import_monai

    real, synthetic, training = cohorts
    if training is None:
        raise RequestError("--all", "no --training", "the generator's training cohort", "name it")
    import_monai()
    from medsmith.evaluation.downstream import SegmenterConfig, UtilityOptions
    from medsmith.evaluation.fidelity.named_extractors import extractors_named
    from medsmith.evaluation.overall import PAGE, evaluate_all
    from medsmith.evaluation.pages.overall_page import verdicts
    from medsmith.methods.config import validated

    drawn, trained = of_utility
    found = evaluate_all(
        real,
        synthetic,
        out,
        training=training,
        size=size,
        extractors=extractors_named(extractors),
        options=validated(UtilityOptions, "evaluate", drawn),
        config=validated(SegmenterConfig, "evaluate", trained),
        progress=terminal().progress,
        report=terminal().note,
    )
    lines = [*verdicts(found.evaluation, found.labels, found.privacy, found.utility), f"report: {out / PAGE}"]
    terminal().result({**found.as_json(), "report": out / PAGE}, lines)
