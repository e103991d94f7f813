"""One report on a synthetic cohort: real enough, obedient, private, useful, and what that cannot show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.errors import RequestError
from medsmith.evaluation.adherence.label_fidelity import RealCases, label_fidelity
from medsmith.evaluation.adherence.of_cohort import evenly_chosen
from medsmith.evaluation.adherence.result import LabelFidelity
from medsmith.evaluation.asked import asked_facts, options_line
from medsmith.evaluation.compare_cohorts import compare_cohorts
from medsmith.evaluation.downstream import SegmenterConfig, Utility, UtilityOptions, utility
from medsmith.evaluation.downstream.architectures import grid_multiple
from medsmith.evaluation.downstream.inputs import (
    Cohorts,
    check_compatible,
    grid_edge,
    refuse_other_settings,
    settings_of,
)
from medsmith.evaluation.downstream.subsets import check_size
from medsmith.evaluation.fidelity.extractors import Extractor
from medsmith.evaluation.kept_folder import folder_key
from medsmith.evaluation.not_measured import NotMeasured, no_networks
from medsmith.evaluation.pages.earlier_report import check_same_report
from medsmith.evaluation.pages.overall_page import overall_page
from medsmith.evaluation.pages.page import WARNING, check_results_folder, write_report
from medsmith.evaluation.privacy.inputs import check_cohorts, check_patients
from medsmith.evaluation.privacy.measuring import privacy_and_page
from medsmith.evaluation.privacy.result import Privacy
from medsmith.evaluation.result import Evaluation
from medsmith.formats.atomic import remove_temporary_files
from medsmith.formats.lock import hold_output
from medsmith.preparation.split import patient_groups
from medsmith.progress import NullProgress, Progress, silent

RECORD, PAGE = "evaluation.json", "evaluation.html"
PRIVACY, UTILITY, ADHERENCE = "privacy", "utility", "adherence"
"""Folders of the parts that are continued when a call was interrupted; the first two have pages of their own."""
_MOST_CASES = 50
"""Synthetic cases, evenly chosen, in which segmenters look for the labels."""


@final
@dataclass(frozen=True, eq=False)
class Overall:
    """Everything that is known of a synthetic cohort.

    Attributes:
        evaluation: distances to real cases.
        privacy: copies of training cases, and membership.
        utility: what segmentation networks gain, or why none can be trained.
        labels: whether independent segmenters find what label maps say, or why that was not measured.
    """

    evaluation: Evaluation
    privacy: Privacy
    utility: Utility | NotMeasured
    labels: LabelFidelity | NotMeasured

    def as_json(self) -> dict[str, Any]:
        """All results as JSON values."""
        return {
            "warning": WARNING,
            "evaluation": self.evaluation.as_json(),
            "privacy": self.privacy.as_json(),
            "utility": self.utility.as_json(),
            "label_fidelity": self.labels.as_json(),
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
    """Distances, label fidelity, copies and utility on one page; writes ``evaluation.json`` and ``evaluation.html``.

    What is done is kept in ``out``/privacy, /utility and /adherence: the same call continues an interrupted one.

    Args:
        real: cases of patients that the generator was not trained on: compared with, held out, and tested on.
        synthetic: synthetic cases.
        out: folder of the report.
        training: training cohort of the generator, which segmentation networks learn from as well.
        size: edge of the common grid of the distances, as in ``evaluate``.
        extractors: of the distances, as in ``evaluate``.
        options: of the utility experiment; ``group`` is that of ``evaluate`` and ``measure_privacy`` as well.
        config: of its networks and those of the label fidelity, which need image and labels of all cases.
        facts: additional lines of the report.
        progress: display of the progress.
        report: receives what is trained, and after the first steps how long that takes.

    Raises:
        MedsmithError: what ``evaluate``, ``measure_privacy`` and ``utility`` raise.
    """
    real, synthetic, training = map(as_cohort, (real, synthetic, training))
    out, progress = Path(out), progress or NullProgress()
    options, config = options or UtilityOptions(), config or SegmenterConfig()
    check_results_folder(out, (RECORD, PAGE), [each.root for each in (real, synthetic, training)])
    none = _no_networks(Cohorts(training, synthetic, real, None, None), options, config, out / UTILITY)
    line, group = options_line(size, None, None, extractors, options.group), options.group
    check_same_report(out / RECORD, lambda: asked_facts(real, synthetic, training, line, group), "evaluation")
    compared = compare_cohorts(
        real,
        synthetic,
        out,
        training=training,
        size=size,
        extractors=extractors,
        group=group,
        facts=facts,
        progress=progress,
    )
    privacy, page = privacy_and_page(synthetic, training, out / PRIVACY, held_out=real, group=group, progress=progress)
    helped = none or utility(
        training, synthetic, real, out / UTILITY, options=options, config=config, progress=progress, report=report
    )
    labels = none or _labels(synthetic, RealCases(training, real, config, options.size), out / ADHERENCE, progress)
    found = Overall(compared.evaluation, privacy, helped, labels)
    write_report(out, (RECORD, PAGE), found.as_json(), overall_page(compared, (privacy, page), helped, labels))
    return found


def _no_networks(cohorts: Cohorts, options: UtilityOptions, config: SegmenterConfig, out: Path) -> NotMeasured | None:
    """Why no networks can be trained; refuses, before anything is measured, what later parts would refuse after it."""
    none = no_networks({"training": cohorts.real, "synthetic": cohorts.synthetic, "real": cohorts.test})
    if none is None:
        check_compatible(cohorts)
        patient_groups(cohorts.test.ids, options.group)
        patients = patient_groups(cohorts.real.ids, options.group)
        for cases in options.cases or ():
            check_size(patients.values(), cases)
        edge = grid_edge(cohorts, options.size, grid_multiple(config.architecture))
        refuse_other_settings(out, lambda: settings_of(cohorts, edge, config, options))
    named = {"synthetic": cohorts.synthetic, "training": cohorts.real, "held-out": cohorts.test}
    check_cohorts(named)
    check_patients(named, options.group)
    return none


def _labels(synthetic: Cohort, real: RealCases, folder: Path, progress: Progress) -> LabelFidelity | NotMeasured:
    """The label fidelity of some synthetic cases, or why there is none."""
    chosen = evenly_chosen(synthetic, _MOST_CASES)
    kept = folder / folder_key(real.facts(), real.cohorts)
    with hold_output(kept):
        remove_temporary_files(kept)
        try:
            return label_fidelity(chosen, real, kept, progress)
        except RequestError as error:
            return NotMeasured(error.found)
