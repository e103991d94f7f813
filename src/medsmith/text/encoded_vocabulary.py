"""Text conditioning: its settings, and the encoded vocabulary of each network, shipped or kept with the weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from medsmith.errors import RequestError
from medsmith.reports.schema import LesionReport
from medsmith.text.embeddings import PhraseTable

Consumer = Literal["mask", "image"]


@final
class TextConfig(BaseModel):
    """Settings of text conditioning: how the words of a report steer a network.

    Attributes:
        table: the encoded vocabulary: the name of the shipped one, or the file of another.
        dimension: numbers per vector of that table.
        vectors: "raw" as the encoder gives them (the paper), or "whitened": centred and whitened over the vocabulary.
        reach: "cross-attention" alone (the paper), or "everywhere": also, pooled, in every residual block.
        width: length of the vectors that the network looks at.
        pooled: length of the pooled vector.
        left_out: share of attributes that training replaces by the null text (attribute dropout).
        null: share of cases whose whole report training replaces by null texts; guidance needs some.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    table: str = "minilm"
    dimension: int = Field(default=384, ge=1)
    vectors: Literal["raw", "whitened"] = "whitened"
    reach: Literal["cross-attention", "everywhere"] = "everywhere"
    width: int = Field(default=64, ge=1)
    pooled: int = Field(default=128, ge=1)
    left_out: float = Field(default=0.15, ge=0, lt=1)
    null: float = Field(default=0.1, ge=0, lt=1)


@final
@dataclass(frozen=True)
class EncodedVocabulary:
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


def load_vocabulary(text: TextConfig, consumer: Consumer, memory: Mapping[str, Tensor]) -> EncodedVocabulary:
    """The vocabulary that is kept in a method's memory, or the one that its config names.

    Raises:
        FileError: there is no such table.
        RequestError: its vectors are not as long as the config says.
    """
    prefix = f"{consumer}_phrases."
    kept = {name.removeprefix(prefix): rows for name, rows in memory.items() if name.startswith(prefix)}
    vectors = {family: rows.float().numpy() for family, rows in kept.items()}
    table = PhraseTable(text.table, vectors) if kept else PhraseTable.load(text.table)
    if table.dimension != text.dimension:
        found = f"vectors of {table.dimension} numbers in {text.table}"
        raise RequestError("words.dimension", found, f"{text.dimension} in the config", "set words.dimension")
    return EncodedVocabulary(table if text.vectors == "raw" else table.whitened(), consumer)


def vocabulary_tensors(consumer: Consumer, text: TextConfig) -> dict[str, Tensor]:
    """The raw vectors of one network's table, in half precision as they are shipped."""
    vectors = PhraseTable.load(text.table).vectors
    return {f"{consumer}_phrases.{family}": torch.from_numpy(rows).half() for family, rows in vectors.items()}
