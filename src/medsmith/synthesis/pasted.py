"""What copy-paste put into the cases of a cohort, in one line."""

from pathlib import Path

from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.errors import counted
from medsmith.formats.json_file import read_json


def pasted_line(out: Path) -> str:
    """How many structures were pasted, and how many the images had of their own; empty if nothing was pasted."""
    records = [read_json(path) for path in sorted((out / PROVENANCE).glob("*.json"))]
    records = [record for record in records if "own_structures" in record]
    if not records:
        return ""
    pasted, own = sum(len(record["pasted"]) for record in records), [record["own_structures"] for record in records]
    line = f"{counted(pasted, 'structure')} pasted into {counted(len(records), 'image')}"
    if not any(own):
        return f"{line}, which had none of their own"
    keep, each = sum(map(bool, own)), (pasted + sum(own)) / len(records)
    return (
        f"{line}, {keep} of which keep those of their own ({sum(own)}): {each:.1f} per image and mask; for pasted ones "
        "alone name images without any: --templates COHORT"
    )
