"""Precomputed vectors of all report phrases, so that training and sampling need no text encoder.

A phrase table is a safetensors file of half-precision vectors. The paper uses raw vectors. Whitening
separates opposites: in raw MiniLM, "well-defined margin" and "ill-defined margin" have cosine similarity 0.87.
"""

import difflib
import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, Float32
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from medsmith.errors import FileError, RequestError
from medsmith.formats.atomic import write_bytes
from medsmith.reports.number_encoding import SCALES, sinusoidal_encoding
from medsmith.reports.organs import find_organ
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import attributes_for
from medsmith.text.encoders import TextEncoder
from medsmith.text.phrases import FAMILIES, phrase_of
from medsmith.text.whitening import combine, whiten_families

SHIPPED = "minilm"
_ENDING = ".safetensors"
_KEY = "phrase_table"


@final
@dataclass(frozen=True)
class Tokens:
    """The conditioning tokens of one lesion for one network.

    Attributes:
        vectors: one row per attribute that the network uses, in template order.
        present: whether the report states the attribute; otherwise the row is the null vector.
    """

    vectors: Float32[np.ndarray, "n d"]
    present: Bool[np.ndarray, "n"]


@final
@dataclass(frozen=True)
class PhraseTable:
    """Phrase -> vector, for the finite vocabulary of reports.

    Attributes:
        encoder: name of the text encoder.
        vectors: family of phrases -> one row per phrase, in the order of ``FAMILIES``.
    """

    encoder: str
    vectors: Mapping[str, Float32[np.ndarray, "_ d"]]

    @classmethod
    def build(cls, encoder: TextEncoder) -> "PhraseTable":
        """Encodes the vocabulary; vectors are rounded to half precision, as stored."""
        rows = {name: encoder.encode(phrases) for name, phrases in FAMILIES.items()}
        return cls(encoder.name, {name: row.astype(np.float16).astype(np.float32) for name, row in rows.items()})

    @classmethod
    def load(cls, name: str | Path = SHIPPED) -> "PhraseTable":
        """Loads the shipped table by name, or another from a file; the ending .safetensors may be omitted.

        Raises:
            FileError: no such table, or it is damaged, or its phrases are not those of this version.
        """
        path = shipped_file() if str(name) == SHIPPED else _with_ending(Path(name))
        if not path.exists():
            found = "does not exist, the phrase table that the config names"
            raise FileError(path, found, f"shipped: {SHIPPED}", _how_to_build(path))
        try:
            with safe_open(path, "np") as file:
                said = json.loads(file.metadata()[_KEY])
                encoder, phrases = str(said["encoder"]), said["phrases_sha256"]
                vectors = {name: file.get_tensor(name).astype(np.float32) for name in FAMILIES}
        except (OSError, SafetensorError, TypeError, KeyError, ValueError) as error:
            raise FileError(path, f"is no phrase table ({error})", f"shipped: {SHIPPED}", _how_to_build(path)) from None
        if phrases != phrases_sha256():
            raise FileError(path, "its phrases are not those of this version", cure=_how_to_build(path))
        return cls(encoder, vectors)

    def save(self, path: Path) -> None:
        """Writes the table in half precision with the encoder's name and the hash of the phrases.

        Raises:
            FileError: the file cannot be written.
        """
        # A single key: safetensors writes several in arbitrary order, but equal tables must give equal bytes.
        said = json.dumps({"encoder": self.encoder, "phrases_sha256": phrases_sha256()}, sort_keys=True)
        halved = {name: np.ascontiguousarray(rows, np.float16) for name, rows in self.vectors.items()}
        write_bytes(path, save(halved, metadata={_KEY: said}))

    def whitened(self) -> "PhraseTable":
        """The whitened table, see ``whitening``; each vector has a mean square of 1."""
        stored = tuple((name, rows.shape, rows.astype(np.float64).tobytes()) for name, rows in self.vectors.items())
        return PhraseTable(self.encoder, dict(_whitened(stored)))

    @property
    def dimension(self) -> int:
        """Numbers per phrase, d."""
        return int(self.vectors["null"].shape[1])

    def vector(self, family: str, phrase: str) -> Float32[np.ndarray, "d"]:
        """The vector of one phrase.

        Raises:
            RequestError: the family has no such phrase.
        """
        known = FAMILIES[family]
        if phrase not in known:
            near = ", ".join(difflib.get_close_matches(phrase, known, n=3, cutoff=0.4))
            raise RequestError(family, f"no phrase '{phrase}' in the table", f"nearest: {near}" if near else "")
        row: Float32[np.ndarray, "d"] = self.vectors[family][known.index(phrase)]
        return row

    def tokens(self, report: LesionReport, consumer: Literal["mask", "image"]) -> Tokens:
        """One token per attribute that a network uses, in template order.

        Several options of one attribute give the mean of their vectors; an unstated attribute gives the null vector; a
        number combines its attribute's title vector with its sinusoidal encoding, at the norm of the null vector.

        Raises:
            RequestError: an organ that the vocabulary does not have.
        """
        said = [self._token(row.name, getattr(report, row.name)) for row in attributes_for(consumer)]
        vectors = [self.vector("null", "") if token is None else token for token in said]
        return Tokens(np.stack(vectors), np.array([token is not None for token in said]))

    def _token(self, attribute: str, value: object) -> Float32[np.ndarray, "d"] | None:
        if value is None or value == ():
            return None
        values = value if isinstance(value, tuple) else (value,)
        if attribute in SCALES:
            return self._number(attribute, values)
        phrases = [_organ_phrase(str(each)) if attribute == "organ" else str(each) for each in values]
        mean: Float32[np.ndarray, "d"] = np.mean([self.vector(attribute, phrase) for phrase in phrases], axis=0)
        return mean

    def _number(self, attribute: str, values: tuple[float, ...]) -> Float32[np.ndarray, "d"]:
        title = self.vectors[attribute][0].astype(np.float64)
        waves = sinusoidal_encoding(values, SCALES[attribute], self.dimension)
        mixed = combine(title / np.linalg.norm(title), waves[None])[0]
        return np.asarray(mixed * np.linalg.norm(self.vector("null", "")), np.float32)


def _organ_phrase(organ: str) -> str:
    """The vocabulary's phrase for an organ."""
    return phrase_of(find_organ(organ) or organ)


def _with_ending(path: Path) -> Path:
    return path if path.suffix else path.with_name(path.name + _ENDING)


def _how_to_build(path: Path) -> str:
    command = f"python examples/build_phrase_table.py {shlex.quote(str(path))} biomedclip FOLDER"
    return f"build it from a folder with the encoder's weights (docs/text.md): {command}"


def shipped_file() -> Path:
    """Path of the shipped table."""
    return Path(__file__).with_name(f"{SHIPPED}.safetensors")


def phrases_sha256() -> str:
    """The hash of the vocabulary, families and phrases in their order."""
    return hashlib.sha256(json.dumps(dict(FAMILIES)).encode()).hexdigest()


@lru_cache(maxsize=4)
def _whitened(stored: tuple[tuple[str, tuple[int, ...], bytes], ...]) -> Mapping[str, Float32[np.ndarray, "n d"]]:
    """Whitened vectors by name, shape and bytes: both networks of a method have the same table most often."""
    exact = {name: np.frombuffer(data).reshape(shape) for name, shape, data in stored}
    return {name: rows.astype(np.float32) for name, rows in whiten_families(exact).items()}
