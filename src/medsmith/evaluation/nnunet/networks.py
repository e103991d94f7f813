"""nnU-Net's steps for every arm: plans of R, preprocessing, training, prediction and measures."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from medsmith.cases.case_files import CaseFiles
from medsmith.cases.cohort import Cohort
from medsmith.errors import MedsmithError, RequestError
from medsmith.evaluation.downstream.arms import REAL, Arm
from medsmith.evaluation.downstream.lesions import size_limits
from medsmith.evaluation.downstream.loaded_cohort import drop_flat_axis
from medsmith.evaluation.downstream.measures import measured_case
from medsmith.evaluation.downstream.networks import Job
from medsmith.evaluation.kept_parts import keep_part, kept_part
from medsmith.evaluation.nnunet.following import Follower
from medsmith.evaluation.nnunet.splits import Split
from medsmith.evaluation.nnunet.workplace import PLANS, Workplace
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.nnunet_environment.environment import PLAN, PREDICT, PREPROCESS, TRAIN
from medsmith.nnunet_environment.trainer import NAME
from medsmith.progress import Progress

_TRAINED = "checkpoint_final.pth"
_SHOWN = 60
_ANEW = "choose one of these, and another folder for --out"


@final
@dataclass(frozen=True, eq=False)
class Trial:
    """The networks of the experiment.

    Attributes:
        place: where nnU-Net works.
        test: test cases as written for nnU-Net.
        splits: training and validation cases of each arm, fold by fold.
        mm: whether distances are in mm; else in pixels.
    """

    place: Workplace
    test: Cohort
    splits: Mapping[Arm, Sequence[Split]]
    mm: bool

    @property
    def jobs(self) -> list[Job]:
        """All networks; the folds stand for the seeds of one subset, which is all real cases."""
        folds = self.place.options.folds
        return [Job(0, 0, (), arm, fold) for fold in folds for arm in self.splits]

    def prepare(self, progress: Progress) -> None:
        """Plans of R, used by all arms, and the preprocessed cases of each.

        Raises:
            RequestError: R has no plans for the configuration.
            RunError: a step fails.
        """
        options, place = self.place.options, self.place
        common = ("-c", options.configuration, "-np", options.workers, "--no_pbar")
        with progress.task("plan and preprocess", len(self.splits)) as advance:

            def watch(line: str) -> None:
                advance(0, line.strip()[:_SHOWN])

            for arm, splits in self.splits.items():
                number = ("-d", place.number(arm))
                if arm == REAL:
                    place.run("plan-real", PLAN, *number, "--clean", "-npfp", options.workers, *common, watch=watch)
                    self._check_planned()
                else:
                    self._copy_plans(arm)
                    place.run(f"preprocess-{arm.stem}", PREPROCESS, *number, "-plans_name", PLANS, *common, watch=watch)
                write_json(place.preprocessed(arm) / "splits_final.json", splits)
                advance(1, "")

    def train(self, progress: Progress) -> None:
        """Train each network that is not trained; one that was interrupted continues at its last checkpoint.

        Raises:
            RunError: a training fails.
        """
        options, place = self.place.options, self.place
        missing = [job for job in self.jobs if not place.is_done(_step("train", job))]
        total = len(self.jobs) * options.epochs
        with progress.task("train nnU-Net", total, total - len(missing) * options.epochs) as advance:
            for job in missing:
                words = (place.dataset(job.arm), options.configuration, job.seed, "-tr", NAME, "-p", PLANS, "--c")
                follower = Follower(advance, options.epochs, _name(job))
                device, written = ("-device", options.device), [place.trained(job.arm, job.seed) / _TRAINED]
                place.run(_step("train", job), TRAIN, *words, *device, watch=follower.trained, written=written)
                follower.end()

    def test_all(self, progress: Progress) -> None:
        """Predict the test cases by each network and write their measures.

        Raises:
            RunError: a prediction fails or is missing.
        """
        missing = [job for job in self.jobs if kept_part(job.path(self.place.out)) is None]
        count = len(self.test)
        total = len(self.jobs) * count
        with progress.task("predict and measure", total, total - len(missing) * count) as advance:
            for job in missing:
                follower = Follower(advance, count, _name(job))
                self._predict(job, follower.predicted)
                measures = {"cases": self._measured(job), "validation_dice": self._validation(job)}
                keep_part(job.path(self.place.out), {"device": self._device(job), **measures})
                follower.end()

    def _device(self, job: Job) -> str:
        """Where a network was trained, and where it predicted if that is another."""
        trained, predicted = (self.place.device(_step(what, job)) for what in ("train", "predict"))
        return trained if trained == predicted else f"{trained}, predictions on {predicted}"

    def _predict(self, job: Job, watch: Callable[[str], None]) -> None:
        place, options, step = self.place, self.place.options, _step("predict", job)
        folder = place.predicted(job.arm, job.seed)
        if not place.is_done(step):
            shutil.rmtree(folder, ignore_errors=True)
        network = ("-d", place.dataset(job.arm), "-c", options.configuration, "-f", job.seed, "-tr", NAME, "-p", PLANS)
        files = ("-i", self.test.root / "imagesTr", "-o", folder)
        how = ("-npp", options.workers, "-nps", options.workers, "-device", options.device, "--disable_progress_bar")
        written = [each.label_paths[0] for each in self._predictions(job).values()]
        place.run(step, PREDICT, *network, *files, *how, watch=watch, written=written)

    def _predictions(self, job: Job) -> dict[str, CaseFiles]:
        """Id of each test case -> its image and the labels that a network predicts."""
        folder, ending = self.place.predicted(job.arm, job.seed), self.test.file_ending
        return {
            case_id: CaseFiles(self.test.files(case_id).channels, folder / f"{case_id}{ending}")
            for case_id in self.test.ids
        }

    def _measured(self, job: Job) -> dict[str, Any]:
        classes, tolerance = len(self.test.label_names), self.place.options.tolerance
        folder, found = self.place.predicted(job.arm, job.seed), {}
        predicted = Cohort(folder, replace(self.test.layout, cases=self._predictions(job)))
        for case in self.test:
            ours, theirs = (drop_flat_axis(each.require_labels()) for each in (predicted[case.id], case))
            grid = (case.geometry.spacing[: theirs.ndim], tolerance)
            found[case.id] = measured_case(ours, theirs, classes, grid, size_limits(theirs.shape, self.mm))
        return found

    def _validation(self, job: Job) -> float | None:
        """Mean Dice of the validation cases by nnU-Net itself; None where it is not known."""
        try:
            found = read_json(self.place.trained(job.arm, job.seed) / "validation" / "summary.json")
            return float(found["foreground_mean"]["Dice"])
        except (MedsmithError, KeyError, TypeError, ValueError):
            return None

    def _check_planned(self) -> None:
        planned = read_json(self.place.preprocessed(REAL) / f"{PLANS}.json").get("configurations", {})
        if self.place.options.configuration not in planned:
            found = f"nnU-Net has no plans for {self.place.options.configuration}"
            raise RequestError("--configuration", found, f"it has {', '.join(sorted(planned))}", _ANEW)

    def _copy_plans(self, arm: Arm) -> None:
        """Plans and fingerprint of R for the dataset of another arm."""
        source, target = self.place.preprocessed(REAL), self.place.preprocessed(arm)
        plans = read_json(source / f"{PLANS}.json")
        write_json(target / f"{PLANS}.json", {**plans, "dataset_name": self.place.dataset(arm)})
        shutil.copyfile(source / "dataset_fingerprint.json", target / "dataset_fingerprint.json")
        shutil.copyfile(self.place.raw(arm) / "dataset.json", target / "dataset.json")


def _step(what: str, job: Job) -> str:
    return f"{what}-{job.arm.stem}-{job.seed}"


def _name(job: Job) -> str:
    return f"{job.arm.name}, fold {job.seed}"
