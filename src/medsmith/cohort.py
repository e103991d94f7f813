"""A cohort: a folder of annotated images in nnU-Net's raw form, with reports and provenance beside it."""

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import UInt8

from medsmith.case import Case, Geometry
from medsmith.errors import CohortError, ContentError, GeometryError
from medsmith.formats.atomic import remove_leftovers, sha256_of, write_bytes, write_json
from medsmith.formats.files import read_image, read_labels, write_image, write_labels
from medsmith.formats.json_file import read_json
from medsmith.formats.volume import ReadOptions
from medsmith.layouts import (
    DATASET,
    IMAGES,
    LABELS,
    PROVENANCE,
    REPORTS,
    UNFINISHED,
    CaseFiles,
    ChannelFile,
    Layout,
    find_layout,
    first_of,
    scan_nnunet,
)

ENDINGS_WRITTEN = (".nii.gz", ".png")
_SAME_GRID_MM = 1e-3
_ID = re.compile(r"\w[\w.\-]*")
_ID_BYTES = 200
_log = logging.getLogger("medsmith")


@final
class Cohort:
    """Cases in a folder, read one at a time.

    Attributes:
        root: the folder.
        channel_names: one per channel.
        label_names: name -> value; "background" is 0.
        file_ending: of image and label files.
    """

    def __init__(self, root: Path, layout: Layout, *, writable: bool = False, description: str = "") -> None:
        self.root = root
        self.channel_names = layout.channel_names
        self.label_names: Mapping[str, int] = dict(layout.label_names)
        self.file_ending = layout.file_ending
        self._layout = layout
        self._cases = dict(layout.cases)
        self._writable = writable
        self._description = description
        self._noted: set[str] = set()

    @classmethod
    def open(cls, root: Path | str) -> "Cohort":
        """A view for reading over an nnU-Net, Decathlon, or images/ + labels/ folder.

        Raises:
            FileError: there is no such folder, or a file in it cannot be read.
            CohortError: it is no cohort.
            ContentError: label values that nobody declared and nobody can know.
        """
        layout = find_layout(Path(root))
        for note in layout.notes:
            _log.warning("%s: %s", root, note)
        return cls(Path(root), layout)

    @classmethod
    def create(
        cls,
        root: Path | str,
        *,
        channel_names: Iterable[str],
        label_names: Mapping[str, int],
        file_ending: str,
        description: str = "",
    ) -> "Cohort":
        """A new folder to write cases to, or an existing one that says the same.

        Raises:
            CohortError: names or ending break nnU-Net's rules, the folder holds something else, or it is a
                cohort with other channels, labels or ending.
        """
        root = Path(root)
        layout = Layout(tuple(channel_names), dict(label_names), file_ending, {})
        _check_declared(root, layout)
        if (root / DATASET).exists():
            layout = _same(root, layout)
        elif root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise CohortError(root, "exists and holds something else", "", "choose a new folder")
        cohort = cls(root, layout, writable=True, description=description)
        if not (root / DATASET).exists():
            cohort._write_dataset(0)
        return cohort

    @property
    def ids(self) -> tuple[str, ...]:
        """The cases' ids, sorted."""
        return tuple(sorted(self._cases))

    def __len__(self) -> int:
        return len(self._cases)

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._cases

    def __iter__(self) -> Iterator[Case]:
        return (self[case_id] for case_id in self.ids)

    def __getitem__(self, case_id: str) -> Case:
        case, notes = self.read(case_id)
        for note in notes:
            if note not in self._noted:
                self._noted.add(note)
                _log.warning("%s", note)
        return case

    def read(self, case_id: str, options: ReadOptions | None = None) -> tuple[Case, tuple[str, ...]]:
        """One case, and one line per oddity that was accepted.

        Raises:
            CohortError: no case has this id.
            FileError: a file is damaged.
            GeometryError: grids cannot be used, or differ between channels and label.
            ContentError: voxels that are not finite, or label values that are not declared.
        """
        files, options = self.files(case_id), options or ReadOptions()
        images = [read_image(file.path, _for_volume(options, file.volume)) for file in files.channels]
        labels = read_labels(files.labels, options)
        geometry = images[0].geometry
        for file, other in zip(files.channels[1:], images[1:], strict=True):
            _check_same_grid(files.channels[0].path, geometry, file.path, other.geometry)
        _check_same_grid(files.channels[0].path, geometry, files.labels, labels.geometry)
        case = Case(
            id=case_id,
            image=np.stack([image.values for image in images]),
            labels=self._declared(labels.values, files.labels),
            geometry=geometry,
            channel_names=self.channel_names,
            label_names=self.label_names,
            stored=np.result_type(*[image.stored for image in images]),
            report=self._json_of(REPORTS, case_id),
            provenance=self._json_of(PROVENANCE, case_id),
        )
        notes = [
            f"{file.path}: {note}" for file, image in zip(files.channels, images, strict=True) for note in image.notes
        ]
        return case, (*notes, *(f"{files.labels}: {note}" for note in labels.notes))

    def files(self, case_id: str) -> CaseFiles:
        """Where a case lies.

        Raises:
            CohortError: no case has this id.
        """
        if case_id not in self._cases:
            raise CohortError(self.root, f"no case {case_id!r}", f"has {first_of(self.ids)}", "choose one of these")
        return self._cases[case_id]

    def subset(self, ids: Iterable[str]) -> "Cohort":
        """A view of some cases; nothing is copied.

        Raises:
            CohortError: no case has one of these ids.
        """
        cases = {case_id: self.files(case_id) for case_id in ids}
        layout = self._layout
        return Cohort(
            self.root,
            Layout(layout.channel_names, layout.label_names, layout.file_ending, cases, layout.label_of),
        )

    def _declared(self, values: UInt8[np.ndarray, "x y z"], path: Path) -> UInt8[np.ndarray, "x y z"]:
        """Labels from the file's values; refuses those that nobody declared."""
        label_of = self._layout.label_of or {value: value for value in self.label_names.values()}
        counts = np.bincount(values.ravel(), minlength=256)
        strange = [int(value) for value in np.flatnonzero(counts) if value not in label_of]
        if strange:
            declared = ", ".join(f"{name} = {value}" for name, value in self.label_names.items())
            found = f"undeclared label values {first_of(strange)}"
            raise ContentError(path, found, f"declared: {declared}", "is this the image? else declare them")
        table = np.zeros(256, dtype=np.uint8)
        table[list(label_of)] = list(label_of.values())
        return table[np.ascontiguousarray(values)]

    def _json_of(self, folder: str, case_id: str) -> dict[str, object] | None:
        path = self.root / folder / f"{case_id}.json"
        return read_json(path) if path.exists() else None

    def write(self, case: Case) -> None:
        """Writes a case, each file whole or not at all; provenance last.

        A synthetic case whose writer was killed has no provenance, is in no listing, and may be written again.

        Raises:
            CohortError: this view is for reading, the id is no file name, or channels or labels differ.
            ContentError: values that the stored dtype cannot hold, or undeclared labels.
        """
        self._check_writable(case)
        marker = self.root / PROVENANCE / f"{case.id}{UNFINISHED}"
        record = self.root / PROVENANCE / f"{case.id}.json"
        if case.synthetic:
            write_bytes(marker, b"")
            record.unlink(missing_ok=True)
        files = self._target(case.id)
        for file, channel in zip(files.channels, case.image, strict=True):
            write_image(file.path, channel, case.geometry, case.stored, synthetic=case.synthetic)
        write_labels(files.labels, case.labels, case.geometry, synthetic=case.synthetic)
        if case.report is not None:
            write_json(self.root / REPORTS / f"{case.id}.json", case.report)
        if case.provenance is not None:
            write_json(record, case.provenance)
            marker.unlink(missing_ok=True)
        self._cases[case.id] = files

    def _check_writable(self, case: Case) -> None:
        if not self._writable:
            raise CohortError(self.root, "was opened for reading", cure="write to a new cohort (Cohort.create)")
        check_id(case.id)
        if case.channel_names != self.channel_names or dict(case.label_names) != dict(self.label_names):
            found = f"case {case.id} has {case.channel_names} and {dict(case.label_names)}"
            limit = f"the cohort has {self.channel_names} and {dict(self.label_names)}"
            raise CohortError(self.root, found, limit, "write it to a cohort of its own")
        strange = np.setdiff1d(np.unique(case.labels), list(self.label_names.values()))
        if strange.size:
            declared = ", ".join(f"{name} = {value}" for name, value in self.label_names.items())
            raise ContentError(case.id, f"undeclared label values {first_of(strange)}", f"declared: {declared}")

    def _target(self, case_id: str) -> CaseFiles:
        names = [f"{case_id}_{channel:04d}{self.file_ending}" for channel in range(len(self.channel_names))]
        files = tuple(ChannelFile(self.root / IMAGES / name) for name in names)
        return CaseFiles(files, self.root / LABELS / f"{case_id}{self.file_ending}")

    def finish(self) -> None:
        """Writes dataset.json for the cases on disk and proves that nnU-Net's rules hold.

        Nobody else may write to the folder any more: what killed writers left behind is removed.

        Raises:
            CohortError: a case is incomplete, there is none, or a rule does not hold.
        """
        for folder in (".", IMAGES, LABELS, REPORTS, PROVENANCE):
            remove_leftovers(self.root / folder)
        self._cases, left_out = scan_nnunet(self.root, len(self.channel_names), self.file_ending)
        if left_out:
            found = f"{len(left_out)} incomplete cases: {first_of(left_out)}"
            raise CohortError(self.root, found, "image, label and provenance", "write them again or delete them")
        self._write_dataset(len(self._cases))
        verify(self)

    def _write_dataset(self, count: int) -> None:
        facts = {
            "channel_names": {str(index): name for index, name in enumerate(self.channel_names)},
            "labels": self.label_names,
            "numTraining": count,
            "file_ending": self.file_ending,
        }
        write_json(self.root / DATASET, facts | ({"description": self._description} if self._description else {}))

    def content_hash(self) -> str:
        """SHA-256 over ids and file bytes; the order of listing and the files' times do not matter."""
        digest = hashlib.sha256()
        for case_id in self.ids:
            files = self.files(case_id)
            extra = [self.root / folder / f"{case_id}.json" for folder in (REPORTS, PROVENANCE)]
            paths = [*(file.path for file in files.channels), files.labels, *extra]
            sums = [sha256_of(path) if path.exists() else "" for path in paths]
            digest.update(json.dumps([case_id, *sums]).encode())
        return digest.hexdigest()


