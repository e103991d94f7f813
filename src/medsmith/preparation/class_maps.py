"""Class maps: the names of all label values of a known segmentation tool."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, get_args

from medsmith.errors import ContentError, RequestError, similar
from medsmith.formats.label_table import label_table
from medsmith.preparation.options import PrepareOptions
from medsmith.reports.organs import V1, V2

Name = Literal["totalsegmentator", "totalsegmentator-v1"]
CLASS_MAPS: Final[Mapping[str, Mapping[int, str]]] = MappingProxyType(dict(zip(get_args(Name), (V2, V1), strict=True)))
"""Name -> value -> class: 117 classes of TotalSegmentator 2, 104 of version 1."""
_OPTION = "--class-map"


def with_declared_classes(options: PrepareOptions, paths: Iterable[Path]) -> PrepareOptions:
    """The options with the classes of their class map among the label names; unchanged where there is none.

    A declared label takes the place of the class of its name or value.

    Args:
        options: declarations.
        paths: the label maps. The names that TotalSegmentator 2 writes into a file must be those of the class map.

    Raises:
        RequestError: there is no such class map.
        ContentError: a file calls a value by another name.
    """
    if options.class_map is None:
        return options
    if options.class_map not in CLASS_MAPS:
        cure = similar(options.class_map, CLASS_MAPS, "choose one")
        raise RequestError(_OPTION, f"'{options.class_map}'", f"one of {', '.join(CLASS_MAPS)}", cure)
    taken = set(options.label_names.values())
    classes = {value: name for value, name in CLASS_MAPS[options.class_map].items() if value not in taken}
    for path in paths:
        for value, name in label_table(path).items():
            if classes.get(value, name) != name:
                found = f"calls label {value} '{name}'"
                limit = f"'{classes[value]}' in the class map {options.class_map}"
                raise ContentError(path, found, limit, "take the class map of its task, or --label for each")
    return replace(options, label_names={name: value for value, name in classes.items()} | dict(options.label_names))


def written_names(paths: Iterable[Path]) -> dict[str, int]:
    """Name -> value from the tables in the headers of label maps, as TotalSegmentator 2 writes them (``--ml``).

    Args:
        paths: the label maps.

    Returns:
        The names of all tables; {} where a file has none, or where they contradict each other.
    """
    tables = [label_table(path) for path in paths]
    written = dict(sorted(pair for pair in {pair for table in tables for pair in table.items()}))
    values = {name: value for value, name in written.items()}
    agree = all(written[value] == name for table in tables for value, name in table.items())
    return values if tables and all(tables) and agree and len(values) == len(written) else {}


def check_no_class_map(root: Path, options: PrepareOptions) -> None:
    """Checks that no class map is given where labels are not told apart by their values.

    Raises:
        RequestError: there is one.
    """
    if options.class_map is not None:
        limit = "the labels there have names: of files, segments or ROIs"
        raise RequestError(_OPTION, f"does not apply to {root}", limit, "leave it out")
