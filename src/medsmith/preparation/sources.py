"""What a folder to be prepared holds: its cases, channels and labels, known or inferred."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar, final

from medsmith.case import Case
from medsmith.case_io import read_records
from medsmith.errors import CohortError, MedsmithError
from medsmith.formats.volume import ReadOptions
from medsmith.integrity import check_id, declared_line, first_of
from medsmith.layouts import DATASET, CaseFiles, Layout, find_layout, label_names_of, label_values, name_labels
from medsmith.preparation.pairing import pair_files

EMPTY, UNPAIRED = "empty", "unpaired"
_SHOWN = 5
Result = TypeVar("Result")
Say = Callable[[str], None]


@final
@dataclass(frozen=True)
class PrepareOptions:
    """What the user says about a source.

    Attributes:
        channel_names: one per channel; () infers them.
        label_names: name -> value in the source; {} infers them.
        read: what is allowed where a file leaves something open.
        leave_out: "empty" leaves out cases whose label is all background, "unpaired" images without a label and
            labels without an image; without them such cases are refused.
        hu_offset: added to CT values whose rescale intercept was lost (-1024).
    """

    channel_names: tuple[str, ...] = ()
    label_names: Mapping[str, int] = field(default_factory=dict)
    read: ReadOptions = field(default_factory=ReadOptions)
    leave_out: frozenset[str] = frozenset()
    hu_offset: float = 0.0


@final
@dataclass(frozen=True)
class Source:
    """A folder to be prepared.

    Attributes:
        root: the folder.
        cases: id -> files.
        layout: channels, labels and ending of the cohort to be made; ``label_of`` leads to it from the files.
        rule: how the files pair, by an example.
        channels_known: whether somebody named the channels.
        label_reason: where the labels come from.
        left_out: files that are in no case.
    """

    root: Path
    cases: Mapping[str, CaseFiles]
    layout: Layout
    rule: str
    channels_known: bool
    label_reason: str
    left_out: tuple[str, ...]

    def with_records(self, case: Case) -> Case:
        """The case with the report and provenance that lie beside it, if any."""
        report, provenance = read_records(self.root, case.id)
        return replace(case, report=report, provenance=provenance)


def find_source(root: Path, options: PrepareOptions, say: Say) -> Source:
    """Finds the cases of a folder, and names their channels and labels.

    Raises:
        FileError: there is no such folder, or a label map cannot be read.
        CohortError: files do not pair, or are left over and not to be left out.
        ContentError: label values that nobody declared and nobody can know.
    """
    if (root / DATASET).exists():
        layout = find_layout(root)
        cases, rule, left_out = dict(layout.cases), f"as {DATASET} says", layout.notes
        channels, names = layout.channel_names, layout.label_names
        for case_id in cases:
            check_id(case_id)
    else:
        pairing = pair_files(root)
        cases, rule, left_out = dict(pairing.cases), pairing.rule, (*pairing.images_alone, *pairing.labels_alone)
        channels, names = (), {}
    if not cases:
        raise CohortError(root, "has no complete case", "image and label for each", "add what is missing")
    if left_out and UNPAIRED not in options.leave_out:
        found = f"{len(left_out)} files without their pair: {first_of(left_out)}"
        raise CohortError(root, found, "each image has a label", "add it or pass --leave-out unpaired")
    declared = options.label_names or names
    label_of, label_names, reason = _labels(root, cases, declared, options, say)
    channel_names = _channels(root, cases, options.channel_names or channels)
    ending = ".png" if next(iter(cases.values())).labels.name.lower().endswith(".png") else ".nii.gz"
    return Source(
        root=root,
        cases=cases,
        layout=Layout(channel_names, label_names, ending, cases, label_of),
        rule=rule,
        channels_known=bool(options.channel_names or channels),
        label_reason=reason,
        left_out=left_out,
    )


def _channels(root: Path, cases: Mapping[str, CaseFiles], names: tuple[str, ...]) -> tuple[str, ...]:
    count = len(next(iter(cases.values())).channels)
    if not names:
        return ("image",) if count == 1 else tuple(f"image_{index}" for index in range(count))
    if len(names) != count:
        found = f"{len(names)} channel names ({', '.join(names)})"
        raise CohortError(root, found, f"each case has {count} channels", "name each channel once")
    return names


def _labels(
    root: Path, cases: Mapping[str, CaseFiles], declared: Mapping[str, int], options: PrepareOptions, say: Say
) -> tuple[dict[int, int], dict[str, int], str]:
    """Value in the files -> label, name -> label, and where they come from."""
    if not declared:
        look = each_case(root, cases, lambda case_id: _values(cases[case_id], options.read), say)
        where: dict[int, Path] = {}
        for values in look.values():
            where = values | where
        label_of, names = name_labels(where)
        binary = "0 and 255 in the files mean 0 and 1" if 255 in label_of else "inferred from the files"
        return label_of, names, f"{binary}; name them with --label NAME=VALUE"
    names = label_names_of({"background": 0} | dict(declared), root)
    label_of = {value: label for label, value in enumerate(names.values())}
    renumbered = {name: label_of[value] for name, value in names.items()}
    reason = "as declared" if renumbered == names else f"renumbered from {declared_line(names)}"
    return label_of, renumbered, reason


def _values(files: CaseFiles, options: ReadOptions) -> dict[int, Path]:
    return label_values((files.labels, *files.more_labels), options)


def each_case(root: Path, ids: Iterable[str], look: Callable[[str], Result], say: Say) -> dict[str, Result]:
    """Looks at every case before giving up, so that all bad ones are named at once.

    Raises:
        MedsmithError: the error of the one bad case.
        CohortError: several are bad; the first five were said.
    """
    results: dict[str, Result] = {}
    errors: list[MedsmithError] = []
    for case_id in sorted(ids):
        try:
            results[case_id] = look(case_id)
        except MedsmithError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        for bad in errors[:_SHOWN]:
            say(bad.line)
        found = f"{len(errors)} of {len(results) + len(errors)} cases cannot be used, the first: {errors[0].line}"
        raise CohortError(root, found)
    return results