def check_id(case_id: str) -> None:
    """Refuses ids that are no portable file name.

    Raises:
        CohortError: other characters than letters, digits, ``_ . -``, a first ``.`` or ``-``, or over 200 bytes.
    """
    if not _ID.fullmatch(case_id) or len(case_id.encode()) > _ID_BYTES:
        limit = f"letters, digits, _ . - (the first a letter, digit or _), at most {_ID_BYTES} bytes"
        raise CohortError(f"case id {case_id[:80]!r}", "is no portable file name", limit, "rename the case")


def verify(cohort: Cohort) -> None:
    """Proves nnU-Net v2's integrity rules by reading every case (verify_dataset_integrity).

    Raises:
        CohortError: dataset.json lacks a key or counts wrongly, labels are not 0, 1, ..., n, a case is
            incomplete, or there is none.
        FileError: a file is damaged.
        GeometryError: grids of channels and label differ.
        ContentError: voxels that are not finite, or label values that are not declared.
    """
    path = cohort.root / DATASET
    facts = read_json(path)
    missing = [key for key in ("channel_names", "labels", "numTraining", "file_ending") if key not in facts]
    if missing:
        raise CohortError(path, f"lacks {', '.join(missing)}", "nnU-Net v2 needs them", "add them")
    _check_consecutive(path, cohort.label_names)
    _, left_out = scan_nnunet(cohort.root, len(cohort.channel_names), cohort.file_ending)
    if left_out:
        raise CohortError(cohort.root, f"{len(left_out)} incomplete cases: {first_of(left_out)}", "", "delete them")
    if facts["numTraining"] != len(cohort) or not len(cohort):
        found = f"numTraining is {facts['numTraining']}, {len(cohort)} cases are there"
        raise CohortError(path, found, "both are equal and at least 1", "finish the cohort")
    for case_id in cohort.ids:
        cohort.read(case_id)


