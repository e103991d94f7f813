"""Label fidelity of a cohort that is there already, whoever made it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.evaluation.adherence.label_fidelity import RealCases, label_fidelity
from medsmith.evaluation.adherence.measuring import PAGE, RECORD, AdherenceOptions
from medsmith.evaluation.adherence.page import adherence_page
from medsmith.evaluation.adherence.result import Adherence
from medsmith.evaluation.downstream.inputs import Cohorts, check_compatible
from medsmith.evaluation.downstream.segmenter import SegmenterConfig
from medsmith.evaluation.kept_folder import folder_key
from medsmith.evaluation.pages.earlier_report import check_same_report, cohort_line
from medsmith.evaluation.pages.page import check_results_folder, write_page
from medsmith.evaluation.roles import role_notes
from medsmith.formats.atomic import remove_temporary_files, write_json
from medsmith.formats.lock import hold_output
from medsmith.machine import versions
from medsmith.progress import NullProgress, Progress

LEFT_OUT = "Attributes were not measured: that needs the method that made the cases."


def cohort_adherence(
    made: CohortLike,
    out: Path | str,
    *,
    real: CohortLike,
    test: CohortLike,
    options: AdherenceOptions | None = None,
    facts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Adherence:
    """Whether the images of a cohort show what their label maps say, as far as segmenters of real cases can tell.

    Writes ``adherence.json`` and ``adherence.html``. The segmenters are kept in ``out``, and the same call resumes an
    interrupted one. More cases may be asked of the same folder later.

    Args:
        made: labeled synthetic cases, of any generator.
        out: folder of the report; created if missing.
        real: labeled real cases, from which segmenters learn.
        test: real cases of other patients, on which they are compared.
        options: the number of cases is ``pairs``, evenly chosen; there are no attributes.
        facts: additional lines of the report; without them equal inputs give equal bytes.
        progress: display of the progress and the remaining time.

    Raises:
        RequestError: no label is in 10 of the cases and in a test case.
        CohortError: cohorts that do not fit each other or were swapped, a test image among the real cases, a report
            inside a cohort, a folder with the report of other inputs, or another process writes there.
        FileError: a case cannot be read, the report cannot be written, or another file is in its place.
    """
    out, options, progress = Path(out), options or AdherenceOptions(), progress or NullProgress()
    made, real, test = as_cohort(made), as_cohort(real), as_cohort(test)
    check_compatible(Cohorts(real, made, test, None, None))
    check_results_folder(out, (RECORD, PAGE), [each.root for each in (made, real, test)])
    cases = RealCases(real, test, SegmenterConfig(steps=options.steps, batch=options.batch))
    lines = {"cohort": cohort_line(made), "seed": str(options.seed), "versions": versions(), **cases.facts()}
    check_same_report(out / RECORD, lambda: {name: lines[name] for name in lines if name != "versions"})
    chosen = evenly_chosen(made, options.pairs)
    with hold_output(out):
        remove_temporary_files(out)
        kept = out / f"labels-{folder_key(lines, (made, *cases.cohorts))}"
        labels = label_fidelity(chosen, cases, kept, progress, seed=options.seed)
        left_out = (*role_notes({"real": real, "test": test}), LEFT_OUT)
        found = Adherence(None, (), labels, {**lines, **(facts or {})}, left_out)
        write_json(out / RECORD, found.as_json())
        write_page(adherence_page(found), out / PAGE)
    return found


def evenly_chosen(cohort: Cohort, most: int) -> Cohort:
    """At most so many cases of a cohort, evenly spaced over the ids."""
    rows = np.unique(np.linspace(0, len(cohort) - 1, min(len(cohort), most)).round().astype(int))
    return cohort.subset([cohort.ids[row] for row in rows.tolist()])
