"""From a request to the guides of the sampling and the annotation that they bring.

Axes: c channels, ``*space`` = x y or x y z on the network's grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from medsmith.anatomy import AnatomyMap, ShapeSpace
from medsmith.cases.case import Case
from medsmith.cases.case_ref import load_case, open_cohort
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import gray_to_model, to_grid
from medsmith.diffusion import LowPassGuide, Sampling, derive_seed
from medsmith.errors import RequestError
from medsmith.methods.guides import GuideAction, check_gray_scale, low_pass_guides, soft_region
from medsmith.methods.mddpm.pathology import Source, load_source
from medsmith.methods.mddpm.request import Anatomy, MddpmRequest, Pathology
from medsmith.methods.mddpm.transplant import Misfit, Placed, Transplant

_EXTENT = 1.3
"""Largest ratio of the fields of view of shape space and training images."""
_ANATOMIES = 50
"""Anatomies sampled until the lesions fit."""
Region = Float32[Tensor, "*space"] | None


@final
@dataclass(frozen=True, eq=False)
class Setting:
    """What steering needs to know of the method.

    Attributes:
        facts: of the training cohort.
        size: grid of the network.
        length: of the noise schedule.
        quantiles: of the gray values of the training images, in model space.
    """

    facts: Fingerprint
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
        record: what the provenance states: attempts of the shape space, places of the lesions.
    """

    guides: Mapping[str, LowPassGuide]
    labels: UInt8[np.ndarray, "*space"] | None
    regions: Mapping[str, Bool[np.ndarray, "x y"]]
    lesions: tuple[Placed, ...]
    record: Mapping[str, Any]


def annotated_facts(request: MddpmRequest, facts: Fingerprint) -> Fingerprint:
    """The fingerprint of the cases of a request: the training cohort's, with the labels that the request brings.

    Labels of the same name become one label. Their shares are unknown before a case is made.

    Raises:
        RequestError: a class or a label that does not exist.
    """
    names = {"background": 0}
    for name in (*_anatomy_classes(request.anatomy), *_lesion_labels(request.pathologies)):
        names.setdefault(name, len(names))
    return facts.model_copy(update={"label_names": names, "label_share": dict.fromkeys(names, 0.0)})


def steer(request: MddpmRequest, setting: Setting, sampling: Sampling, seed: int) -> Steering:
    """The guides and the annotation of a request.

    Where an anatomy is sampled and a lesion does not fit into it, another one is sampled, up to 50 times.

    Args:
        request: the request.
        setting: of the method.
        sampling: solver and steps.
        seed: of the case.

    Raises:
        RequestError: a guide does not fit the method or cannot act, or a lesion its place.
        MedsmithError: a case or a shape space cannot be read.
    """
    _check(request, setting, sampling)
    size, facts = setting.size, setting.facts
    textures = low_pass_guides(request.guides, setting.length, facts, size, seed, sampling)
    reference = textures[0].reference[0] if textures else setting.quantiles
    sources = [
        load_source(lesion, facts, reference, derive_seed(seed, "pathology", number), f"pathologies.{number}")
        for number, lesion in enumerate(request.pathologies)
    ]
    drawn = request.anatomy is not None and request.anatomy.labels is None
    last: Misfit | None = None
    for attempt in range(_ANATOMIES if drawn else 1):
        anatomy = None if request.anatomy is None else _anatomy(request.anatomy, size, derive_seed(seed, attempt))
        regions = {} if request.anatomy is None or anatomy is None else _classes_of(request.anatomy.space, anatomy)
        try:
            placed = _place(request.pathologies, sources, setting, regions, derive_seed(seed, "place", attempt))
        except Misfit as misfit:
            last = misfit
            continue
        return _assembled(request, setting, seed, textures, anatomy, regions, placed, attempt + 1)
    assert last is not None
    raise last.error from None


def _check(request: MddpmRequest, setting: Setting, sampling: Sampling) -> None:
    """Check that anatomy and lesions can act; ``low_pass_guides`` checks the textures."""
    actions: dict[str, GuideAction] = {f"pathologies.{n}": lesion for n, lesion in enumerate(request.pathologies)}
    if request.anatomy is not None:
        actions["anatomy"] = request.anatomy
    for key, action in actions.items():
        action.check(key, setting.size, setting.length, sampling)


