"""A labeler: a segmentation network as one safetensors file, and its predictions."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import nn

from medsmith.annotation.rules import LabelRules
from medsmith.cases.case import Case
from medsmith.errors import RunError
from medsmith.evaluation.downstream.loaded_cohort import standardized_image
from medsmith.evaluation.downstream.segmenter import SegmenterConfig, build_segmenter, class_shares
from medsmith.formats.atomic import write_bytes
from medsmith.formats.json_file import parse_json
from medsmith.formats.opening import read_bytes

_KEY = "labeler"
_LIMIT = 2**30
_DIGITS = 4


@final
@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted labels of one slice.

    Attributes:
        labels: cleaned, on the grid of the case.
        confidence: label -> mean probability over its pixels; None where it has none.
    """

    labels: UInt8[np.ndarray, "x y z"]
    confidence: Mapping[str, float | None]


@final
@dataclass(frozen=True, eq=False)
class Labeler:
    """A trained segmentation network with all that its predictions depend on.

    Attributes:
        network: returns one logit per class.
        config: of its training.
        edge: of its grid.
        channels: of its images.
        label_names: name -> value, with the background.
        content_hash: SHA-256 of its file.
    """

    network: nn.Module
    config: SegmenterConfig
    edge: int
    channels: int
    label_names: Mapping[str, int]
    content_hash: str

    def predict(self, case: Case, rules: LabelRules) -> Prediction:
        """The labels of a slice, on its own grid, cleaned by rules.

        Args:
            case: in canonical orientation.
            rules: of the annotated maps.
        """
        image = torch.from_numpy(standardized_image(case, self.edge))
        shares = class_shares(self.network, image, case.geometry.shape[:2])
        labels = rules.clean(np.asarray(shares.argmax(axis=0), np.uint8))
        confidence = {
            name: round(float(shares[value][labels == value].mean()), _DIGITS) if (labels == value).any() else None
            for name, value in self.label_names.items()
            if value
        }
        return Prediction(labels[:, :, None], confidence)


def write_labeler(
    path: Path, network: nn.Module, config: SegmenterConfig, edge: int, channels: int, label_names: Mapping[str, int]
) -> None:
    """Writes a labeler atomically; equal labelers give equal bytes.

    Raises:
        FileError: the file cannot be written.
    """
    facts = {
        "config": config.model_dump(mode="json"),
        "edge": edge,
        "channels": channels,
        "label_names": dict(label_names),
    }
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_bytes(path, save(tensors, metadata={_KEY: json.dumps(facts, sort_keys=True)}))


def read_labeler(path: Path) -> Labeler:
    """Reads a labeler.

    Raises:
        FileError: there is no such file.
        RunError: it is no labeler, or damaged.
    """
    data = read_bytes(path, _LIMIT)
    try:
        with safe_open(path, "pt") as file:
            facts: dict[str, Any] = parse_json((file.metadata() or {})[_KEY])
        config = SegmenterConfig.model_validate(facts["config"])
        network = build_segmenter((2, facts["channels"]), len(facts["label_names"]), config)
        network.load_state_dict(load(data))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError, MemoryError):
        raise RunError(path, "is no labeler, or damaged", cure="remove it; the same command trains it again") from None
    network.eval()
    digest = hashlib.sha256(data).hexdigest()
    return Labeler(network, config, facts["edge"], facts["channels"], facts["label_names"], digest)
