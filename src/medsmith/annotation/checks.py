"""Everything that can be refused is refused before the folder of a loop is bound to its settings."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from medsmith.anatomy import ShapeSpace
from medsmith.annotation.inputs import Inputs, check_apart, check_contents, check_method, check_run
from medsmith.annotation.options import AnnotationOptions
from medsmith.annotation.turn import METHOD, fitted_space, pair_request
from medsmith.cases.case_ref import open_cohort
from medsmith.cases.cohort import Cohort
from medsmith.cases.label_names import foreground_names
from medsmith.diffusion import Sampling, derive_seed
from medsmith.errors import RequestError, similar
from medsmith.evaluation.downstream.segmenter import MULTIPLE
from medsmith.formats.folders import check_outside
from medsmith.methods import method_class
from medsmith.methods.base import Method
from medsmith.methods.config import apply_settings, validated
from medsmith.methods.guides import GuideAction
from medsmith.methods.mddpm import Mddpm
from medsmith.methods.mddpm.config import MddpmConfig
from medsmith.methods.mddpm.lesion_labels import with_lesion_labels
from medsmith.methods.mddpm.pathology import lesion_label
from medsmith.methods.mddpm.request import MddpmRequest
from medsmith.progress import Progress
from medsmith.synthesis.case_synthesis import resolve_sampling
from medsmith.synthesis.references import find_references

MOST_PIXELS = 2**26
"""Pixels in a batch of the labeler, whose activations then take some tens of gigabytes."""


@final
@dataclass(frozen=True, eq=False)
class Checked:
    """What the checks found.

    Attributes:
        notes: one line per thing that could not be checked.
        space: the shape space of the first turn.
        seconds: that it took to fit.
    """

    notes: tuple[str, ...]
    space: ShapeSpace
    seconds: float


def generator_config(run: Path | str | None, trained: Method | None, options: AnnotationOptions) -> MddpmConfig:
    """The settings of the generator: those of a run, or of the one that is trained here.

    Raises:
        RunError: a run of another method.
        RequestError: there is no such preset, a setting cannot be used, or it makes volumes.
    """
    config: Any
    if run is not None and trained is not None:
        check_method(run, trained)
        config = trained.config
    else:
        presets = method_class(METHOD).presets
        if options.preset not in presets:
            cure = similar(options.preset, presets)
            raise RequestError(METHOD, f"no preset '{options.preset}'", f"there are {', '.join(presets)}", cure)
        config = apply_settings(presets[options.preset], options.settings)
        if len(config.size) != 2:
            raise RequestError("--set", f"size = {list(config.size)}", "shape spaces are 2-D", "give two numbers")
    assert isinstance(config, MddpmConfig)
    return config


def labeler_edge(config: MddpmConfig, options: AnnotationOptions) -> int:
    """Edge of the labeler's grid: that of the generator, as a multiple of what the labeler needs.

    Raises:
        RequestError: a batch of the labeler would have more than 2^26 pixels.
    """
    multiple = -(-max(config.size) // MULTIPLE) * MULTIPLE
    edge = options.size or max(2 * MULTIPLE, multiple)
    batch = options.labeler.batch
    if batch * edge**2 > MOST_PIXELS:
        found = f"batches of {batch} slices of {edge} x {edge} pixels"
        raise RequestError("annotate", found, f"at most {MOST_PIXELS} pixels in a batch", "lower --batch or --size")
    return edge


def check_all(
    out: Path,
    inputs: Inputs,
    options: AnnotationOptions,
    run: Path | str | None,
    trained: Method | None,
    progress: Progress,
) -> Checked:
    """Checks cases, run, solver and request; nothing is written.

    Args:
        out: folder of the loop.
        inputs: the cohorts.
        options: settings.
        run: of the generator; None trains one.
        trained: the method of the run.
        progress: of the cases.

    Raises:
        MedsmithError: something cannot be used.
    """
    check_contents(inputs, progress)
    request = validated(MddpmRequest, "request", pair_request(options, Path("space"), inputs.classes))
    check_outside(out, [] if run is None or not Path(run).is_dir() else [Path(run)])
    _check_named(out, inputs, request)
    notes = () if run is None or trained is None else check_run(run, trained, inputs)
    config = generator_config(run, trained, options)
    solver, steps = resolve_sampling(config, options.solver, options.sampling_steps)
    sampling = config.sampling.override(solver, steps)
    begun = time.monotonic()
    space = fitted_space(inputs.labeled, options, progress)
    seconds = time.monotonic() - begun
    with tempfile.TemporaryDirectory(prefix="medsmith-") as folder:
        path = Path(folder) / "space.safetensors"
        space.save(path)
        request = validated(MddpmRequest, "request", pair_request(options, path, inputs.classes))
        if isinstance(trained, Mddpm):
            trained.steering(request, derive_seed(options.seed, "check"), sampling)
        else:
            _check_guides(request, space, config, sampling)
    return Checked(notes, space, seconds)


def _check_named(out: Path, inputs: Inputs, request: MddpmRequest) -> None:
    """Checks that no withheld case is among those that the request names."""
    cohorts = []
    for reference in find_references(request):
        if reference.kind == "cohort":
            check_outside(out, [Path(reference.path)])
            cohort = Cohort.open(reference.path)
            cohorts.append((reference.key, cohort.subset([reference.case]) if reference.case else cohort))
    if cohorts:
        check_apart(inputs.withheld, cohorts)


def _check_guides(request: MddpmRequest, space: ShapeSpace, config: MddpmConfig, sampling: Sampling) -> None:
    """Checks what can be known of the guides before a generator is trained."""
    actions: dict[str, GuideAction] = {f"guides.{number}": guide for number, guide in enumerate(request.guides)}
    actions |= {f"pathologies.{number}": lesion for number, lesion in enumerate(request.pathologies)}
    if request.anatomy is not None:
        actions["anatomy"] = request.anatomy
    for key, action in actions.items():
        action.check(key, config.size, config.diffusion.length, sampling)
    classes = foreground_names(space.record.region_names)
    for number, lesion in enumerate(with_lesion_labels(request).pathologies):
        key = f"pathologies.{number}"
        lesion_label(lesion, open_cohort(lesion.case).label_names, key)
        if lesion.within is not None and lesion.within not in classes:
            limit, cure = f"there are {', '.join(classes)}", similar(lesion.within, classes)
            raise RequestError(f"{key}.within", f"no class '{lesion.within}'", limit, cure)
