"""What a run is when all its stages are trained: weights, model card, and what the checks of images compare with."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from medsmith.data.example_store import ExampleStore
from medsmith.data.similarity import COPY_MEASURE, copy_threshold
from medsmith.formats.atomic import write_bytes
from medsmith.methods.base import Method
from medsmith.progress import Progress
from medsmith.runs.checkpoints import RunRecord, save_weights
from medsmith.runs.folder import Checkpoint
from medsmith.runs.model_card import Learned, model_card
from medsmith.runs.steps import StageSteps
from medsmith.training.examples import NOISE, THUMBNAIL, examples_of
from medsmith.training.started_from import is_kept, joined_galleries, kept_steps


def steps_of(record: RunRecord, method: Method, reached: Mapping[str, Checkpoint]) -> dict[str, StageSteps]:
    """The steps of every stage: none without a checkpoint, and those of the first weights where these are kept."""
    done = {name: checkpoint.step for name, checkpoint in reached.items()}
    trained = {
        stage.name: StageSteps(done=done.get(stage.name, 0), configured=method.training_of(stage).steps)
        for stage in method.stages()
    }
    kept = {name for name in trained if is_kept(record, reached.get(name))}
    behind = kept_steps(record)  # of older runs they are not recorded
    return {name: steps for name, steps in trained.items() if name not in kept} | {
        name: behind[name] for name in trained if name in kept and name in behind
    }


def _learned(method: Method, store: ExampleStore) -> Learned:
    """How many cases the stages learned from, and whether from labels."""
    used = {stage.name: set(examples_of(stage, store).ids) for stage in method.stages()}
    with_labels = any("labels" in needed for needed in (method.inputs, *(stage.inputs for stage in method.stages())))
    return Learned({name: len(ids) for name, ids in used.items()}, len(set().union(*used.values())), with_labels)


def _known_to_checks(store: ExampleStore, before: Tensor | None) -> dict[str, Tensor]:
    """What the checks of synthetic images compare with, by the names that ``TrainingFacts`` reads.

    Args:
        store: of the examples.
        before: small pictures of the cases behind the weights that the run started from.
    """
    found: dict[str, list[Tensor]] = {
        name: [store.tensor(index, name) for index, entry in enumerate(store.entries) if name in entry.tensors]
        for name in (THUMBNAIL, NOISE)
    }
    known: dict[str, Tensor] = {}
    if found[THUMBNAIL]:
        gallery = joined_galleries(before, torch.stack(found[THUMBNAIL]))
        threshold = copy_threshold(gallery.numpy())
        known |= {"thumbnails": gallery, "copy_threshold": torch.tensor(threshold)}
        known["copy_measure"] = torch.tensor(COPY_MEASURE)
    if found[NOISE]:
        known["noise_levels"] = torch.stack(found[NOISE]).amax(0)
    return known


def finish(
    record: RunRecord,
    method: Method,
    store: ExampleStore,
    folder: Path,
    reached: Mapping[str, Checkpoint],
    progress: Progress,
) -> None:
    """Write the weights and the model card.

    Args:
        record: of the run.
        method: trained in all stages.
        store: of the examples.
        folder: the run folder.
        reached: stage -> its newest checkpoint.
        progress: where to show it.
    """
    with progress.task("finish", 1) as advance:
        method.memory = {**method.memory, **_known_to_checks(store, method.memory.get("thumbnails"))}
        record = record.model_copy(update={"steps": steps_of(record, method, reached)})
        seconds = {name: checkpoint.seconds for name, checkpoint in reached.items()}
        card = model_card(record, seconds, _learned(method, store), method.config.size)
        write_bytes(folder / "README.md", card.encode())
        save_weights(folder, method, record)
        advance(1, "")
