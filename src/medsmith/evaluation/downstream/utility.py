"""The utility experiment: trains segmentation networks on real and synthetic cases, tests them on unseen real ones."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool

from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.data.similarity import NEAR_DUPLICATE, nearest
from medsmith.errors import CohortError, MedsmithError, RequestError, RunError
from medsmith.evaluation.downstream.architectures import grid_multiple
from medsmith.evaluation.downstream.arms import Arm, TrainingPhase, plan_arms
from medsmith.evaluation.downstream.loaded_cohort import LoadedCohort, load_cohort
from medsmith.evaluation.downstream.page import utility_page
from medsmith.evaluation.downstream.result import Utility, summarize_arm
from medsmith.evaluation.downstream.segmenter import Cases, SegmenterConfig, dice_of_cases, train_segmenter
from medsmith.evaluation.fidelity.bootstrap import proportion
from medsmith.evaluation.pages.page import check_results_folder, write_page
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.formats.lock import hold_output
from medsmith.progress import NullProgress, Progress
from medsmith.runs.checkpoints import read_record
from medsmith.runs.location import find_run

RECORD, PAGE = "utility.json", "utility.html"
LARGEST_VOLUME_EDGE = 64
_LARGEST_EDGE = 1024
_SIZE_SAMPLE = 20
_VERSIONS = ("medsmith", "monai", "numpy", "torch")


def utility(
    real: CohortLike,
    synthetic: CohortLike,
    test: CohortLike,
    out: Path | str,
    *,
    ratios: Sequence[float] | None = None,
    seeds: int = 3,
    size: int | None = None,
    config: SegmenterConfig | None = None,
    facts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Utility:
    """Dice of networks trained on R, S, S then R, and R + S. Writes ``utility.json`` and ``utility.html``.

    The result of each network is saved in ``out``; the same call resumes an interrupted one.

    Args:
        real: real training cases R.
        synthetic: synthetic cases S of a generator that was trained without the test cases.
        test: real cases that are neither in R nor in the training cohort of the generator.
        out: folder of the results.
        ratios: synthetic cases per real case; by default those of 0.5, 1, 2 and 4 for which S has enough cases.
        seeds: number of networks per arm.
        size: grid edge in voxels, a multiple of 8; by default the smaller image edge of R and S (volumes: at most 64).
        config: training settings, equal for all arms.
        facts: additional lines of the report, such as date and machine.
        progress: display of the progress and the remaining time.

    Raises:
        CohortError: the cohorts are incompatible, R or S shares an image with the test cohort, or another process
            writes to the folder.
        RequestError: invalid ratios, seeds or size.
        RunError: the folder holds results with other cases or settings.
        FileError: another file is in the place of the result.
    """
    config, progress, out = config or SegmenterConfig(), progress or NullProgress(), Path(out)
    real, synthetic, test = as_cohort(real), as_cohort(synthetic), as_cohort(test)
    check_results_folder(out, (RECORD, PAGE), (real.root, synthetic.root, test.root))
    _check_compatible(real, synthetic, test)
    _check_unseen(synthetic, test)
    if seeds < 1:
        raise RequestError("seeds", f"{seeds}", "at least 1", "ask for more")
    arms, edge = (
        plan_arms(len(real), len(synthetic), ratios),
        _edge(real, synthetic, size, grid_multiple(config.architecture)),
    )
    settings = _settings((real, synthetic, test), edge, config)
    with progress.task("read cases", len(real) + len(synthetic) + len(test)) as advance:
        of_real, of_synthetic, of_test = (load_cohort(cohort, edge, advance) for cohort in (real, synthetic, test))
    _check_disjoint(of_real, of_synthetic, of_test)
    names = tuple(sorted(real.label_names, key=lambda name: real.label_names[name]))
    with hold_output(out):
        _check_settings(out, settings)
        _train_missing(out, arms, seeds, len(names), config, (of_real, of_synthetic, of_test), progress)
        result = _collect(out, arms, seeds, names[1:], (of_real, of_test), {**settings, **(facts or {})})
        write_json(out / RECORD, result.as_json())
        write_page(utility_page(result), out / PAGE)
    return result


def _train_missing(
    out: Path,
    arms: Sequence[Arm],
    seeds: int,
    classes: int,
    config: SegmenterConfig,
    cohorts: tuple[LoadedCohort, LoadedCohort, LoadedCohort],
    progress: Progress,
) -> None:
    """Train the networks that have no result yet, and write the Dice of each."""
    real, synthetic, test = cohorts
    jobs = [(arm, seed) for seed in range(seeds) for arm in arms]
    remaining = [(arm, seed) for arm, seed in jobs if not _result_path(out, arm, seed).exists()]
    total = len(jobs) * config.steps
    with progress.task("train networks", total, total - len(remaining) * config.steps) as advance:
        for arm, seed in remaining:
            phases = [_cases(phase, seed, real, synthetic) for phase in arm.phases]
            network = train_segmenter(phases, classes, config, seed, advance)
            scores = dice_of_cases(network, test, classes)
            write_json(_result_path(out, arm, seed), {"dice": dict(zip(test.ids, scores.tolist(), strict=True))})


def _cases(phase: TrainingPhase, seed: int, real: LoadedCohort, synthetic: LoadedCohort) -> Cases:
    """Training images and labels of one phase."""
    of_real, of_synthetic = phase.rows(len(synthetic), seed)
    images = torch.cat([real.images[of_real], synthetic.images[of_synthetic]])
    return images, torch.cat([real.labels[of_real], synthetic.labels[of_synthetic]])


def _collect(
    out: Path,
    arms: Sequence[Arm],
    seeds: int,
    names: tuple[str, ...],
    cohorts: tuple[LoadedCohort, LoadedCohort],
    facts: Mapping[str, str],
) -> Utility:
    real, test = cohorts
    scores = {
        arm.name: np.array([_scores(_result_path(out, arm, seed), test.ids) for seed in range(seeds)]) for arm in arms
    }
    near_duplicate = _has_near_duplicate(test, real)
    results = [summarize_arm(arm, scores[arm.name], scores["real"], names, ~near_duplicate) for arm in arms]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _VERSIONS)
    lines = {**facts, "versions": f"Python {platform.python_version()}, {versions}"}
    return Utility(tuple(results), proportion(int(near_duplicate.sum()), len(test)), lines)


def _has_near_duplicate(test: LoadedCohort, real: LoadedCohort) -> Bool[np.ndarray, " n"]:
    return np.asarray(nearest(test.thumbnails, real.thumbnails)[0] >= NEAR_DUPLICATE)


def _result_path(out: Path, arm: Arm, seed: int) -> Path:
    return out / "networks" / f"{arm.stem}-seed{seed}.json"


def _scores(path: Path, ids: Sequence[str]) -> list[list[float]]:
    found = read_json(path)
    try:
        return [found["dice"][case_id] for case_id in ids]
    except (KeyError, TypeError) as error:
        raise RunError(path, "does not hold the Dice of every test case", cure="delete it and run again") from error


def _check_compatible(real: Cohort, synthetic: Cohort, test: Cohort) -> None:
    for cohort in (real, synthetic, test):
        if not len(cohort):
            raise CohortError(cohort.root, "no cases", "at least 1", "give a cohort that has some")
        for what, having in (("image", cohort.ids_with_image), ("labels", cohort.ids_with_labels)):
            if len(having) < len(cohort):
                found = f"{len(cohort) - len(having)} of {len(cohort)} cases have no {what}"
                raise CohortError(cohort.root, found, "a segmentation network needs both", "leave these cases out")
    for cohort in (synthetic, test):
        for what in ("label_names", "channel_names"):
            ours, theirs = getattr(real, what), getattr(cohort, what)
            if ours != theirs:
                raise CohortError(cohort.root, f"{what} {theirs}", f"{real.root} has {ours}", "make them alike")


def _check_unseen(synthetic: Cohort, test: Cohort) -> None:
    """Refuse test cases that the generator learned from, where its run is still at its place."""
    record = synthetic.root / "synthesis.json"
    try:
        run = find_run(str(read_json(record).get("run", ""))) if record.exists() else None
        trained_on = None if run is None else read_record(run).fingerprint.cohort_hash
    except MedsmithError:
        return
    if trained_on == test.content_hash():
        found = f"the generator of {synthetic.root} was trained on it"
        raise CohortError(test.root, found, "test cases are new to everything", "give another cohort")


def _edge(real: Cohort, synthetic: Cohort, size: int | None, multiple: int) -> int:
    if size is not None:
        if not 2 * multiple <= size <= _LARGEST_EDGE or size % multiple:
            limit = f"a multiple of {multiple}, {2 * multiple} to {_LARGEST_EDGE}"
            raise RequestError("size", f"{size}", limit, "choose one")
        return size
    edge: int = min(_median_edge(real), _median_edge(synthetic))
    if real[real.ids[0]].geometry.dimensions == 3:
        edge = min(edge, LARGEST_VOLUME_EDGE)
    return int(max(2 * multiple, edge // multiple * multiple))


def _median_edge(cohort: Cohort) -> int:
    """Median longest edge of the first cases, in voxels."""
    edges = [max(cohort[case_id].geometry.shape) for case_id in cohort.ids[:_SIZE_SAMPLE]]
    return int(np.median(edges))


def _settings(cohorts: tuple[Cohort, Cohort, Cohort], edge: int, config: SegmenterConfig) -> dict[str, str]:
    lines = {
        f"{name} cohort": f"{len(cohort)} cases, content {cohort.content_hash()}"
        for name, cohort in zip(("real", "synthetic", "test"), cohorts, strict=True)
    }
    return lines | {"grid edge": str(edge), "training": json.dumps(config.model_dump(), sort_keys=True)}


def _check_settings(out: Path, settings: Mapping[str, str]) -> None:
    """Save the settings of the folder's results, or refuse a folder with other settings."""
    path = out / "settings.json"
    if path.exists():
        stored = read_json(path)
        changed = sorted(name for name in settings if stored.get(name) != settings[name])
        if changed:
            found = f"holds results with another {changed[0]}"
            raise RunError(out, found, "one folder, one experiment", "choose another folder or delete this one")
    write_json(path, settings)


def _check_disjoint(real: LoadedCohort, synthetic: LoadedCohort, test: LoadedCohort) -> None:
    """Refuse test images that are also among the real or synthetic images."""
    for what, cohort in (("real", real), ("synthetic", synthetic)):
        ids = dict(zip(cohort.hashes, cohort.ids, strict=True))
        shared = [(ids[h], case_id) for h, case_id in zip(test.hashes, test.ids, strict=True) if h in ids]
        if shared:
            ours, theirs = shared[0]
            found = f"{len(shared)} test images are among the {what} ones ({theirs} is {ours})"
            raise CohortError("test cohort", found, "no image in both", "split the cohorts anew")
