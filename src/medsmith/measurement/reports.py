"""Reports of a whole cohort, written next to its images."""

from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.cases.nnunet_folder import REPORTS
from medsmith.errors import CohortError, FileError, RequestError, counted
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.formats.lock import hold_output
from medsmith.measurement.describe import describe_case
from medsmith.progress import NullProgress, Progress
from medsmith.reports.organs import is_lesion
from medsmith.reports.rules import stated_attributes
from medsmith.reports.schema import LesionReport, ScanReport
from medsmith.reports.vocabulary import ATTRIBUTES
from medsmith.reports.wording import density_words, place_words


@final
@dataclass(frozen=True)
class CohortSummary:
    """Summary of describing a cohort.

    Attributes:
        folder: of the reports.
        written: reports written.
        kept: reports that already existed.
        lesions: lesions described in those that were written.
        empty: written reports without a lesion.
        unlabeled: cases without labels, which are skipped.
        words: attribute -> option -> how often it was written; a density as it is said of its organ.
    """

    folder: Path
    written: int
    kept: int
    lesions: int
    empty: int
    unlabeled: int
    words: Mapping[str, Mapping[str, int]]

    @property
    def lines(self) -> tuple[str, ...]:
        """The summary as text lines."""
        first = f"{self.folder}: {counted(self.written, 'report')} written on {counted(self.lesions, 'lesion')}"
        first += f", {self.kept} kept as found (--replace measures anew)" if self.kept else ""
        rows = [f"{name}: {_counted(counts)}" for name, counts in self.words.items() if counts]
        others = {"without lesion": self.empty, "without labels, left out": self.unlabeled}
        return ("; ".join([first, *(f"cases {what}: {count}" for what, count in others.items() if count)]), *rows)

    def as_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
        words = {name: dict(counts) for name, counts in self.words.items()}
        return {**vars(self), "folder": str(self.folder), "words": words}


def describe(
    cohort: CohortLike,
    out: Path | str | None = None,
    *,
    replace: bool = False,
    progress: Progress | None = None,
) -> CohortSummary:
    """Measures every lesion of a cohort and writes one report per case atomically; resumes an interrupted run.

    Args:
        cohort: annotated images; the label names tell lesions and organs.
        out: folder of the reports; None for the cohort's own.
        replace: whether existing reports are overwritten; their keys other than lesions are kept.
        progress: of the cases.

    Raises:
        CohortError: the cohort has no cases.
        RequestError: the cohort has no label of a lesion, or no case with labels.
        CohortError: another process writes to the folder.
        FileError: a file is damaged or cannot be written.
    """
    cohort = as_cohort(cohort)
    if not len(cohort):
        raise CohortError(cohort.root, "has no cases", "at least one", "give the cohort that holds the scans")
    labeled = cohort.ids_with_labels
    if not labeled:
        raise RequestError(cohort.root, "images alone", "lesions are measured in their labels", "add label maps")
    if not any(is_lesion(name) for name in cohort.label_names):
        found = f"no label is a lesion ({', '.join(cohort.label_names)})"
        cure = f"rename it: run medsmith prepare {cohort.root} OUT with --label NAME=VALUE for each"
        raise RequestError(cohort.root, found, "called lesion, tumour, cyst, nodule, stone ...", cure)
    folder = cohort.root / REPORTS if out is None else Path(out)
    if folder.exists() and not folder.is_dir():
        raise FileError(folder, "a file, not a folder", cure="choose another folder: --out")
    due = [case_id for case_id in labeled if replace or not (folder / f"{case_id}.json").exists()]
    made: list[ScanReport] = []
    with (
        hold_output(cohort.root if out is None else folder) if due else nullcontext(),
        (progress or NullProgress()).task("describe", len(labeled), len(labeled) - len(due)) as advance,
    ):
        for case_id in due:
            report = describe_case(cohort[case_id])
            _write(folder / f"{case_id}.json", report)
            made.append(report)
            advance(1, case_id)
    return _summary(folder, made, len(labeled) - len(due), len(cohort) - len(labeled))


def _write(path: Path, report: ScanReport) -> None:
    earlier = read_json(path) if path.exists() else {}
    write_json(path, earlier | report.model_dump(mode="json"))


def _summary(folder: Path, reports: list[ScanReport], kept: int, unlabeled: int) -> CohortSummary:
    words: dict[str, Counter[str]] = {
        name: Counter() for name, row in ATTRIBUTES.items() if row.options or name == "organ"
    }
    for lesion in (lesion for report in reports for lesion in report.lesions):
        for name, value in stated_attributes(lesion).items():
            if name in words:
                words[name].update([_said(name, value, lesion)])
    lesions = sum(len(report.lesions) for report in reports)
    empty = sum(not report.lesions for report in reports)
    return CohortSummary(folder, len(reports), kept, lesions, empty, unlabeled, words)


def _said(name: str, value: object, lesion: LesionReport) -> str:
    if name == "density":
        return density_words(str(value), lesion.organ, lesion.size_mm)
    if name == "cavity":
        return place_words(str(value), lesion.organ)
    return " + ".join(value) if isinstance(value, tuple) else str(value)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{word} {count}" for word, count in Counter(counts).most_common())
