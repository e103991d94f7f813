"""README of a run: what its weights are, what they were trained on, and their limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from medsmith.cases.case_files import parts_line
from medsmith.data.fingerprint import Fingerprint
from medsmith.errors import counted
from medsmith.runs.checkpoints import RunRecord
from medsmith.runs.steps import steps_by_stage

_FIRST = "Weights of medsmith"


@final
@dataclass(frozen=True)
class Learned:
    """What the stages of a run learned from.

    Attributes:
        cases: stage -> number of cases.
        in_all: cases that some stage learned from.
        with_labels: whether any stage uses labels.
    """

    cases: Mapping[str, int]
    in_all: int
    with_labels: bool


def model_card(record: RunRecord, seconds: Mapping[str, float], learned: Learned, size: tuple[int, ...]) -> str:
    """The model card in Markdown.

    Args:
        record: of the run, with the steps of its stages.
        seconds: of training of each stage.
        learned: what the stages learned from.
        size: grid of the networks; () without networks.
    """
    facts = record.fingerprint
    trained = "\n".join(
        f"- {name}: {record.steps[name]}, {spent / 60:.1f} minutes, {counted(learned.cases[name], 'case')}"
        if record.started_from is None or spent
        else f"- {name}: as in the weights that this run started from"
        for name, spent in seconds.items()
    )
    return f"""# {record.method}, preset {record.preset}

{_FIRST} {record.versions["medsmith"]}. What they make is synthetic research data, not for diagnosis.

- {cases_line(facts, learned)}
- Content hash of the cohort `{facts.cohort_hash[:16]}`. memory.safetensors holds small pictures of its cases for the
  copy check and, of some methods, label maps (`lldm`: `kept_maps`); examples/ the prepared cases (`medsmith clean`
  removes them): treat this folder as patient data if the cohort is.
- {f"Grid {' x '.join(map(str, size))}" if size else "No network"}, seed {record.seed}, passes in {_precision(record)}.
{_start_line(record)}{trained}

Use: `medsmith synthesize THIS_FOLDER OUT --count 100`, then `medsmith evaluate REAL OUT --out REPORT`.
How good the cases are is for the report to say; nothing here has been validated by a reader.
"""


def _start_line(record: RunRecord) -> str:
    start = record.started_from
    if start is None:
        return ""
    behind = steps_by_stage(start.steps) or "an unknown number of steps"
    return f"- Started from weights of {behind} on a cohort with the content hash `{start.cohort_hash[:16]}`.\n"


def is_model_card(text: str) -> bool:
    """Whether a text is a model card, of any version."""
    return text.startswith("# ") and _FIRST in text


def cases_line(facts: Fingerprint, learned: Learned) -> str:
    """Number of the training cases, what they have, and how many of the labeled ones have each label.

    Args:
        facts: of the cohort.
        learned: what the stages learned from.
    """
    labeled = facts.count if facts.labeled is None else facts.labeled
    with_image = facts.count if facts.images is None else facts.images
    parts = parts_line(facts.count, with_image, labeled)
    some = f"{facts.count}" if learned.in_all == facts.count else f"{learned.in_all} of {facts.count}"
    line = f"Trained on {some} cases ({', '.join(facts.channel_names)}; {facts.dimensions}-D): {parts}."
    if not labeled:
        return line
    if not learned.with_labels:
        return f"{line} Labels are not used."
    # By value: the order in which a record was written or read would change the card where training is continued.
    ordered = sorted((name for name in facts.label_share if facts.label_names[name]), key=facts.label_names.__getitem__)
    names = (f"{name} ({facts.label_share[name]:.0%})" for name in ordered)
    return f"{line} Labels, as shares of the {labeled} cases that have some: {', '.join(names)}."


def _precision(record: RunRecord) -> str:
    return ", ".join(dict.fromkeys(compute.label for compute in record.compute.values()))
