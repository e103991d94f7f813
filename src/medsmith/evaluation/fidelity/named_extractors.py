"""The extractors that can be asked for by name."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from medsmith.errors import FileError, RequestError, similar
from medsmith.evaluation.fidelity.astra import Astra
from medsmith.evaluation.fidelity.extractors import Extractor
from medsmith.evaluation.fidelity.inception import INSTALL, VARIABLE, Inception, find_inception
from medsmith.evaluation.fidelity.radiomics import Radiomics
from medsmith.evaluation.fidelity.resnet import MedicalNet, RadImageNet


def _inception(weights: Path | None) -> Extractor:
    found = weights or find_inception()
    if found is None:
        raise FileError(VARIABLE, "names no weights", cure=INSTALL)
    return Inception(found)


def _radiomics(weights: Path | None) -> Extractor:
    if weights is not None:
        raise RequestError("extractor", f"radiomics={weights}", "radiomics has no weights", "leave out the path")
    return Radiomics()


EXTRACTORS: Mapping[str, Callable[[Path | None], Extractor]] = {
    "inception": _inception,
    "radiomics": _radiomics,
    "medicalnet-resnet50": MedicalNet,
    "radimagenet-resnet50": RadImageNet,
    "astra-resnet152": Astra,
}


def extractor_named(text: str) -> Extractor:
    """An extractor by its name, or by NAME=PATH with the file of its weights.

    Args:
        text: such as "medicalnet-resnet50=weights.safetensors".

    Raises:
        RequestError: no such extractor.
        FileError: its weights are missing, others, or in a file that may hold code.
        RunError: its weights are damaged or of another network.
    """
    name, _, path = text.partition("=")
    if name not in EXTRACTORS:
        cure = similar(name, EXTRACTORS, "name one of them")
        raise RequestError("extractor", f"no {name!r}", f"there are {', '.join(EXTRACTORS)}", cure)
    return EXTRACTORS[name](Path(path) if path else None)


def default_extractors() -> list[Extractor]:
    """FID Inception if its weights are found, and the radiomic vector."""
    weights = find_inception()
    return [*([Inception(weights)] if weights else []), Radiomics()]


def extractors_named(names: Sequence[str]) -> list[Extractor]:
    """Extractors by their names; the default ones without any."""
    return [extractor_named(name) for name in names] if names else default_extractors()
