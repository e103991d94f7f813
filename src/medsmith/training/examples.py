"""What the stages of a run learn from: prepared cases on disk, and those that passed through frozen networks."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from itertools import compress, product
from pathlib import Path

import torch

from medsmith.cases.case import Case
from medsmith.data.batches import Batches, Example, batches_of, mirrored
from medsmith.data.example_store import ExampleStore, ExampleView, build_store, remove_other_stores
from medsmith.data.similarity import thumbnails
from medsmith.diffusion import derive_seed
from medsmith.errors import TrainingError
from medsmith.methods.base import Kind, Method, Stage
from medsmith.progress import Progress
from medsmith.runs.checkpoints import RunRecord, pack
from medsmith.runs.folder import EXAMPLES

PREPARED = "prepared-"
THUMBNAIL = "thumbnail"
"""Name of the tensor, beside the method's own, that the copy check keeps of each image."""


def kinds_of(case: Case) -> frozenset[Kind]:
    """What a case has."""
    present: Mapping[Kind, object] = {"image": case.image, "labels": case.labels}
    return frozenset(kind for kind, array in present.items() if array is not None)


def checks_copies(method: Method) -> bool:
    """Whether the cases of a method are compared with the images that it was trained on."""
    return method.checks is None or "not_a_copy" in method.checks


def prepared_examples(
    record: RunRecord,
    method: Method,
    ids: tuple[str, ...],
    case_of: Callable[[str], Case],
    run: Path,
    progress: Progress,
) -> ExampleStore:
    """Every case of the cohort as an example, on disk; cases that no stage learns from give none.

    Args:
        record: of the run.
        method: its method; weights do not matter.
        ids: of the cohort's cases.
        case_of: gives one of them, in canonical axes.
        run: the run folder.
        progress: where to show progress.

    Raises:
        MedsmithError: a case cannot be read or prepared, or the disk does not take it.
    """
    inputs = [stage.inputs for stage in method.stages()]
    with_thumbnail = checks_copies(method)

    def make(id: str) -> tuple[list[Kind], Example]:
        case = case_of(id)
        kinds = kinds_of(case)
        example = dict(method.prepare(case)) if any(needed <= kinds for needed in inputs) else {}
        if with_thumbnail and case.image is not None:
            example[THUMBNAIL] = torch.from_numpy(thumbnails([case.require_image()])[0])
        return sorted(kinds), example

    facts = json.dumps(record.model_dump(mode="json", exclude={"compute"}), sort_keys=True)
    name = PREPARED + hashlib.sha256(facts.encode()).hexdigest()[:16]
    remove_other_stores(run / EXAMPLES, [name], PREPARED)
    with progress.task("prepare", len(ids)) as advance:
        return build_store(run / EXAMPLES / name, ids, make, advance)


def examples_of(stage: Stage, store: ExampleStore) -> ExampleView:
    """The cases that a stage learns from.

    Raises:
        TrainingError: there are none.
    """
    places = [
        place
        for place, entry in enumerate(store.entries)
        if stage.inputs <= set(entry.kinds) and entry.tensors.keys() - {THUMBNAIL}
    ]
    if not places:
        needed = " and ".join(sorted(stage.inputs))
        found = f"none of {len(store)} cases can be used"
        raise TrainingError(f"stage '{stage.name}'", found, f"it learns from cases with {needed}", "add such cases")
    return ExampleView(store, places, without=frozenset((THUMBNAIL,)))


def plain_batches(view: ExampleView, method: Method, stage: Stage, seed: int) -> Batches:
    """Batches of the cases of a stage as they were prepared."""
    training = method.training_of(stage)
    return batches_of(view, training.batch, derive_seed(seed, stage.name), training.flips)


def encoded_batches(
    view: ExampleView, method: Method, stage: Stage, seed: int, run: Path, progress: Progress
) -> Batches:
    """Batches of a stage whose examples pass through frozen networks once, in every mirrored form.

    A latent cannot be mirrored instead of its image: the networks know left from right.

    Args:
        view: the cases of the stage.
        method: the weights that the stage needs are in place.
        stage: an encoded one.
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
    places = {source: place for place, source in enumerate(sources.values())}

    def encoded(index: int, axes: tuple[int, ...]) -> Example:
        return store[places[index, axes]]

    return Batches(len(view), encoded, training.batch, derive_seed(seed, stage.name), training.flips)


def _weights_key(method: Method, stage: Stage, ids: Iterable[str]) -> str:
    """A hash of all that decides what ``encode`` gives: the weights that the stage needs, memory, config, cases."""
    parts = [part for other in method.stages() if other.name in stage.needs for part in other.parts]
    frozen = {f"{part}.{name}": tensor for part in parts for name, tensor in method.part(part).state_dict().items()}
    digest = hashlib.sha256(pack(frozen) + pack(method.memory))
    digest.update(repr((method.config, stage, list(ids))).encode())
    return digest.hexdigest()[:16]
