"""Cases with one file per label, as TotalSegmentator writes them: ``s01/ct`` and ``s01/segmentations/liver``, ..."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from medsmith.cases.case_files import CaseFiles
from medsmith.cases.integrity import first_of
from medsmith.cases.label_names import label_names_of
from medsmith.errors import CohortError
from medsmith.formats.files import stem_of
from medsmith.preparation.roles import Key


def joined_by_folder(
    images: Mapping[Key, list[Path]], labels: Mapping[Key, list[Path]]
) -> tuple[dict[Key, list[Path]], tuple[str, ...]]:
    """Label files by the image that is alone in their folder, and the names of the labels.

    Applies only where every label file lies in the folder of one image and has a name of its own there; otherwise
    nothing is changed and there are no names.

    Args:
        images: key -> files.
        labels: key -> files.
    """
    if not labels or any(key in images or key.parent not in images for key in labels):
        return dict(labels), ()
    found: dict[Key, list[Path]] = {}
    for key, paths in sorted(labels.items()):
        found.setdefault(key.parent, []).extend(paths)
    stems = [[stem_of(path) for path in paths] for paths in found.values()]
    if any(len(set(each)) < len(each) for each in stems):
        return dict(labels), ()
    return found, tuple(sorted({stem for each in stems for stem in each}))


def choose_labels(
    root: Path, cases: Mapping[str, CaseFiles], names: tuple[str, ...], declared: Mapping[str, int]
) -> tuple[dict[str, CaseFiles], dict[str, int]]:
    """The cases with the files of the declared labels, or of all labels, and name -> value of these, from 1.

    Args:
        root: of the files, for the message.
        cases: id -> files.
        names: of all labels.
        declared: name -> value; empty for all.

    Raises:
        CohortError: there is no file for a declared label.
    """
    wanted = tuple(name for name in declared if declared[name]) or names
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise CohortError(
            root, f"no file is named for label {unknown[0]}", f"there are {first_of(names)}", "correct it"
        )
    chosen = {}
    for case_id, files in cases.items():
        paths = [path for path in files.label_paths if stem_of(path) in wanted]
        chosen[case_id] = replace(files, labels=paths[0] if paths else None, extra_labels=tuple(paths[1:]))
    return chosen, label_names_of({"background": 0} | {name: row for row, name in enumerate(wanted, start=1)}, root)
