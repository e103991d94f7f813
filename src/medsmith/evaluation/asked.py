"""What was asked of a comparison of cohorts: the facts that decide its report."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from medsmith.cases.cohort import Cohort
from medsmith.evaluation.fidelity.comparison import ComparisonPlan
from medsmith.evaluation.fidelity.extractors import Extractor
from medsmith.evaluation.pages.earlier_report import cohort_line
from medsmith.evaluation.scope import one_of_each_patient


def options_line(
    size: int | None,
    channel: str | None,
    plan: ComparisonPlan | None,
    extractors: Sequence[Extractor] | None,
    group: str | None = None,
) -> str:
    """The options of a comparison, as its facts hold them."""
    names = None if extractors is None else [extractor.name for extractor in extractors]
    asked = {"size": size, "channel": channel, "extractors": names, "plan": asdict(plan or ComparisonPlan())}
    return json.dumps(asked | ({} if group is None else {"group": group}), sort_keys=True)


def asked_facts(
    real: Cohort, synthetic: Cohort, training: Cohort | None, options: str, group: str | None
) -> dict[str, str | None]:
    """The facts that decide a report."""
    cohorts = {"real": one_of_each_patient(real, group), "synthetic": synthetic, "training": training}
    lines = {f"{name} cohort": None if cohort is None else cohort_line(cohort) for name, cohort in cohorts.items()}
    return {**lines, "options": options}
