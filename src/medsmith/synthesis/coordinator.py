"""Synthesizes a cohort of exactly the requested number of valid cases, and resumes it after an interruption."""

from contextlib import ExitStack
from pathlib import Path

from medsmith.errors import InterruptionError, MedsmithError, counted
from medsmith.formats.lock import check_not_held, hold_output
from medsmith.interruption import defer_interrupts
from medsmith.progress import NullProgress, Progress
from medsmith.runs.log_file import LOG, LogFile, LoggedProgress
from medsmith.synthesis import folder
from medsmith.synthesis.calls import (
    Conditions,
    Sampled,
    check_numbers,
    checked_request,
    checked_shard,
    default_workers,
)
from medsmith.synthesis.executors.base import Executor
from medsmith.synthesis.missed import MissedCases
from medsmith.synthesis.options import SynthesisOptions
from medsmith.synthesis.outcomes import collect, executor_stopped
from medsmith.synthesis.plan import Plan, relative_paths, relative_run, write_plan
from medsmith.synthesis.references import absolute, check_output, hash_references
from medsmith.synthesis.rejected import write_sheet
from medsmith.synthesis.shards import Shard
from medsmith.synthesis.tasks import CaseIds, CaseTask, Recipe, ResolvedRequest, SynthesisRequest
from medsmith.synthesis.unchanged import stamps_of
from medsmith.synthesis.worker import open_cohort


def synthesize(
    run: Path | str,
    out: Path | str,
    *,
    count: int,
    seed: int = 0,
    request: Conditions = None,
    solver: str | None = None,
    steps: int | None = None,
    workers: int | None = None,
    options: SynthesisOptions | None = None,
    progress: Progress | None = None,
) -> folder.Summary:
    """Synthesize cases, or continue an interrupted call.

    Args:
        run: a run folder, or the name of shipped weights.
        out: the cohort's folder; created if missing.
        count: number of cases the folder is to hold; may be raised later.
        seed: of the run; each case's seed is derived from it and the case's index.
        request: conditions on each case: the method's request (``LesionDiffusionRequest``, ...), the same as a mapping,
            or a JSON file with them; None for none.
        solver: of the sampler; None uses the method's default.
        steps: of the sampler; None uses the method's default.
        workers: number of processes; None starts one per core, or one per GPU. The cases do not depend on it.
        options: devices, limits of the checks, timeouts, executor.
        progress: display of the progress; None shows nothing.

    Raises:
        RunError: the run cannot be used.
        RequestError: the request is invalid for the method.
        SynthesisError: the folder has another recipe, a case fails at every attempt, or its lesions miss the request.
        CohortError: another process writes to the folder, it holds something else, or lies in what is read.
        InterruptionError: a signal came; the finished cases are saved.
        FileError: the folder cannot be written to.
    """
    out, options = Path(out), options or SynthesisOptions()
    check_numbers(count, workers)
    synthesis_request = checked_request(run, request, Sampled(seed, solver, steps), options)
    shard = checked_shard(options.shard, count)
    folder.refuse_foreign(out)
    check_not_held(out)
    size = min(workers or default_workers(options.devices), len(shard.indices(count)))
    try:
        with defer_interrupts() as stop, ExitStack() as work:
            executor = work.enter_context(options.executor(synthesis_request, size, options.timeouts, stop))
            return _fill(executor, work, synthesis_request, out, count, shard, progress or NullProgress())
    except KeyboardInterrupt:
        found = f"interrupted with {folder.count_finished(out)} of {counted(len(shard.indices(count)), 'case')}"
        raise InterruptionError(out, found, cure="run the same command again to continue") from None


def with_hashes(resolved: ResolvedRequest) -> Recipe:
    """The recipe with the content hashes of all files that the request names.

    Raises:
        FileError, CohortError: a file or cohort is missing or unreadable.
    """
    return resolved.recipe.model_copy(update={"inputs": hash_references(resolved.references)})


def _fill(
    executor: Executor,
    work: ExitStack,
    request: SynthesisRequest,
    out: Path,
    count: int,
    shard: Shard,
    progress: Progress,
) -> folder.Summary:
    resolved = executor.resolve()
    paths = {reference.key: absolute(reference.path) for reference in resolved.references}
    check_output(out, request.run, paths.values())
    stamps = stamps_of(resolved.references)
    recipe = with_hashes(resolved)
    with hold_output(out):
        folder.remove_old_pictures(out)
        cohort = open_cohort(out, resolved.spec)
        folder.clean(out)
        written = relative_paths(paths, out)
        part = None if shard == Shard(1, 1) else str(shard)
        run = relative_run(request.run, out)
        write_plan(out, Plan(count=count, run=run, paths=written, recipe=recipe, shard=part))
        indices, missed = shard.indices(count), MissedCases(out)
        ids = CaseIds(recipe.method, indices)
        done = sum(folder.is_whole(out, resolved.spec, id) for id in ids)
        # One after the other, as the executor asks for them: memory does not grow with their number.
        missing = (
            index
            for index, id in zip(indices, ids, strict=True)
            if id not in missed.cases and not folder.is_whole(out, resolved.spec, id)
        )
        template = CaseTask(run=request.run, loader=request.loader, recipe=recipe, paths=paths, stamps=stamps, index=0)
        tasks = (template.model_copy(update={"index": index}) for index in missing)
        log = LogFile(out / LOG)
        try:
            with log.call(f"synthesize {counted(len(ids), 'case')} of {recipe.method}, seed {recipe.seed}"):
                shown = LoggedProgress(progress, log)
                with shown.task("synthesize", len(ids), done) as advance, executor_stopped(work, out):
                    failures = collect(executor.submit(tasks, out), out, advance, done, missed)
                write_sheet(out)
                folder.finish(cohort, ids, failures)
        except MedsmithError:
            folder.remove_if_empty(cohort, ids)
            raise
        summary = folder.summarize(out, ids, made=len(ids) - done)
        log.line(summary.line)
    return summary
