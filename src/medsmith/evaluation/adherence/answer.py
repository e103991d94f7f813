"""Whether images show what their label maps say, in one answer."""

from medsmith.evaluation.adherence.page import label_lines
from medsmith.evaluation.adherence.result import LabelFidelity
from medsmith.evaluation.not_measured import NotMeasured


def obedient(labels: LabelFidelity | NotMeasured) -> str:
    """The answer of segmenters that know real cases alone, then what they found of each label."""
    if isinstance(labels, NotMeasured):
        return f"Obedient? Unknown: {labels.reason}."
    ignored = [name for name, result in labels.structures.items() if result.verdict != "controlled"]
    answer = "Images follow their label maps, as far as segmenters can tell"
    if ignored:
        answer = f"Not shown: what segmenters find does not depend on the map ({', '.join(ignored)})"
    return f"Obedient? {answer}. {' '.join(label_lines(labels))}"
