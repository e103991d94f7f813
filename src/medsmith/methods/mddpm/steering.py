"""From a request to the guides of the sampling and the annotation that they bring.

Axes: c channels, ``*space`` = x y or x y z on the network's grid.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from medsmith.anatomy import AnatomyMap
from medsmith.cases.case_ref import open_cohort
from medsmith.data.fingerprint import Fingerprint
from medsmith.diffusion import LowPassGuide, Sampling, derive_seed
from medsmith.errors import RequestError, similar
from medsmith.methods.guides import GuideAction, low_pass_guides, soft_region
from medsmith.methods.mddpm.lesion_labels import with_lesion_labels
from medsmith.methods.mddpm.matching import GrayTarget, levels_of_slice
from medsmith.methods.mddpm.pathology import Source, lesion_label, load_source
from medsmith.methods.mddpm.request import MddpmRequest, Pathology
from medsmith.methods.mddpm.requested_anatomy import RequestedAnatomy
from medsmith.methods.mddpm.transplant import Placed, PlacementError, Transplant

_ANATOMIES = 50
"""Anatomies sampled until the lesions fit."""
_ACTS = 0.5
"""Least effect of a lesion's guide, where it is largest: the lesion's own region has 1 inside."""


@final
@dataclass(frozen=True, eq=False)
class ModelFacts:
    """What steering needs to know of the trained model.

    Attributes:
        cohort: fingerprint of its training cohort.
        size: grid of the network.
        length: of the noise schedule.
        quantiles: of the gray values of the training images, in model space.
    """

    cohort: Fingerprint
    size: tuple[int, ...]
    length: int
    quantiles: Float32[Tensor, "c q"]


@final
@dataclass(frozen=True, eq=False)
class Steering:
    """How one case is steered.

    Attributes:
        guides: guidance images by their keys in the request ("guides.0", "anatomy", "pathologies.0"), in the order in
            which a sequential combination applies them.
        labels: the annotation; None where the request brings none.
        regions: name -> region of every class of the anatomy; empty without one.
        lesions: at their places.
        record: what the provenance states: attempts of the shape space, places of the lesions, and the cases that were
            drawn or named for textures, lesions and a followed map.
    """

    guides: Mapping[str, LowPassGuide]
    labels: UInt8[np.ndarray, "*space"] | None
    regions: Mapping[str, Bool[np.ndarray, "x y"]]
    lesions: tuple[Placed, ...]
    record: Mapping[str, Any]


@final
@dataclass(frozen=True, eq=False)
class _Scene:
    """An anatomy, if one is asked for, with the case that it follows, and the lesions that have a place in it."""

    anatomy: AnatomyMap | None
    followed: str | None
    regions: Mapping[str, Bool[np.ndarray, "x y"]]
    lesions: tuple[Placed, ...]
    attempts: int


def annotated_facts(request: MddpmRequest, facts: Fingerprint) -> Fingerprint:
    """The fingerprint of the cases of a request: the training cohort's, with the labels that the request brings.

    Labels of the same name become one label. Their shares are unknown before a case is made.

    Raises:
        RequestError: a class or a label that does not exist.
    """
    request, names = with_lesion_labels(request), {"background": 0}
    classes = RequestedAnatomy.of(request.anatomy).annotated if request.anatomy else ()
    for name in (*classes, *_lesion_labels(request.pathologies)):
        names.setdefault(name, len(names))
    return facts.model_copy(update={"label_names": names, "label_share": dict.fromkeys(names, 0.0)})


def steer(request: MddpmRequest, model: ModelFacts, sampling: Sampling, seed: int) -> Steering:
    """The guides and the annotation of a request.

    Where an anatomy is sampled and a lesion does not fit into it, another one is sampled, up to 50 times.

    Args:
        request: the request.
        model: the trained model.
        sampling: solver and steps.
        seed: of the case.

    Raises:
        RequestError: a guide does not fit the method or cannot act, or a lesion its place.
        MedsmithError: a case or a shape space cannot be read.
    """
    _check(request, model, sampling)
    request = with_lesion_labels(request)
    anatomy = RequestedAnatomy.of(request.anatomy) if request.anatomy else None
    lent = low_pass_guides(request.textures, model.length, model.cohort, model.size, seed, sampling)
    target = _gray_target([guide for _, guide in lent], anatomy, model)
    sources = [
        load_source(lesion, model.cohort, target, derive_seed(seed, "pathology", n), f"pathologies.{n}", model.size)
        for n, lesion in enumerate(request.pathologies)
    ]
    scene = _scene(request, sources, anatomy, model, seed)
    guides = {f"guides.{number}": guide for number, (_, guide) in enumerate(lent)}
    guides |= dict(_guides_of(request, scene, anatomy, model, seed))
    labels = _annotation(scene, anatomy, model.size, annotated_facts(request, model.cohort).label_names)
    cases = {f"guides.{number}": id for number, (id, _) in enumerate(lent)}
    cases |= {} if scene.followed is None else {"anatomy": scene.followed}
    cases |= {f"pathologies.{number}": source.case for number, source in enumerate(sources)}
    return Steering(guides, labels, scene.regions, scene.lesions, _record(scene) | ({"cases": cases} if cases else {}))


def _gray_target(textures: Sequence[LowPassGuide], anatomy: RequestedAnatomy | None, model: ModelFacts) -> GrayTarget:
    """What the gray values of lesions are matched to: the first texture, then the anatomy, then the training images."""
    known = anatomy.gray_levels(model.cohort) if anatomy else None
    if not textures:
        return GrayTarget(model.quantiles, known)
    image = textures[0].reference[0]
    own = levels_of_slice(image) if len(model.size) == 2 else None
    return GrayTarget(image, known if own is None else own)


def _check(request: MddpmRequest, model: ModelFacts, sampling: Sampling) -> None:
    """Check that anatomy and lesions can act; ``low_pass_guides`` checks the textures."""
    actions: dict[str, GuideAction] = {f"pathologies.{n}": lesion for n, lesion in enumerate(request.pathologies)}
    if request.anatomy is not None:
        actions["anatomy"] = request.anatomy
    for key, action in actions.items():
        action.check(key, model.size, model.length, sampling)


def _scene(
    request: MddpmRequest, sources: Sequence[Source], anatomy: RequestedAnatomy | None, model: ModelFacts, seed: int
) -> _Scene:
    """The first sampled anatomy that holds all lesions."""
    sampled = anatomy is not None and anatomy.request.labels is None
    failed: RequestError | None = None
    for attempt in range(_ANATOMIES if sampled else 1):
        found, followed = (
            anatomy.map_at(model.cohort, model.size, derive_seed(seed, attempt)) if anatomy else (None, None)
        )
        regions = anatomy.regions(found) if anatomy and found else {}
        try:
            placed = _place(request.pathologies, sources, model, regions, derive_seed(seed, "place", attempt))
        except PlacementError as error:
            failed = error.error
        else:
            return _Scene(found, followed, regions, placed, attempt + 1)
    assert failed is not None
    raise failed


def _guides_of(
    request: MddpmRequest, scene: _Scene, anatomy: RequestedAnatomy | None, model: ModelFacts, seed: int
) -> Iterator[tuple[str, LowPassGuide]]:
    """Key and guide of the anatomy, then of the lesions."""

    def guide(
        key: str, action: GuideAction, image: Float32[Tensor, "c *space"], own: Float32[Tensor, "*space"] | None
    ) -> tuple[str, LowPassGuide]:
        given = action.region_on(model.cohort, model.size, derive_seed(seed, "region", key), key)
        region = own if given is None else given if own is None else own * given
        if region is not None and float(region.max()) < _ACTS:
            fact = f"the region of {action.region.cohort if action.region else key} leaves out the lesion"
            raise RequestError(f"{key}.region", fact, "a guide acts somewhere", "name another, or move the lesion")
        return key, action.on(image, model.length, derive_seed(seed, "noise", key), region)

    if request.anatomy is not None and anatomy is not None and scene.anatomy is not None:
        yield guide("anatomy", request.anatomy, anatomy.image(scene.anatomy, model.cohort), None)
    for number, (lesion, found) in enumerate(zip(request.pathologies, scene.lesions, strict=True)):
        yield guide(f"pathologies.{number}", lesion, found.image, soft_region(_with_z(found.mask), model.size))


def _annotation(
    scene: _Scene, anatomy: RequestedAnatomy | None, size: tuple[int, ...], names: Mapping[str, int]
) -> UInt8[np.ndarray, "*space"] | None:
    """The label map of anatomy and lesions; None where the request brings neither."""
    if anatomy is None and not scene.lesions:
        return None
    labels = np.zeros(size, np.uint8)
    for name in anatomy.annotated if anatomy else ():
        labels[scene.regions[name]] = names[name]
    for lesion in scene.lesions:
        labels[lesion.mask] = names[lesion.label]
    return labels


def _record(scene: _Scene) -> dict[str, Any]:
    record: dict[str, Any] = {}
    if scene.anatomy is not None:
        record |= {"anatomies": scene.attempts, "anatomy_attempts": scene.anatomy.attempts}
    if scene.lesions:
        record["places"] = [[round(float(value), 4) for value in lesion.at] for lesion in scene.lesions]
    return record


def _place(
    lesions: Sequence[Pathology],
    sources: Sequence[Source],
    model: ModelFacts,
    regions: Mapping[str, Bool[np.ndarray, "x y"]],
    seed: int,
) -> tuple[Placed, ...]:
    placed: list[Placed] = []
    for number, (lesion, source) in enumerate(zip(lesions, sources, strict=True)):
        key, lesion = f"pathologies.{number}", _held(lesion, source, regions, f"pathologies.{number}")
        organ = None if lesion.within is None else regions[lesion.within]
        found = Transplant.of(source, lesion, model.cohort, model.size, key).place(organ, seed)
        _refuse_overlap(key, found, placed)
        placed.append(found)
    return tuple(placed)


def _held(lesion: Pathology, source: Source, regions: Mapping[str, Bool[np.ndarray, "x y"]], key: str) -> Pathology:
    """The lesion with the class that must hold it; beside an anatomy, what holds it in its own image, unless named."""
    known = f"there are {', '.join(regions)}"
    if lesion.within is not None and lesion.within not in regions:
        raise RequestError(f"{key}.within", f"no class '{lesion.within}'", known, similar(lesion.within, regions))
    if not regions or lesion.within is not None or lesion.at is not None:
        return lesion
    if source.organ not in regions:
        fact = f"its own image does not show which class holds the {source.label}"
        raise RequestError(key, fact, known, "name one with within, or a place with at")
    return lesion.model_copy(update={"within": source.organ})


def _refuse_overlap(key: str, found: Placed, placed: Sequence[Placed]) -> None:
    for number, earlier in enumerate(placed):
        shared = int((earlier.mask & found.mask).sum())
        if shared:
            fact = f"shares {shared} voxels with pathologies.{number}"
            raise PlacementError(RequestError(key, fact, "lesions lie apart", "move one of them"))


def _lesion_labels(pathologies: Sequence[Pathology]) -> Iterator[str]:
    for number, lesion in enumerate(pathologies):
        yield lesion_label(lesion, open_cohort(lesion.case).label_names, f"pathologies.{number}")


def _with_z(mask: Bool[np.ndarray, "*space"]) -> Bool[np.ndarray, "x y z"]:
    return mask[..., None] if mask.ndim == 2 else mask
