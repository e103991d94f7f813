"""The run folder while it trains: checkpoints that survive a kill, metrics, and the model card.

RUN/
run.json, weights.safetensors, memory.safetensors, manifest.json     see checkpoints.py
checkpoints/<stage>/step-<n>.safetensors   raw weights, moving average and optimiser of one stage
checkpoints/<stage>/index.json             the last two, newest first, with their hashes
metrics.jsonl                              one line per logged step
samples/                                   grids of cases
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from torch import Tensor

from medsmith.checkpoints import RunRecord, pack, unpack
from medsmith.errors import RunError
from medsmith.formats.atomic import sha256_of, write_bytes, write_json

KEPT = 2


@final
class StageCheckpoints:
    """Checkpoints of one stage of a run.

    Args:
        run: the run folder.
        stage: the stage's name.
    """

    def __init__(self, run: Path, stage: str) -> None:
        self._folder = run / "checkpoints" / stage
        self._index = self._folder / "index.json"

    def save(self, tensors: Mapping[str, Tensor], step: int, seconds: float) -> None:
        """Write one checkpoint, then point at it, then drop the oldest: a kill at any point leaves one that loads."""
        path = self._folder / f"step-{step:08d}.safetensors"
        write_bytes(path, pack(tensors))
        entry = {"file": path.name, "sha256": sha256_of(path), "step": step, "seconds": round(seconds, 3)}
        entries = [entry, *(old for old in self.entries() if old["file"] != path.name)][:KEPT]
        write_json(self._index, entries)
        named = {entry["file"] for entry in entries}
        for old in self._folder.glob("step-*.safetensors"):
            if old.name not in named:
                old.unlink()

    def entries(self) -> list[dict[str, Any]]:
        """What the index lists, newest first."""
        if not self._index.is_file():
            return []
        try:
            entries: list[dict[str, Any]] = json.loads(self._index.read_text())
        except ValueError:
            raise RunError(self._index, "is not JSON", cure=f"remove {self._folder} to train this stage anew") from None
        return entries

    def newest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and index entry of the newest checkpoint whose bytes are as written; None before the first.

        Raises:
            RunError: there are checkpoints, and all are damaged.
        """
        entries = self.entries()
        for entry in entries:
            path = self._folder / entry["file"]
            if path.is_file() and sha256_of(path) == entry["sha256"]:
                return unpack(path), entry
        if entries:
            raise RunError(self._folder, "every checkpoint is damaged", cure="remove the folder to train anew")
        return None


@final
class Metrics:
    """metrics.jsonl of a run.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / "metrics.jsonl"

    def rewind(self, stage: str, step: int) -> None:
        """Forget what was logged of a stage after the step it continues from, and any torn last line."""
        if not self.path.is_file():
            return
        kept = []
        for line in self.path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry["stage"] != stage or entry["step"] <= step:
                kept.append(line + "\n")
        write_bytes(self.path, "".join(kept).encode())

    def append(self, **entry: str | float) -> None:
        """Add one line."""
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def model_card(record: RunRecord, stages: Mapping[str, Mapping[str, Any]]) -> str:
    """The run folder's README: what the weights are, what they were trained on, what they are not."""
    facts = record.fingerprint
    trained = "\n".join(
        f"- {name}: {entry['step']} steps, {entry['seconds'] / 60:.1f} minutes" for name, entry in stages.items()
    )
    labels = ", ".join(f"{name} ({share:.0%} of cases)" for name, share in facts.label_share.items())
    return f"""# {record.method}, preset {record.preset}

Weights of medsmith {record.versions["medsmith"]}. What they make is synthetic research data, not for diagnosis.

- Trained on {facts.count} cases ({", ".join(facts.channel_names)}; {facts.dimensions}-D; labels: {labels}), content
  hash `{facts.cohort_hash[:16]}`. memory.safetensors holds small pictures of them for the copy check: treat this folder
  as patient data if the cohort is.
- Grid {" x ".join(map(str, record.config["size"]))}, seed {record.seed}, passes in {record.compute.label}.
{trained}

Use: `medsmith synthesize THIS_FOLDER OUT --count 100`, then `medsmith evaluate REAL OUT --out REPORT`.
How good the cases are is for the report to say; nothing here has been validated by a reader.
"""