def _check_consecutive(subject: Path, label_names: Mapping[str, int]) -> None:
    if sorted(label_names.values()) != list(range(len(label_names))) or label_names.get("background") != 0:
        found = "labels " + ", ".join(f"{name} = {value}" for name, value in label_names.items())
        raise CohortError(subject, found, "nnU-Net wants background = 0 and then 1, 2, ...", "renumber them")


def _check_declared(root: Path, layout: Layout) -> None:
    if layout.file_ending not in ENDINGS_WRITTEN:
        found = f"file_ending {layout.file_ending!r}"
        raise CohortError(root, found, f"one of {', '.join(ENDINGS_WRITTEN)}", "choose one")
    if not layout.channel_names:
        raise CohortError(root, "no channel is named", "at least one", "name the channels")
    _check_consecutive(root, layout.label_names)


def _same(root: Path, asked: Layout) -> Layout:
    """The layout of an existing cohort, if it says what is asked for."""
    found = find_layout(root)
    for what in ("channel_names", "label_names", "file_ending"):
        there, wanted = getattr(found, what), getattr(asked, what)
        if there != wanted:
            line = f"has {what.replace('_', ' ')} {there}"
            raise CohortError(root, line, f"{wanted} is asked for", "choose a new folder")
    return found


def _for_volume(options: ReadOptions, volume: int | None) -> ReadOptions:
    return options if volume is None else replace(options, volume=volume)


def _check_same_grid(path: Path, grid: Geometry, other_path: Path, other: Geometry) -> None:
    if grid.shape != other.shape:
        found = f"shape {other.shape}, while {path.name} has {grid.shape}"
        raise GeometryError(other_path, found, "image and label share a grid", "resample one (nearest for labels)")
    shift = grid.displacement(other)
    if grid.spacing_known and other.spacing_known and shift > _SAME_GRID_MM:
        found = f"lies {shift:.4g} mm away from {path.name} (largest corner displacement)"
        cure = "resample one (nearest for labels), or correct its header"
        raise GeometryError(other_path, found, f"at most {_SAME_GRID_MM:g} mm", cure)