def _assembled(
    request: MddpmRequest,
    setting: Setting,
    seed: int,
    textures: Sequence[LowPassGuide],
    anatomy: AnatomyMap | None,
    regions: Mapping[str, Bool[np.ndarray, "x y"]],
    placed: Sequence[Placed],
    attempts: int,
) -> Steering:
    """Guides in the order of a sequential combination, the annotation, and the record."""
    guides = {f"guides.{number}": guide for number, guide in enumerate(textures)}
    names = annotated_facts(request, setting.facts).label_names
    labels, size = np.zeros(setting.size, np.uint8), setting.size
    record: dict[str, Any] = {}

    def guide(key: str, action: GuideAction, image: Float32[Tensor, "c *space"], region: Region) -> LowPassGuide:
        given = action.region_on(size, derive_seed(seed, "region", key), key)
        both = given if region is None else region if given is None else region * given
        return action.on(image, setting.length, derive_seed(seed, "noise", key), both)

    if request.anatomy is not None and anatomy is not None:
        image = _anatomy_image(request.anatomy, anatomy, setting.facts)
        guides["anatomy"] = guide("anatomy", request.anatomy, image, None)
        for name in _anatomy_classes(request.anatomy):
            labels[regions[name]] = names[name]
        record |= {"anatomies": attempts, "anatomy_attempts": anatomy.attempts}
    for number, (lesion, found) in enumerate(zip(request.pathologies, placed, strict=True)):
        key = f"pathologies.{number}"
        guides[key] = guide(key, lesion, found.image, soft_region(_with_z(found.mask), size))
        labels[found.mask] = names[found.label]
    if placed:
        record["places"] = [[round(float(value), 4) for value in found.at] for found in placed]
    annotated = request.anatomy is not None or bool(placed)
    return Steering(guides, labels if annotated else None, regions, tuple(placed), record)


def _place(
    lesions: Sequence[Pathology],
    sources: Sequence[Source],
    setting: Setting,
    regions: Mapping[str, Bool[np.ndarray, "x y"]],
    seed: int,
) -> list[Placed]:
    placed: list[Placed] = []
    for number, (lesion, source) in enumerate(zip(lesions, sources, strict=True)):
        key, organ = f"pathologies.{number}", None
        if lesion.within is not None:
            if lesion.within not in regions:
                raise RequestError(f"{key}.within", f"no class '{lesion.within}'", f"there are {', '.join(regions)}")
            organ = regions[lesion.within]
        found = Transplant.of(source, lesion, setting.facts, setting.size, key).place(organ, seed)
        _refuse_overlap(key, found, placed)
        placed.append(found)
    return placed


def _refuse_overlap(key: str, found: Placed, placed: Sequence[Placed]) -> None:
    for number, earlier in enumerate(placed):
        shared = int((earlier.mask & found.mask).sum())
        if shared:
            fact = f"shares {shared} voxels with pathologies.{number}"
            raise Misfit(RequestError(key, fact, "lesions lie apart", "move one of them"))


