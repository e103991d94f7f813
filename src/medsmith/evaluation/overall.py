"""One report on a synthetic cohort: is it real enough, does it leak, does it help, and what that cannot show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.evaluation.compare_cohorts import asked_facts, compare_cohorts, options_line
from medsmith.evaluation.downstream import SegmenterConfig, Utility, UtilityOptions, utility
from medsmith.evaluation.downstream.answer import NoNetworks
from medsmith.evaluation.downstream.inputs import Cohorts, check_compatible
from medsmith.evaluation.fidelity.extractors import Extractor
from medsmith.evaluation.pages.earlier_report import check_same_report
from medsmith.evaluation.pages.overall_page import overall_page
from medsmith.evaluation.pages.page import WARNING, check_results_folder, write_page
from medsmith.evaluation.privacy.measuring import privacy_and_page
from medsmith.evaluation.privacy.result import Privacy
from medsmith.evaluation.result import Evaluation
from medsmith.formats.atomic import remove_temporary_files, write_json
from medsmith.formats.lock import hold_output
from medsmith.progress import NullProgress, Progress, silent

RECORD, PAGE = "evaluation.json", "evaluation.html"
PRIVACY, UTILITY = "privacy", "utility"
"""Folders of the parts that are continued when a call was interrupted; each has a page of its own."""


@final
@dataclass(frozen=True, eq=False)
class Overall:
    """Everything that is known of a synthetic cohort.

    Attributes:
        evaluation: distances to real cases.
        privacy: copies of training cases, and membership.
        utility: what segmentation networks gain, or why none can be trained.
    """

    evaluation: Evaluation
    privacy: Privacy
    utility: Utility | NoNetworks

    def as_json(self) -> dict[str, Any]:
        """All results as JSON values."""
        return {
            "warning": WARNING,
            "evaluation": self.evaluation.as_json(),
            "privacy": self.privacy.as_json(),
            "utility": self.utility.as_json(),
        }


def evaluate_all(  # noqa: PLR0913
    real: CohortLike,
    synthetic: CohortLike,
    out: Path | str,
    *,
    training: CohortLike,
    size: int | None = None,
    extractors: Sequence[Extractor] | None = None,
    options: UtilityOptions | None = None,
    config: SegmenterConfig | None = None,
    facts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    report: Callable[[str], None] = silent,
) -> Overall:
    """Distances, copies and, where all cases have image and labels, utility; ``evaluation.json``, ``evaluation.html``.

    The same call continues an interrupted one: the parts keep what they have done in ``out``/privacy and
    ``out``/utility, which also have pages of their own.

    Args:
        real: labeled cases of patients that the generator was not trained on: compared with, held out for membership,
            and tested on.
        synthetic: labeled synthetic cases.
        out: folder of the report.
        training: labeled training cohort of the generator, which segmentation networks learn from as well.
        size: edge of the common grid of the distances, as in ``evaluate``.
        extractors: of the distances, as in ``evaluate``.
        options: of the utility experiment.
        config: of its networks.
        facts: additional lines of the report.
        progress: display of the progress.
        report: receives, before networks are trained, what is trained, and after the first steps how long that takes.

    Raises:
        MedsmithError: what ``evaluate``, ``measure_privacy`` and ``utility`` raise.
    """
    real, synthetic, training = as_cohort(real), as_cohort(synthetic), as_cohort(training)
    out, progress = Path(out), progress or NullProgress()
    check_results_folder(out, (RECORD, PAGE), [each.root for each in (real, synthetic, training)])
    options_asked = options_line(size, None, None, extractors)
    none = NoNetworks.of({"training": training, "synthetic": synthetic, "real": real})
    if none is None:
        check_compatible(Cohorts.of(training, synthetic, real, None, None))
    check_same_report(out / RECORD, lambda: asked_facts(real, synthetic, training, options_asked), "evaluation")
    compared = compare_cohorts(
        real, synthetic, out, training=training, size=size, extractors=extractors, facts=facts, progress=progress
    )
    privacy, privacy_page = privacy_and_page(synthetic, training, out / PRIVACY, held_out=real, progress=progress)
    helped = none or utility(
        training, synthetic, real, out / UTILITY, options=options, config=config, progress=progress, report=report
    )
    found = Overall(compared.evaluation, privacy, helped)
    with hold_output(out):
        remove_temporary_files(out)
        write_json(out / RECORD, found.as_json())
        write_page(overall_page(compared, privacy, privacy_page, helped), out / PAGE)
    return found
