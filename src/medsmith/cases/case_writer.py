"""Writes the files of cases to the folder of a cohort, so that a case counts as there only when it is whole."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from medsmith.cases.case import Case, Json
from medsmith.cases.case_files import CaseFiles, Layout
from medsmith.cases.case_io import write_case_files
from medsmith.cases.integrity import check_case_matches, check_id
from medsmith.cases.nnunet_folder import PROVENANCE, REPORTS, UNFINISHED, nnunet_files
from medsmith.errors import MedsmithError
from medsmith.formats.atomic import deferred_sync, mark, remove, sha256_of, write_json

_BATCH, _BATCH_SECONDS = 64, 2.0
"""Cases, and seconds, after which written cases are synced together."""


@final
@dataclass(frozen=True)
class CaseWriter:
    """Writes cases; see ``Cohort.write`` and ``Cohort.write_all``.

    Attributes:
        root: folder of the cohort.
        layout: its declaration.
    """

    root: Path
    layout: Layout

    def write(self, case: Case) -> CaseFiles:
        """Writes a case, with a marker until its last file is there.

        Raises:
            CohortError, ContentError: the case does not fit the cohort.
        """
        check_case_matches(self.root, case, self.layout.channel_names, self.layout.label_names)
        mark(self._marker(case.id))
        try:
            files, written = self._write_files(case)
            self._write_provenance(case.id, case.provenance, written)
        except MedsmithError:
            self._unmark_if_untouched(case.id)
            raise
        remove(self._marker(case.id))
        return files

    def write_all(
        self, ids: Sequence[str], case_of: Callable[[str], Case], listed: Callable[[str, CaseFiles], None]
    ) -> None:
        """Writes cases with one sync for many.

        Args:
            ids: of the cases.
            case_of: id -> case that is written under it.
            listed: receives each case that is whole and synced.

        Raises:
            CohortError, ContentError: a case does not fit the cohort; those before it are written.
        """
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            for case_id in batch:
                check_id(case_id)
            mark(*(self._marker(case_id) for case_id in batch))
            try:
                self._write_batch(batch, case_of, listed)
            finally:
                for case_id in batch:
                    self._unmark_if_untouched(case_id)

    def _write_batch(
        self, ids: Sequence[str], case_of: Callable[[str], Case], listed: Callable[[str, CaseFiles], None]
    ) -> None:
        written: dict[str, tuple[Json | None, CaseFiles, tuple[Path, ...]]] = {}
        began = time.monotonic()
        with deferred_sync() as sync:

            def close() -> None:
                sync()
                for case_id, (provenance, _, paths) in written.items():
                    self._write_provenance(case_id, provenance, paths)
                sync()
                for case_id, (_, files, _) in written.items():
                    remove(self._marker(case_id))
                    listed(case_id, files)
                written.clear()

            try:
                for case_id in ids:
                    case = replace(case_of(case_id), id=case_id)
                    check_case_matches(self.root, case, self.layout.channel_names, self.layout.label_names)
                    written[case_id] = (case.provenance, *self._write_files(case))
                    if time.monotonic() - began > _BATCH_SECONDS:
                        close()
                        began = time.monotonic()
            finally:
                close()

    def _marker(self, case_id: str) -> Path:
        return self.root / PROVENANCE / f"{case_id}{UNFINISHED}"

    def _whole(self, case_id: str) -> CaseFiles:
        """All files that a case of the cohort can have."""
        return nnunet_files(self.root, case_id, len(self.layout.channel_names), self.layout.file_ending)

    def _unmark_if_untouched(self, case_id: str) -> None:
        """Removes the marker of a case that no file was written of; else it stays."""
        if not any(path.exists() for path in self._whole(case_id).paths):
            remove(self._marker(case_id))

    def _write_files(self, case: Case) -> tuple[CaseFiles, tuple[Path, ...]]:
        """The files of a case, and those that are written, all but its provenance."""
        files = self._place(case)
        return files, write_case_files(case, files, self.root / REPORTS / f"{case.id}.json")

    def _write_provenance(self, case_id: str, provenance: Json | None, written: Iterable[Path]) -> None:
        if provenance is not None:
            sums = {path.relative_to(self.root).as_posix(): sha256_of(path) for path in written}
            write_json(self.root / PROVENANCE / f"{case_id}.json", {**provenance, "files": sums})

    def _place(self, case: Case) -> CaseFiles:
        """The files to write; other files of an earlier case with this id are removed."""
        remove(self.root / PROVENANCE / f"{case.id}.json")
        channels = 0 if case.image is None else len(self.layout.channel_names)
        files = nnunet_files(self.root, case.id, channels, self.layout.file_ending, labels=case.labels is not None)
        for path in set(self._whole(case.id).paths) - set(files.paths):
            remove(path)
        return files
