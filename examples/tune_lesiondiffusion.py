"""Trains LINet on with lesions whose words are independent, for the starter weights: four hours on one core.

python examples/tune_lesiondiffusion.py FOLDER RUN

RUN is what examples/train_lesiondiffusion.py has trained. By the rules of lesion types a ring enhances in few lesions,
and the organ tells most of the texture; in `ct-varied` density, texture, margin and areas are drawn independently, so
that each word acts by itself. LMNet stays as it is. FOLDER takes everything; the same command again continues.
benchmarks/lesiondiffusion/network_share.py measures what LINet makes of the words alone.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from medsmith import Budget, Case, Cohort, train
from medsmith.formats.atomic import write_bytes
from medsmith.phantoms.families import find_family
from medsmith.phantoms.writing import write_phantom
from medsmith.preparation import merge
from medsmith.progress import ConsoleProgress
from medsmith.reports.organs import members_of
from medsmith.reports.schema import ScanReport
from medsmith.runs.checkpoints import SHIPPED, export_weights, load_method, read_record, save_weights

VARIED, VARIED_SEED = 1600, 31
BY_RULES, SEED = 300, 11
"""Lesions of all types, hollow organs among them, as the shipped weights have learned from."""
SIZE = 96
COPIES: Mapping[str, int] = {"ring enhancement": 3, "mixed-density": 2}
"""How often a lesion of this density stands among the bare words; any other once."""


@final
@dataclass(frozen=True)
class Course:
    """Steps with a learning rate of their own, each from where the one before it ends.

    Attributes:
        name: its folder.
        cohort: it learns from.
        settings: beside those of all.
    """

    name: str
    cohort: str
    settings: tuple[str, ...]


SETTINGS = ("training.decay=cosine", "paint.words.left_out=0.3", "paint.guidance=3", "paint.level=kept")
HIGH_NOISE = ("paint.diffusion.min_snr=2", "paint.diffusion.least_weight=4")
"""Weights of the loss: at high noise levels the words decide, at low ones the noisy image tells what they say."""
EDGE, WATER, ORGAN = "paint.edge=reported", "paint.origin=water", "paint.origin=organ"
MORE_WORDS = "paint.words.left_out=0.15"
COURSES = (
    Course("words", "cohort", ("training.steps=7000", "paint.diffusion.least_weight=6", "paint.edge=sharp", WATER)),
    Course("edges", "cohort", ("training.steps=4000", *HIGH_NOISE, EDGE, WATER)),
    Course("bare-words", "cohort-bare", ("training.steps=5000", *HIGH_NOISE, EDGE, WATER)),
    Course("more-words", "cohort-bare", ("training.steps=3500", MORE_WORDS, *HIGH_NOISE, EDGE, WATER)),
    Course("organs", "cohort-bare", ("training.steps=6000", MORE_WORDS, *HIGH_NOISE, EDGE, ORGAN)),
    Course("even", "cohort-even", ("training.steps=5000", MORE_WORDS, *HIGH_NOISE, EDGE, ORGAN)),
)
EVEN_COPIES = 2
"""Further copies of homogeneous lesions among the bare words: guidance flattens mixed density where the average lesion
has more texture."""
LAST_SHARE = 0.25
"""Of the last course; the course before it has the rest (Wortsman et al. 2022, WiSE-FT, eq. 1). The last one raises
mixed density and lowers ring, margin and variation."""


def main(
    folder: Path, source: Path, destination: Path, cases: tuple[int, int] = (VARIED, BY_RULES), steps: int | None = None
) -> None:
    """Work in FOLDER, continue what an earlier call left there, and put the weights into DESTINATION."""
    shown = ConsoleProgress()
    write_phantom(find_family("ct-varied"), folder / "varied", cases[0], VARIED_SEED, SIZE, progress=shown)
    write_phantom(find_family("ct"), folder / "by-rules", cases[1], SEED, SIZE, progress=shown)
    write_bare(Cohort.open(folder / "varied"), folder / "bare")
    parts = [folder / "varied", folder / "by-rules"]
    merge(parts, folder / "cohort", report=print)
    write_even(Cohort.open(folder / "bare"), folder / "homogeneous")
    merge([*parts, folder / "bare"], folder / "cohort-bare", report=print)
    merge([*parts, folder / "bare", folder / "homogeneous"], folder / "cohort-even", report=print)
    run = source
    for course in COURSES:
        run = train(
            "lesiondiffusion",
            folder / course.cohort,
            folder / course.name,
            settings=(*SETTINGS, *course.settings),
            budget=Budget(stage="paint", steps=steps),
            start_from=str(run),
            progress=shown,
            report=print,
        )
    run = average(run, folder / COURSES[-2].name, folder / "averaged")
    export_weights(run, destination)
    print(f"{run} -> {destination}")


def write_bare(varied: Cohort, out: Path) -> Cohort:
    """The lesions outside the lung again, their reports without the mean in HU.

    Beside a number, a word of density says little more; without it, the word has to be read beside the organ.
    """
    cohort = Cohort.create(
        out, channel_names=varied.channel_names, label_names=varied.label_names, file_ending=".nii.gz"
    )
    for case in varied:
        for copy in bare_copies(case):
            if copy.id not in cohort:
                cohort.write(copy)
    cohort.finish()
    return Cohort.open(out)


def bare_copies(case: Case) -> Iterator[Case]:
    """A case without the number in its report, as often as its density is to be seen."""
    (lesion,) = ScanReport.model_validate(case.report).lesions
    if lesion.organ is None or lesion.organ in members_of("lung"):
        return
    report = ScanReport(lesions=(lesion.model_copy(update={"ct_value_hu": None}),)).model_dump(mode="json")
    for number in range(COPIES.get(lesion.density or "", 1)):
        yield replace(case, id=f"{case.id}-{number}", report=report)


def write_even(bare: Cohort, out: Path) -> Cohort:
    """The homogeneous lesions among the bare words again."""
    cohort = Cohort.create(out, channel_names=bare.channel_names, label_names=bare.label_names, file_ending=".nii.gz")
    for case in bare:
        (lesion,) = ScanReport.model_validate(case.report).lesions
        if lesion.density_variation == "homogeneous":
            for number in range(EVEN_COPIES):
                copy = replace(case, id=f"{case.id}-even-{number}")
                if copy.id not in cohort:
                    cohort.write(copy)
    cohort.finish()
    return Cohort.open(out)


def average(last: Path, before: Path, out: Path) -> Path:
    """A run with the weights of two, of which ``LAST_SHARE`` is that of the last."""
    method, earlier = load_method(last), load_method(before).state_dict()
    mixed = {
        name: LAST_SHARE * value + (1 - LAST_SHARE) * earlier[name] if value.is_floating_point() else value
        for name, value in method.state_dict().items()
    }
    method.load_state_dict(mixed)
    write_bytes(out / "README.md", (last / "README.md").read_bytes())
    save_weights(out, method, read_record(last))
    return out


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), SHIPPED / "lesiondiffusion")
