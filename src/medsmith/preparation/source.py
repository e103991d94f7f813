"""A source folder: its cases, channels and labels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from medsmith.cases.case import Case
from medsmith.cases.case_files import CaseFiles, Layout
from medsmith.cases.case_io import read_case, read_records
from medsmith.formats.atomic import sha256_of
from medsmith.formats.volume import ReadOptions
from medsmith.preparation.provenance_fields import known_provenance
from medsmith.preparation.report_fields import structured

CaseReader = Callable[[str, CaseFiles, Layout, ReadOptions], tuple[Case, tuple[str, ...]]]


@final
@dataclass(frozen=True)
class Source:
    """A source folder.

    Attributes:
        root: the folder.
        cases: id -> files.
        layout: channels, labels and ending of the new cohort; ``label_of`` maps file values to its labels.
        rule: how the files pair, with an example.
        channels_known: whether the channels are declared.
        label_reason: how the labels were determined.
        left_out: files that belong to no case.
        kept: files of cases with only an image or only labels, while others have both.
        skipped: kinds of the files that are not read, being no DICOM or damaged.
        unused: names of DICOM series that no case is made of.
        channel_reason: how the channels were determined, where neither declared nor inferred from values.
        reader: reads a case from its files.
        summed: case id -> part of the case -> hash, for the record; None hashes each file by its path in the folder.
    """

    root: Path
    cases: Mapping[str, CaseFiles]
    layout: Layout
    rule: str
    channels_known: bool
    label_reason: str
    left_out: tuple[str, ...]
    kept: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    channel_reason: str = ""
    reader: CaseReader = read_case
    summed: Callable[[str], Mapping[str, str]] | None = None

    def read(self, case_id: str, options: ReadOptions) -> tuple[Case, tuple[str, ...]]:
        """A case with its records, and one line per accepted irregularity."""
        case, notes = self.reader(case_id, self.cases[case_id], self.layout, options)
        prefix = f"{self.root}/"
        case, left_out = self.with_records(case)
        return case, (*(note.removeprefix(prefix) for note in notes), *left_out)

    def sums(self, case_id: str) -> Mapping[str, str]:
        """What a case is made of, each with its hash."""
        if self.summed is not None:
            return self.summed(case_id)
        return {path.relative_to(self.root).as_posix(): sha256_of(path) for path in self.cases[case_id].paths}

    def with_records(self, case: Case) -> tuple[Case, tuple[str, ...]]:
        """The case with its report and provenance files, if any, and notes on what of a real case's is dropped."""
        report, provenance = read_records(self.root, case.id)
        if case.provenance is not None:  # a mark of its files, which no record takes away
            provenance = {**(provenance or {}), **case.provenance}
        whole, unknown = known_provenance(replace(case, report=report, provenance=provenance))
        entries = "1 entry" if unknown == 1 else f"{unknown} entries"
        of_record = f"{case.id}: {entries} of its provenance that medsmith does not know: left out"
        notes = (of_record,) if unknown else ()
        if report is None or whole.synthetic:
            return whole, notes
        kept, dropped = structured(report, self.layout.label_names)
        what = "1 entry" if dropped == 1 else f"{dropped} entries"
        note = f"{case.id}: {what} of its report that no structured report has: left out"
        return replace(whole, report=kept), (*notes, note) if dropped else notes
