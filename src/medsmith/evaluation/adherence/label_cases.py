"""Cases whose images are to follow their label maps, made and kept as a cohort."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError, counted
from medsmith.evaluation.adherence.pairs import LEAST_PAIRS, Maker, most_draws
from medsmith.evaluation.pages.page import WARNING
from medsmith.formats.json_file import read_json
from medsmith.networks.threads import one_thread
from medsmith.progress import Progress

CASES = "cases"
_LEFT_OUT = "labels_left_out"
"""Key of a case's provenance: labels of the method that became background, which a later call says as well."""


def make_cases(
    maker: Maker, label_names: Mapping[str, int], count: int, progress: Progress
) -> tuple[Cohort, tuple[str, ...]]:
    """Cases with the labels of a real cohort; those that are there already are kept.

    Args:
        maker: makes them.
        label_names: of the real cohort; labels that it lacks become background.
        count: cases that are wanted.
        progress: display of the progress.

    Returns:
        The first so many, and a sentence on each kind of what was left out.

    Raises:
        RequestError: the method makes no labels, or fewer than 10 cases could be made.
    """
    facts = maker.method.fingerprint
    cohort = Cohort.create(
        maker.folder / CASES,
        channel_names=facts.channel_names,
        label_names=label_names,
        file_ending=facts.file_ending,
        description=WARNING,
    )
    kept: list[str] = []
    refused: list[RequestError] = []
    with progress.task("make cases", count) as advance:
        for number in range(most_draws(count)):
            id = f"case_{number:05d}"
            try:
                if id not in cohort:
                    cohort.write(_case(maker, number, id, label_names))
            except RequestError as error:
                refused.append(error)
                if not kept and len(refused) >= LEAST_PAIRS:
                    raise
                continue
            kept.append(id)
            advance(1, id)
            if len(kept) == count:
                break
    if len(kept) < LEAST_PAIRS:
        found = f"{counted(len(kept), 'case')} could be made ({refused[-1].found})"
        raise RequestError("label fidelity", found, f"at least {LEAST_PAIRS}", "give more label maps")
    cohort.finish()
    records = [read_json(cohort.root / PROVENANCE / f"{id}.json") for id in kept]
    unknown = sorted({name for record in records for name in record.get(_LEFT_OUT, ())})
    notes = [f"Labels that the real cases lack became background: {', '.join(unknown)}."] if unknown else []
    return Cohort.open(cohort.root).subset(kept), tuple(notes)


def _case(maker: Maker, number: int, id: str, label_names: Mapping[str, int]) -> Case:
    seed = derive_seed("adherence", maker.seed, "labels", number)
    request = maker.method.request_with_map(replace(maker.inputs, number=number))
    with one_thread():
        case = maker.method.synthesize(request, seed, maker.method.config.sampling)
    if case.labels is None or case.image is None:
        fact = f"{maker.method.name} makes no {'labels' if case.labels is None else 'image'} for this request"
        raise RequestError("label fidelity", fact, "it needs both", "measure the method's attributes alone")
    labels = np.zeros_like(case.labels)
    for name, value in case.label_names.items():
        if value and name in label_names:
            labels[case.labels == value] = label_names[name]
    left_out = sorted(name for name, value in case.label_names.items() if value and name not in label_names)
    record = {"synthetic": True, "notice": WARNING, "case_seed": str(seed), **(case.provenance or {})}
    record |= {_LEFT_OUT: left_out} if left_out else {}
    return replace(case, id=id, labels=labels, label_names=label_names, report=None, provenance=record)
