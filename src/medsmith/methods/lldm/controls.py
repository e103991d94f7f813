"""The ControlNets of 3D-LLDM, and what each sees of a label map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from medsmith.data.fingerprint import Fingerprint
from medsmith.errors import RequestError, similar
from medsmith.methods.lldm.config import LldmConfig
from medsmith.networks.controlnet import ControlNet

CONTROL = "control_"
"""Before the name of a ControlNet in that of its stage."""


@final
@dataclass(frozen=True, eq=False)
class Condition:
    """What one ControlNet is given.

    Attributes:
        name: of the ControlNet.
        state: label latent.
        weight: of its residuals.
    """

    name: str
    state: Float[Tensor, "b d *latent"]
    weight: float


def control_networks(config: LldmConfig, facts: Fingerprint, modulation: int) -> nn.ModuleDict:
    """A ControlNet for each name in the config.

    Args:
        config: of the method.
        facts: of the training cohort.
        modulation: length of the vector that modulates the networks.

    Raises:
        RequestError: the cohort has no such label.
    """
    for control in config.controls:
        unknown = [label for label in control.labels if not facts.label_names.get(label)]
        if unknown:
            known = [label for label, value in facts.label_names.items() if value]
            limit, cure = f"there are {', '.join(known)}", similar(unknown[0], known, "choose of these")
            raise RequestError(f"controls.{control.name}", f"no label '{unknown[0]}'", limit, cure)
    image, condition = config.image_autoencoder.latent, config.label_autoencoder.latent
    return nn.ModuleDict(
        {
            control.name: ControlNet(config.image_network, facts.dimensions, image, condition, modulation=modulation)
            for control in config.controls
        }
    )


def visible(labels: UInt8[Tensor, "1 *space"], seen: Sequence[str], facts: Fingerprint) -> UInt8[Tensor, "1 *space"]:
    """A map of indices with the labels that a ControlNet sees; the others are background.

    Args:
        labels: indices of classes, in the order of the label values.
        seen: names; none are all.
        facts: of the training cohort.
    """
    if not seen:
        return labels
    indices = [facts.foreground_labels.index(facts.label_names[name]) + 1 for name in seen]
    kept = torch.isin(labels, torch.tensor(indices, dtype=labels.dtype))
    return torch.where(kept, labels, torch.zeros_like(labels))


def control_weights(asked: float | Mapping[str, float], config: LldmConfig) -> Mapping[str, float]:
    """The weight of each ControlNet.

    Args:
        asked: one for all, or by name; 1 where none is given.
        config: of the method.

    Raises:
        RequestError: no such ControlNet.
    """
    names = [control.name for control in config.controls]
    if not isinstance(asked, Mapping):
        return dict.fromkeys(names, asked)
    unknown = [name for name in asked if name not in names]
    if unknown:
        cure = similar(unknown[0], names)
        raise RequestError("control", f"no ControlNet '{unknown[0]}'", f"there are {', '.join(names)}", cure)
    return {name: asked.get(name, 1.0) for name in names}
