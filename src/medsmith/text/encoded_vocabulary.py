"""Text conditioning: settings, and the encoded vocabulary of each network."""

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
    """Settings of text conditioning by report attributes.

    Attributes:
        table: phrase table: name of the shipped one, or path of a file.
        dimension: vector length of the table.
        vectors: "raw" (the paper), or "whitened": centered and whitened over the vocabulary.
        reach: "cross-attention" (the paper), or "everywhere": also pooled, as modulation of every residual block.
        width: length of the projected vectors that the network attends to.
        pooled: length of the pooled vector.
        left_out: attribute dropout: probability that training replaces an attribute by the null vector.
        null: report dropout: probability that training replaces the whole report, as classifier-free guidance needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    table: str = "minilm"
    dimension: int = Field(default=384, ge=1, le=8192)
    vectors: Literal["raw", "whitened"] = "whitened"
    reach: Literal["cross-attention", "everywhere"] = "everywhere"
    width: int = Field(default=64, ge=1, le=8192)
    pooled: int = Field(default=128, ge=1, le=8192)
    left_out: float = Field(default=0.15, ge=0, lt=1)
    null: float = Field(default=0.1, ge=0, lt=1)


@final
@dataclass(frozen=True)
class EncodedVocabulary:
    """The encoded vocabulary of one network."""

    table: PhraseTable
    consumer: Consumer

    def of(self, report: LesionReport) -> Float32[Tensor, "1 n d"]:
        """The vectors of a report, one per attribute."""
        return torch.from_numpy(self.table.tokens(report, self.consumer).vectors)[None]

    @property
    def null(self) -> Float32[Tensor, "1 n d"]:
        """The null vector for every attribute."""
        return torch.from_numpy(self.table.tokens(LesionReport(), self.consumer).vectors)[None]


def load_vocabulary(text: TextConfig, consumer: Consumer, memory: Mapping[str, Tensor]) -> EncodedVocabulary:
    """The vocabulary stored with a method's weights, or else the table that its config names.

    Raises:
        FileError: the table does not exist.
        RequestError: its vector length differs from the config.
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
    """The raw vectors of one network's table in half precision, to store with its weights."""
    vectors = PhraseTable.load(text.table).vectors
    return {f"{consumer}_phrases.{family}": torch.from_numpy(rows).half() for family, rows in vectors.items()}