def _space(path: Path) -> ShapeSpace:
    """The space of a file, read again where the file has changed."""
    try:
        status = path.stat()
    except OSError:
        return ShapeSpace.load(path)  # which says what is wrong with the file
    return _loaded(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _loaded(path: Path, _changed: int, _bytes: int) -> ShapeSpace:
    return ShapeSpace.load(path)


def _anatomy(anatomy: Anatomy, size: tuple[int, ...], seed: int) -> AnatomyMap:
    space = _space(anatomy.space)
    if len(size) != 2:
        raise RequestError("anatomy", f"the images are {len(size)}-D", "shape spaces are 2-D", "leave it out")
    if anatomy.labels is None:
        return space.sample(derive_seed(seed, "anatomy"), (size[0], size[1]), anatomy.spread)
    return _followed(space, load_case(anatomy.labels, derive_seed(seed, "anatomy")), size)


def _followed(space: ShapeSpace, case: Case, size: tuple[int, ...]) -> AnatomyMap:
    """The map of a case: its labels, and the context classes among them or else by thresholds of its image."""
    if case.geometry.dimensions != len(size):
        fact = f"case '{case.id}' is {case.geometry.dimensions}-D"
        raise RequestError("anatomy.labels", fact, f"the images are {len(size)}-D")
    known = space.record.region_names
    unknown = [name for name, value in case.label_names.items() if value > 0 and name not in known]
    if unknown:
        fact = f"case '{case.id}' has a label '{unknown[0]}'"
        raise RequestError("anatomy.labels", fact, f"the space has {', '.join(known)}")
    if set(space.context_names) <= set(case.label_names):
        labels = case.require_labels()[..., 0]
        regions = np.zeros(labels.shape, np.uint8)
        for name, value in case.label_names.items():
            if value > 0:
                regions[labels == value] = known[name]
    else:
        regions = space.regions_of(case)
    regions = _on_grid(regions, size)
    kept = np.isin(regions, list(space.label_names.values()))
    return AnatomyMap(np.where(kept, regions, np.uint8(0)), regions, 0)


def _on_grid(regions: UInt8[np.ndarray, "x y"], size: tuple[int, ...]) -> UInt8[np.ndarray, "x y"]:
    """Each pixel takes the value with the largest share under the filter of ``to_grid``."""
    values = np.unique(regions)
    shares = [to_grid(torch.from_numpy((regions == value).astype(np.float32))[None], size)[0] for value in values]
    return np.asarray(values[torch.stack(shares).argmax(0).numpy()], np.uint8)


def _anatomy_image(anatomy: Anatomy, found: AnatomyMap, facts: Fingerprint) -> Float32[Tensor, "c x y"]:
    record, image = _space(anatomy.space).record, _space(anatomy.space).guidance_image(found)
    own = record.channel_names or ("?",) * len(image)  # gray values that a user gave have no names
    if len(own) != len(facts.channel_names) or record.channel_names not in ((), facts.channel_names):
        fact = f"{anatomy.space} is of channels {', '.join(own)}"
        raise RequestError("anatomy.space", fact, f"trained on {', '.join(facts.channel_names)}")
    check_gray_scale((float(image.min()), float(image.max())), facts, "anatomy.space", str(anatomy.space))
    if record.extent_mm is not None and facts.spacing_known:
        field = [edge * count for edge, count in zip(facts.spacing, facts.shape, strict=True)][:2]
        ratios = [theirs / ours for theirs, ours in zip(record.extent_mm, field, strict=True)]
        if not all(1 / _EXTENT <= ratio <= _EXTENT for ratio in ratios):
            there, limit = (" x ".join(f"{edge:.0f}" for edge in extent) for extent in (record.extent_mm, field))
            fact = f"{anatomy.space} shows {there} mm"
            raise RequestError(
                "anatomy", fact, f"trained on {limit} mm", "fit it on slices of about that field of view"
            )
    return gray_to_model(image, facts)


def _classes_of(path: Path, found: AnatomyMap) -> dict[str, Bool[np.ndarray, "x y"]]:
    """Name -> region; a class that others lie in, such as the body, is what is left of it."""
    return {name: found.regions == value for name, value in _space(path).record.region_names.items() if value > 0}


def _anatomy_classes(anatomy: Anatomy | None) -> tuple[str, ...]:
    if anatomy is None:
        return ()
    space = _space(anatomy.space)
    known = _by_value(space.record.region_names)
    unknown = [name for name in anatomy.classes if name not in known]
    if unknown:
        raise RequestError("anatomy.classes", f"no class '{unknown[0]}'", f"there are {', '.join(known)}")
    return anatomy.classes or _by_value(space.label_names) or known


def _by_value(names: Mapping[str, int]) -> tuple[str, ...]:
    """Names above background in the order of their values, which the new label map then has as well."""
    return tuple(sorted((name for name, value in names.items() if value > 0), key=lambda name: names[name]))


def _lesion_labels(pathologies: Sequence[Pathology]) -> tuple[str, ...]:
    found = []
    for lesion in pathologies:
        names = [name for name, value in open_cohort(lesion.case).label_names.items() if value > 0]
        found += [lesion.label] if lesion.label else names[:1]
    return tuple(found)


def _with_z(mask: Bool[np.ndarray, "*space"]) -> Bool[np.ndarray, "x y z"]:
    return mask[..., None] if mask.ndim == 2 else mask
