"""Encodes every phrase of a report once and keeps the vectors: FILE, or the table that the package ships.

python examples/build_phrase_table.py                              the shipped table, with MiniLM
python examples/build_phrase_table.py FILE biomedclip [FOLDER]     another one, with BiomedCLIP's text tower
"""

import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from medsmith.errors import MedsmithError
from medsmith.text.embeddings import PhraseTable, shipped_file
from medsmith.text.encoders import BiomedCLIP, MiniLM, TextEncoder
from medsmith.text.phrases import FAMILIES

SHOWN = 9


def main(file: Path, encoder: TextEncoder) -> None:
    """Build a table, save it, and print how far apart it holds what one attribute can say."""
    table = PhraseTable.build(encoder)
    table.save(file)
    print(f"{table.encoder}: {sum(map(len, FAMILIES.values()))} phrases, {file.stat().st_size / 1000:.0f} kB -> {file}")
    print("cosine before -> after")
    for line in cosines(table, table.whitened()):
        print(line)


def cosines(raw: PhraseTable, whitened: PhraseTable) -> Iterator[str]:
    """The closest pairs of each attribute with few options, before and after whitening."""
    for family, phrases in FAMILIES.items():
        if not 1 < len(phrases) <= SHOWN:
            continue
        before, after = (_cosine(table.vectors[family]) for table in (raw, whitened))
        pairs = sorted(combinations(range(len(phrases)), 2), key=lambda pair: -before[pair])
        for pair in pairs[:3]:
            first, second = (phrases[index] for index in pair)
            yield f"  {family}: {before[pair]:.2f} -> {after[pair]:+.2f}  {first} | {second}"


def _cosine(rows: np.ndarray) -> np.ndarray:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


def _encoder(arguments: list[str]) -> TextEncoder:
    if not arguments:
        return MiniLM()
    return BiomedCLIP(*arguments[1:2])


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else shipped_file(), _encoder(sys.argv[2:]))
    except MedsmithError as error:
        print(error.line, file=sys.stderr)
        sys.exit(error.exit_code)
