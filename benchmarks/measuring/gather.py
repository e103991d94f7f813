"""Measures of CT phantoms beside what their reports say, kept in a file so that thresholds can be tried on them.

python benchmarks/measuring/gather.py COHORT OUT.json [COUNT]
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from medsmith import Cohort
from medsmith.formats.atomic import write_json
from medsmith.measurement.describe import LabeledScan, measure_lesion
from medsmith.measurement.lesions import find_lesions
from medsmith.measurement.measures import Measures
from medsmith.progress import ConsoleProgress

_MEASURES = TypeAdapter(Measures)


@dataclass(frozen=True)
class Row:
    """One phantom: its true report, and what was measured of its largest lesion."""

    case: str
    truth: dict[str, Any]
    measures: Measures


def gather(cohort: Cohort, out: Path, count: int) -> None:
    """Measure the first COUNT phantoms that are not in OUT yet."""
    known = json.loads(out.read_text()) if out.exists() else {}
    due = [case_id for case_id in cohort.ids[:count] if case_id not in known]
    with ConsoleProgress().task(out.name, len(due)) as advance:
        for number, case_id in enumerate(due, start=1):
            known[case_id] = _row(cohort, case_id)
            if number % 25 == 0 or number == len(due):
                write_json(out, known)
            advance(1, case_id)


def _row(cohort: Cohort, case_id: str) -> dict[str, Any]:
    case = cohort[case_id]
    lesions = find_lesions(case.require_labels(), case.label_names, case.geometry.spacing)
    assert case.report is not None
    truth = case.report["lesions"][0]
    return {"truth": truth, "measures": asdict(measure_lesion(LabeledScan.of(case), lesions[0])) if lesions else None}


def read_rows(path: Path) -> list[Row]:
    """What ``gather`` wrote, phantoms whose lesion is smaller than a voxel left out."""
    known = json.loads(path.read_text())
    return [
        Row(case_id, row["truth"], _MEASURES.validate_python(row["measures"]))
        for case_id, row in sorted(known.items())
        if row["measures"] is not None
    ]


if __name__ == "__main__":
    gather(Cohort.open(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 10**9)
