"""A cohort: a folder of images, labels or both in nnU-Net's raw format, plus reports and provenance."""

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.cases.canonical import canonical_case
from medsmith.cases.case import Case
from medsmith.cases.case_files import CaseFiles, Layout, unpaired_notes
from medsmith.cases.case_io import (
    read_case,
    read_case_grid,
    read_case_image,
    read_case_labels,
    read_records,
)
from medsmith.cases.case_writer import CaseWriter
from medsmith.cases.datalists import monai_datalist, torchio_subjects
from medsmith.cases.finishing import finish_folder, finish_known, write_dataset
from medsmith.cases.integrity import check_declaration, first_of
from medsmith.cases.layouts import find_layout, find_matching_layout
from medsmith.cases.nnunet_folder import DATASET, PROVENANCE, REPORTS
from medsmith.errors import CohortError, counted
from medsmith.formats.atomic import is_free, sha256_of
from medsmith.formats.json_file import read_json
from medsmith.formats.opening import note_used
from medsmith.formats.volume import ReadOptions, Region
from medsmith.geometry import Geometry
from medsmith.progress import Advance, ignored

_log = logging.getLogger("medsmith")


@lru_cache(maxsize=1024)
def _log_once(_root: Path, line: str) -> None:
    """Logs a line about a folder; a command opens one folder several times."""
    _log.warning("%s", line)


