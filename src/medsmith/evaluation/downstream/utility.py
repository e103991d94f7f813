"""Trains segmentation networks on real and synthetic cases, apart and together; tests on real ones they never saw."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool

from medsmith.cases.cohort import Cohort
from medsmith.data.similarity import NEAR_DUPLICATE, nearest
from medsmith.errors import CohortError, RequestError, RunError
from medsmith.evaluation.downstream.arms import Arm, Course, plan_arms
from medsmith.evaluation.downstream.page import utility_page
from medsmith.evaluation.downstream.pool import Pool, load_pool
from medsmith.evaluation.downstream.result import Utility, summarise
from medsmith.evaluation.downstream.segmenter import MULTIPLE, Cases, Training, dice_of_cases, train_segmenter
from medsmith.evaluation.fidelity.bootstrap import share
from medsmith.evaluation.pages.page import write_page
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.progress import NullProgress, Progress

LARGEST_VOLUME_EDGE = 64
_LOOKED_AT = 20
_VERSIONS = ("medsmith", "monai", "numpy", "torch")


def utility(
    real: Cohort,
    synthetic: Cohort,
    test: Cohort,
    out: Path | str,
    *,
    ratios: Sequence[float] | None = None,
    seeds: int = 3,
    size: int | None = None,
    training: Training | None = None,
    facts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Utility:
    """Dice of networks trained on R, S, S then R, and R + S; writes ``utility.json`` and ``utility.html``.

    Each finished network is noted in ``out``; the same call continues where it was stopped.

    Args:
        real: real training cases R.
        synthetic: synthetic cases S, made by a generator that has seen no test case.
        test: real cases that neither R nor the generator's training holds.
        out: folder of the results.
        ratios: synthetic per real case; by default those of 0.5, 1, 2 and 4 that S suffices for.
        seeds: networks per arm.
        size: edge of the grid, a multiple of 8; by default that of the smaller image of R and S (volumes: at most 64).
        training: steps, batch and the rest, equal for all arms.
        facts: further lines for the report, such as date and machine.
        progress: shows how far it is and the time left.

    Raises:
        CohortError: cohorts do not fit together, or share an image with the test cohort.
        RequestError: ratios, seeds or size that cannot be had.
        RunError: the folder holds results of other cases or settings.
    """
    training, shown, out = training or Training(), progress or NullProgress(), Path(out)
    _check_alike(real, synthetic, test)
    if seeds < 1:
        raise RequestError("seeds", f"{seeds}", "at least 1", "ask for more")
    arms, edge = plan_arms(len(real), len(synthetic), ratios), _edge(real, synthetic, size)
    settings = _settings((real, synthetic, test), edge, training)
    with shown.task("read cases", len(real) + len(synthetic) + len(test)) as advance:
        of_real, of_synthetic, of_test = (load_pool(cohort, edge, advance) for cohort in (real, synthetic, test))
    _check_apart(of_real, of_synthetic, of_test)
    _claim(out, settings)
    names = tuple(sorted(real.label_names, key=lambda name: real.label_names[name]))
    classes = len(names)
    jobs = [(arm, seed) for seed in range(seeds) for arm in arms]
    waiting = [(arm, seed) for arm, seed in jobs if not _result_path(out, arm, seed).exists()]
    total = len(jobs) * training.steps
    with shown.task("train networks", total, total - len(waiting) * training.steps) as advance:
        for arm, seed in waiting:
            courses = [_cases(course, seed, of_real, of_synthetic) for course in arm.courses]
            network = train_segmenter(courses, classes, training, seed, advance)
            scores = dice_of_cases(network, of_test, classes)
            write_json(_result_path(out, arm, seed), {"dice": dict(zip(of_test.ids, scores.tolist(), strict=True))})
    result = _collect(out, arms, seeds, names[1:], (of_real, of_test), {**settings, **(facts or {})})
    write_json(out / "utility.json", result.as_json())
    write_page(utility_page(result), out / "utility.html")
    return result


def _cases(course: Course, seed: int, real: Pool, synthetic: Pool) -> Cases:
    """Images and labels that one network learns from at one time."""
    of_real, of_synthetic = course.rows(len(synthetic), seed)
    images = torch.cat([real.images[of_real], synthetic.images[of_synthetic]])
    return images, torch.cat([real.labels[of_real], synthetic.labels[of_synthetic]])


def _collect(
    out: Path,
    arms: Sequence[Arm],
    seeds: int,
    names: tuple[str, ...],
    pools: tuple[Pool, Pool],
    facts: Mapping[str, str],
) -> Utility:
    real, test = pools
    scores = {
        arm.name: np.array([_scores(_result_path(out, arm, seed), test.ids) for seed in range(seeds)]) for arm in arms
    }
    twin = _twins(test, real)
    results = [summarise(arm, scores[arm.name], scores["real"], names, ~twin) for arm in arms]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _VERSIONS)
    lines = {**facts, "versions": f"Python {platform.python_version()}, {versions}"}
    return Utility(tuple(results), share(int(twin.sum()), len(test)), lines)


def _twins(test: Pool, real: Pool) -> Bool[np.ndarray, " n"]:
    return np.asarray(nearest(test.thumbnails, real.thumbnails)[0] >= NEAR_DUPLICATE)


def _result_path(out: Path, arm: Arm, seed: int) -> Path:
    return out / "networks" / f"{arm.stem}-seed{seed}.json"


def _scores(path: Path, ids: Sequence[str]) -> list[list[float]]:
    found = read_json(path)
    try:
        return [found["dice"][case_id] for case_id in ids]
    except (KeyError, TypeError) as error:
        raise RunError(path, "does not hold the Dice of every test case", cure="delete it and run again") from error


def _check_alike(real: Cohort, synthetic: Cohort, test: Cohort) -> None:
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


def _edge(real: Cohort, synthetic: Cohort, size: int | None) -> int:
    if size is not None:
        if size < 2 * MULTIPLE or size % MULTIPLE:
            raise RequestError("size", f"{size}", f"a multiple of {MULTIPLE}, at least {2 * MULTIPLE}", "choose one")
        return size
    edge: int = min(_usual_edge(real), _usual_edge(synthetic))
    if real[real.ids[0]].geometry.dimensions == 3:
        edge = min(edge, LARGEST_VOLUME_EDGE)
    return int(max(2 * MULTIPLE, edge // MULTIPLE * MULTIPLE))


def _usual_edge(cohort: Cohort) -> int:
    """Median of the longest edge over the first cases."""
    edges = [max(cohort[case_id].geometry.shape) for case_id in cohort.ids[:_LOOKED_AT]]
    return int(np.median(edges))


def _settings(cohorts: tuple[Cohort, Cohort, Cohort], edge: int, training: Training) -> dict[str, str]:
    lines = {
        f"{name} cohort": f"{len(cohort)} cases, content {cohort.content_hash()}"
        for name, cohort in zip(("real", "synthetic", "test"), cohorts, strict=True)
    }
    return lines | {"grid edge": str(edge), "training": json.dumps(training.model_dump(), sort_keys=True)}


def _claim(out: Path, settings: Mapping[str, str]) -> None:
    """Notes what the folder's results stand for, or refuses results of something else."""
    path = out / "settings.json"
    if path.exists():
        there = read_json(path)
        changed = sorted(name for name in settings if there.get(name) != settings[name])
        if changed:
            found = f"holds results with another {changed[0]}"
            raise RunError(out, found, "one folder, one experiment", "choose another folder or delete this one")
    write_json(path, settings)


def _check_apart(real: Pool, synthetic: Pool, test: Pool) -> None:
    """Refuses test images that a network or the generator may have learnt from."""
    for what, pool in (("real", real), ("synthetic", synthetic)):
        place = dict(zip(pool.hashes, pool.ids, strict=True))
        shared = [(place[h], case_id) for h, case_id in zip(test.hashes, test.ids, strict=True) if h in place]
        if shared:
            ours, theirs = shared[0]
            found = f"{len(shared)} test images are among the {what} ones ({theirs} is {ours})"
            raise CohortError("test cohort", found, "no image in both", "split the cohorts anew")
