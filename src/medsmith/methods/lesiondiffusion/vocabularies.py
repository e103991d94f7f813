"""The encoded vocabulary of each network, shipped or kept with the weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float32
from torch import Tensor

from medsmith.conditioning.embeddings import PhraseTable
from medsmith.conditioning.schema import LesionReport
from medsmith.errors import RequestError
from medsmith.methods.lesiondiffusion.config import WordsConfig

Consumer = Literal["mask", "image"]


@final
@dataclass(frozen=True)
class Vocabulary:
    """The encoded vocabulary of one network."""

    table: PhraseTable
    consumer: Consumer

    def of(self, report: LesionReport) -> Float32[Tensor, "1 n d"]:
        """One vector per attribute."""
        return torch.from_numpy(self.table.tokens(report, self.consumer).vectors)[None]

    @property
    def null(self) -> Float32[Tensor, "1 n d"]:
        """The null text of every attribute."""
        return torch.from_numpy(self.table.tokens(LesionReport(), self.consumer).vectors)[None]


def vocabulary_of(words: WordsConfig, consumer: Consumer, memory: Mapping[str, Tensor]) -> Vocabulary:
    """The vocabulary that is kept in a method's memory, or the one that its config names.

    Raises:
        FileError: there is no such table.
        RequestError: its vectors are not as long as the config says.
    """
    prefix = f"{consumer}_phrases."
    kept = {name.removeprefix(prefix): rows for name, rows in memory.items() if name.startswith(prefix)}
    vectors = {family: rows.float().numpy() for family, rows in kept.items()}
    table = PhraseTable(words.table, vectors) if kept else PhraseTable.load(words.table)
    if table.dimension != words.dimension:
        found = f"vectors of {table.dimension} numbers in {words.table}"
        raise RequestError("words.dimension", found, f"{words.dimension} in the config", "set words.dimension")
    return Vocabulary(table if words.vectors == "raw" else table.centred_and_whitened(), consumer)


def kept_table(consumer: Consumer, words: WordsConfig) -> dict[str, Tensor]:
    """The raw vectors of one network's table, in half precision as they are shipped."""
    vectors = PhraseTable.load(words.table).vectors
    return {f"{consumer}_phrases.{family}": torch.from_numpy(rows).half() for family, rows in vectors.items()}