@final
class Cohort:
    """Cases in a folder, read one at a time; ``cohort[id]`` and iteration give canonical orientation.

    Attributes:
        root: the folder.
        channel_names: one per channel; () if no case has an image.
        label_names: name -> value; "background" is 0.
        file_ending: of image and label files.
        layout: declaration and files as they were when the folder was opened.
    """

    def __init__(self, root: Path, layout: Layout, *, writable: bool = False, description: str = "") -> None:
        self.root = root
        self.channel_names = layout.channel_names
        self.label_names: Mapping[str, int] = dict(layout.label_names)
        self.file_ending = layout.file_ending
        self.layout = layout
        self._listed: Mapping[str, CaseFiles] = layout.cases
        self._written: dict[str, CaseFiles] = {}
        self._writable = writable
        self._description = description
        self._noted: set[str] = set()

    @classmethod
    def open(cls, root: Path | str) -> "Cohort":
        """Opens an nnU-Net, Decathlon, or images/ + labels/ folder for reading.

        Skipped files, and the number of cases with only an image or only labels, are logged, once in a process.

        Raises:
            FileError: there is no such folder, or a file in it cannot be read.
            CohortError: it is no cohort.
            ContentError: undeclared label values that cannot be inferred.
        """
        layout = find_layout(Path(root))
        for note in (*layout.notes, *unpaired_notes(layout.cases)):
            _log_once(Path(root).absolute(), f"{root}: {note}")
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
        """Creates a folder to write cases to, or reopens one with the same declaration.

        Raises:
            CohortError: names or ending break nnU-Net's rules, the folder holds something else, or it is a
                cohort with other channels, labels or ending.
        """
        root = Path(root)
        layout = Layout(tuple(channel_names), dict(label_names), file_ending, {})
        check_declaration(root, layout.channel_names, layout.label_names, file_ending)
        if (root / DATASET).exists():
            description = description or str(read_json(root / DATASET).get("description", ""))
            return cls(root, find_matching_layout(root, layout), writable=True, description=description)
        if not is_free(root):
            raise CohortError(root, "exists and holds something else", cure="choose a new folder")
        write_dataset(root, layout, 0, description)
        return cls(root, layout, writable=True, description=description)

    @property
    def ids(self) -> tuple[str, ...]:
        """The cases' ids, sorted."""
        return tuple(sorted(self._listed.keys() | self._written.keys() if self._written else self._listed))

    def __repr__(self) -> str:
        return f"Cohort('{self.root}', {counted(len(self), 'case')})"

    def __len__(self) -> int:
        return len(self._listed) + sum(case_id not in self._listed for case_id in self._written)

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._written or case_id in self._listed

    def __iter__(self) -> Iterator[Case]:
        return (self[case_id] for case_id in self.ids)

    def __getitem__(self, case_id: str) -> Case:
        """One case in canonical orientation (see ``canonical``), as training, measurement and evaluation use it."""
        return canonical_case(self.stored(case_id))

    def stored(self, case_id: str) -> Case:
        """One case in file orientation, to be written back unchanged; irregularities are logged once."""
        case, notes = self.read(case_id)
        for note in notes:
            if note not in self._noted:
                self._noted.add(note)
                _log.warning("%s", note)
        return case

    @property
    def ids_with_image(self) -> tuple[str, ...]:
        """Ids of the cases that have an image, sorted."""
        return tuple(case_id for case_id in self.ids if self._files_of(case_id).channels)

    @property
    def ids_with_labels(self) -> tuple[str, ...]:
        """Ids of the cases that have labels, sorted."""
        return tuple(case_id for case_id in self.ids if self._files_of(case_id).label_paths)

    def read(self, case_id: str, options: ReadOptions | None = None) -> tuple[Case, tuple[str, ...]]:
        """One case in file orientation, and one line per accepted irregularity.

        Raises:
            CohortError: no case has this id.
            FileError: a file is damaged.
            GeometryError: grids cannot be used, or differ between channels and label.
            ContentError: voxels that are not finite, or label values that are not declared.
        """
        case, notes = read_case(case_id, self.files(case_id), self.layout, options or ReadOptions())
        report, provenance = read_records(self.root, case_id)
        return replace(case, report=report, provenance=provenance), notes

    def geometry(self, case_id: str) -> Geometry:
        """The grid of a case in file orientation; reads only a header."""
        return read_case_grid(self.files(case_id))

    def image_region(self, case_id: str, region: Region) -> Float32[np.ndarray, "c x y z"]:
        """Part of a case's image in file orientation, without loading the rest; checksums are not verified.

        Raises:
            ContentError: the case has no image.
        """
        return read_case_image(case_id, self.files(case_id), region)

    def labels_region(self, case_id: str, region: Region) -> UInt8[np.ndarray, "x y z"]:
        """Part of a case's labels, read like ``image_region``.

        Raises:
            ContentError: the case has no labels.
        """
        return read_case_labels(case_id, self.files(case_id), self.layout, region)

    def files(self, case_id: str) -> CaseFiles:
        """The files of a case.

        Raises:
            CohortError: no case has this id.
        """
        if case_id not in self:
            raise CohortError(self.root, f"no case {case_id!r}", f"has {first_of(self.ids)}", "choose one of these")
        files = self._files_of(case_id)
        note_used(*files.paths, *(self.root / folder / f"{case_id}.json" for folder in (REPORTS, PROVENANCE)))
        return files

    def _files_of(self, case_id: str) -> CaseFiles:
        return self._written.get(case_id) or self._listed[case_id]

    def is_synthetic(self, case_id: str) -> bool:
        """Whether a case is synthetic, as ``Case.synthetic``; reads its provenance alone.

        Raises:
            CohortError: no case has this id.
        """
        self.files(case_id)
        _, provenance = read_records(self.root, case_id)
        return provenance is not None and provenance.get("synthetic") is not False

    def subset(self, ids: Iterable[str]) -> "Cohort":
        """A read-only cohort of some cases; no files are copied.

        Raises:
            CohortError: no case has one of these ids.
        """
        return Cohort(self.root, replace(self.layout, cases={case_id: self.files(case_id) for case_id in ids}))

    def monai(self) -> list[dict[str, Any]]:
        """The cases for ``monai.data.Dataset``, as ``load_decathlon_datalist`` has them (see ``datalists``)."""
        return monai_datalist(self)

    def torchio(self) -> list[Any]:
        """The cases for ``torchio.SubjectsDataset`` (see ``datalists``); TorchIO must be installed."""
        return torchio_subjects(self)

    def write(self, case: Case) -> None:
        """Writes a case, each file atomically, with a marker file until the last file is written.

        A case whose writer was killed is not listed and may be written again. The last file of a synthetic case is its
        provenance, with the hashes of the others.

        Raises:
            CohortError: the cohort is read-only, the id is not a valid file name, or channels or labels differ.
            ContentError: values that the stored dtype cannot hold, or undeclared labels.
        """
        self._check_writable()
        self._written[case.id] = CaseWriter(self.root, self.layout).write(case)

    def write_all(self, ids: Sequence[str], case_of: Callable[[str], Case]) -> None:
        """Writes cases as ``write`` does, with one sync for many: the markers of a batch stay until it is synced.

        After a kill or a power cut, no case is listed that is not whole, and at most a batch is written again.

        Args:
            ids: of the cases.
            case_of: id -> case that is written under it.

        Raises:
            CohortError, ContentError: as of ``write``; cases before that one are written.
        """
        self._check_writable()
        CaseWriter(self.root, self.layout).write_all(ids, case_of, self._written.__setitem__)

    def _check_writable(self) -> None:
        if not self._writable:
            raise CohortError(self.root, "was opened for reading", cure="write to a new cohort (Cohort.create)")

    def finish(self) -> None:
        """Writes dataset.json for the cases on disk and verifies nnU-Net's rules.

        No other process may be writing to the folder: leftovers of killed writers are removed.

        Raises:
            CohortError: a case is incomplete, there is none, or a rule does not hold.
        """
        self._listed, self._written = {}, {}  # listed anew; two lists at once would take twice the memory
        self._listed = finish_folder(self.root, self.layout, self._description).cases

    def finish_known(self, ids: Collection[str]) -> None:
        """As ``finish``, of a folder whose cases are known; memory does not grow with their number.

        Args:
            ids: of all cases that the folder may hold; those without provenance are not made.

        Raises:
            CohortError: a case is incomplete, or a file belongs to none.
        """
        finish_known(self.root, self.layout, self._description, ids)

    def content_hash(self, advance: Advance = ignored) -> str:
        """SHA-256 over ids and file bytes; independent of listing order and file times.

        Args:
            advance: called once for each case, whose files are read whole.
        """
        digest = hashlib.sha256()
        for case_id in self.ids:
            extra = [self.root / folder / f"{case_id}.json" for folder in (REPORTS, PROVENANCE)]
            paths = [*self.files(case_id).paths, *extra]
            sums = [sha256_of(path) if path.exists() else "" for path in paths]
            digest.update(json.dumps([case_id, *sums]).encode())
            advance(1, case_id)
        return digest.hexdigest()
