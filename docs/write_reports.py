"""Writes the tables of docs/reports.md and the JSON Schema from the code; --check fails if they are out of date."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from medsmith.reports.organs import GROUPS, HOLLOW, ORGAN_PHRASES
from medsmith.reports.parsing.terms import Meaning
from medsmith.reports.parsing.terms import terms as parser_terms
from medsmith.reports.rules import INCOMPATIBLE_OPTIONS, LESION_TYPES, ORGAN_SPECIFIC_OPTIONS
from medsmith.reports.rules_types import FeatureSets, Range
from medsmith.reports.schema import json_schema
from medsmith.reports.vocabulary import ATTRIBUTES, SYNONYMS

PAGE = Path(__file__).with_name("reports.md")
SCHEMA = Path(__file__).with_name("report.schema.json")
_NOT_SHOWN = {"part", "unused", "unquantified", "header", "side", "hedged"}
_MOST_TERMS = 8
BLOCK = re.compile(r"(<!-- table: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def template() -> str:
    """Options of each attribute, and the steps that read it."""
    numbers = {
        "organ": "TotalSegmentator's names, or a group of them",
        "size_mm": "three edges, mm",
        "ct_value_hu": "mean, HU",
    }
    rows = [
        (
            f"`{row.name}`",
            row.title,
            "; ".join(row.options) or numbers[row.name],
            *("yes" if consumer in row.feeds else "" for consumer in ("box", "mask", "image")),
        )
        for row in ATTRIBUTES.values()
    ]
    return _table(["field", "attribute", "options", "box", "mask (LMNet)", "image (LINet)"], rows)


def synonyms() -> str:
    """Synonyms of each option."""
    return _table(["term", "also understood"], [(option, "; ".join(others)) for option, others in SYNONYMS.items()])


def terms() -> str:
    """Terms of the parser that are neither options, synonyms nor organs."""
    phrases: dict[str, list[str]] = {}
    for phrase, meanings in parser_terms():
        if not {meaning.name for meaning in meanings} & _NOT_SHOWN:
            phrases.setdefault("; ".join(map(_meaning, meanings)), []).append(phrase)
    rows = [(meaning, ", ".join(found[:_MOST_TERMS])) for meaning, found in phrases.items()]
    return _table(["meaning", "terms"], rows)


def _meaning(meaning: Meaning) -> str:
    if meaning.name in ("kind", "noun"):
        return meaning.value if meaning.name == "kind" else "a lesion"
    if meaning.name in ("organ", "implied"):
        return f"`{meaning.value}`" + (" unless another organ is named" if meaning.name == "implied" else "")
    return {
        "consistency": f"{meaning.value}, unless another density is named",
        "excluded": f"not {meaning.value}",
        "sides": "one on each side",
        "untyped": "no type: density, CT value or features must be said",
        "read as": "told as an approximation",
    }.get(meaning.name, meaning.value)


def organs() -> str:
    """Kind, members and synonyms of the organs with lesion types."""
    names = dict.fromkeys(name for row in LESION_TYPES.values() for name in (row.organ,))
    rows = []
    for name in names:
        words = [phrase for phrase, organ in ORGAN_PHRASES.items() if organ == name]
        kind = "hollow" if name in HOLLOW else "parenchymal"
        rows.append((f"`{name}`", kind, ", ".join(f"`{part}`" for part in GROUPS.get(name, ())), ", ".join(words)))
    return _table(["organ", "kind", "members", "words"], rows)


def _range(values: Range | None) -> str:
    return f"{values[0]:g} to {values[1]:g}" if values else "does not occur"


def _sets(features: FeatureSets) -> str:
    return "; ".join(" + ".join(one) if one else "none" for one in features)


def appearances() -> str:
    """Compatible image attributes per lesion type."""
    rows = [
        (
            row.name,
            appearance.density,
            appearance.variation,
            _range(appearance.enhanced_hu),
            _range(appearance.non_contrast_hu),
            _sets(appearance.features),
        )
        for row in LESION_TYPES.values()
        for appearance in row.appearances
    ]
    return _table(["type", "density", "variation", "HU, enhanced", "HU, non-contrast", "features (one set)"], rows)


def morphologies() -> str:
    """Compatible mask attributes per lesion type."""
    rows = [
        (
            row.name,
            " + ".join(morphology.shape),
            _range(morphology.longest_mm),
            f"{morphology.min_aspect:g}",
            "; ".join(morphology.surfaces),
            "; ".join(morphology.cavities),
            "; ".join("none" if option.startswith("no ") else "close" for option in morphology.relationships),
            _sets(morphology.features),
        )
        for row in LESION_TYPES.values()
        for morphology in row.morphologies
    ]
    head = ["type", "shape", "longest edge, mm", "shortest / longest, least", "margin (one)", "place (one)"]
    return _table([*head, "relationship (one)", "features (one set)"], rows)


def bound() -> str:
    """Options that apply to some organs only."""
    rows = []
    for option, only in ORGAN_SPECIFIC_OPTIONS.items():
        inside = {member for organ in only for member in GROUPS.get(organ, ())}
        short = [
            f"`{organ}` and its parts" if organ in GROUPS else f"`{organ}`" for organ in only if organ not in inside
        ]
        many = "every organ except the lung" if set(only) >= HOLLOW else "every organ that is not hollow"
        rows.append((option, many if len(short) > len(HOLLOW) else ", ".join(short)))
    return _table(["option", "only for"], rows)


def never() -> str:
    """Pairs of options that contradict each other."""
    return _table(["option", "never with"], INCOMPATIBLE_OPTIONS)


TABLES: dict[str, Callable[[], str]] = {
    table.__name__: table for table in (template, synonyms, terms, organs, appearances, morphologies, bound, never)
}


def filled(text: str) -> str:
    """The page with every table replaced."""
    return BLOCK.sub(lambda block: f"{block[1]}{TABLES[block['name']]()}{block[3]}", text)


def main() -> int:
    """Write the tables and the schema, or compare them."""
    wanted = {PAGE: filled(PAGE.read_text()), SCHEMA: json.dumps(json_schema(), indent=2) + "\n"}
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    if "--check" not in sys.argv:
        for path in stale:
            path.write_text(wanted[path])
        return 0
    for path in stale:
        print(f"{path.name} is out of step with the code: run make docs", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
