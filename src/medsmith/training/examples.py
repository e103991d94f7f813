"""Training examples of the stages of a run: prepared cases on disk, and examples encoded by frozen networks."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import compress, product
from pathlib import Path

import torch

from medsmith.cases.case import Case, Kind
from medsmith.data.batches import Batches, Example, batches_of, mirrored
from medsmith.data.example_store import ExampleStore, ExampleView, build_store, remove_other_stores
from medsmith.data.similarity import thumbnails
from medsmith.diffusion import derive_seed
from medsmith.errors import TrainingError
from medsmith.measurement.noise_level import noise_levels
from medsmith.methods.base import IMAGE, Method, Stage
from medsmith.progress import Progress
from medsmith.runs.checkpoints import RunRecord, pack
from medsmith.runs.folder import EXAMPLES

PREPARED = "prepared-"
THUMBNAIL, NOISE = "thumbnail", "noise"
"""Names of the tensors, besides those of the method, that the checks of copies and of noise keep of each image."""
_OF_CHECKS = frozenset((THUMBNAIL, NOISE))


def kinds_of(case: Case) -> frozenset[Kind]:
    """Which of image and labels a case has."""
    present: Mapping[Kind, object] = {"image": case.image, "labels": case.labels}
    return frozenset(kind for kind, array in present.items() if array is not None)


def is_checked(method: Method, check: str) -> bool:
    """Whether the cases of a method must pass a general check."""
    return method.checks is None or check in method.checks


def prepared_examples(
    record: RunRecord,
    method: Method,
    ids: tuple[str, ...],
    case_of: Callable[[str], Case],
    run: Path,
    progress: Progress,
) -> ExampleStore:
    """Every case of the cohort as an example on disk, with no tensors of the method if no stage can use it.

    Args:
        record: of the run.
        method: of the record; its weights are not used.
        ids: of the cohort's cases.
        case_of: returns one of them, in canonical axes.
        run: the run folder.
        progress: where to show progress.

    Raises:
        MedsmithError: a case cannot be read or prepared, or the disk is full.
    """
    inputs = [stage.inputs for stage in method.stages()]
    with_thumbnail, with_noise = is_checked(method, "not_a_copy"), is_checked(method, "image_noise")

    def make(id: str) -> tuple[list[Kind], Example]:
        case = case_of(id)
        kinds = kinds_of(case)
        example = dict(method.prepare(case)) if any(needed <= kinds for needed in inputs) else {}
        if with_thumbnail and case.image is not None:
            example[THUMBNAIL] = torch.from_numpy(thumbnails([case.require_image()])[0])
        if with_noise and IMAGE in example:
            example[NOISE] = torch.from_numpy(noise_levels(example[IMAGE].float().numpy()))
        return sorted(kinds), example

    facts = json.dumps(record.model_dump(mode="json", exclude={"compute", "steps"}), sort_keys=True)
    name = PREPARED + hashlib.sha256(f"{facts} {sorted(_OF_CHECKS)}".encode()).hexdigest()[:16]
    remove_other_stores(run / EXAMPLES, [name], PREPARED)
    with progress.task("prepare", len(ids)) as advance:
        return build_store(run / EXAMPLES / name, ids, make, advance)


def examples_of(stage: Stage, store: ExampleStore) -> ExampleView:
    """The examples that a stage can use.

    Raises:
        TrainingError: there are none.
    """
    indices = [
        index
        for index, entry in enumerate(store.entries)
        if stage.inputs <= set(entry.kinds) and entry.tensors.keys() - _OF_CHECKS
    ]
    if not indices:
        needed = " and ".join(sorted(stage.inputs))
        found = f"none of {len(store)} cases can be used"
        raise TrainingError(f"stage '{stage.name}'", found, f"it learns from cases with {needed}", "add such cases")
    return ExampleView(store, indices, without=_OF_CHECKS)


def plain_batches(view: ExampleView, method: Method, stage: Stage, seed: int) -> Batches:
    """Batches of the prepared cases of a stage."""
    training = method.training_of(stage)
    return batches_of(view, training.batch, derive_seed(seed, stage.name), training.flips)


def encoded_batches(
    view: ExampleView, method: Method, stage: Stage, seed: int, run: Path, progress: Progress
) -> Batches:
    """Batches of a stage whose examples are encoded once by frozen networks, in every mirrored form.

    The mirrored image is encoded: encoders are not equivariant, so that latents must not be mirrored.

    Args:
        view: examples of the stage.
        method: with the weights of the stages that this one needs.
        stage: one with ``encoded`` set.
        seed: of the run.
        run: the run folder.
        progress: where to show progress.
    """
    training = method.training_of(stage)
    axes_of = [tuple(compress(training.flips, chosen)) for chosen in product((False, True), repeat=len(training.flips))]
    sources = {
        f"{id}~{''.join(map(str, axes))}": (index, axes) for index, id in enumerate(view.ids) for axes in axes_of
    }

    def make(id: str) -> tuple[list[Kind], Example]:
        index, axes = sources[id]
        return sorted(stage.inputs), method.encode(stage.name, mirrored(view[index], axes))

    name = f"{stage.name}-{_weights_key(method, stage, view.ids)}"
    remove_other_stores(run / EXAMPLES, [name], f"{stage.name}-")
    with progress.task(f"encode for {stage.name}", len(sources)) as advance:
        store = build_store(run / EXAMPLES / name, sources, make, advance)
    stored_at = {source: position for position, source in enumerate(sources.values())}

    def encoded(index: int, axes: tuple[int, ...]) -> Example:
        return store[stored_at[index, axes]]

    return Batches(len(view), encoded, training.batch, derive_seed(seed, stage.name), training.flips)


def _weights_key(method: Method, stage: Stage, ids: Iterable[str]) -> str:
    """A hash of all that decides the output of ``encode``: weights of the needed stages, memory, config, cases."""
    parts = [part for other in method.stages() if other.name in stage.needs for part in other.parts]
    frozen = {f"{part}.{name}": tensor for part in parts for name, tensor in method.part(part).state_dict().items()}
    digest = hashlib.sha256(pack(frozen) + pack(method.memory))
    inputs_in_order = sorted(stage.inputs)  # the order of a set differs between processes
    facts = (method.config, replace(stage, inputs=frozenset()), inputs_in_order, list(ids))
    digest.update(repr(facts).encode())
    return digest.hexdigest()[:16]
