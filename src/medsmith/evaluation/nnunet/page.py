"""The HTML page of the experiment with nnU-Net."""

from medsmith.errors import counted
from medsmith.evaluation.downstream.result import ArmResult
from medsmith.evaluation.downstream.tables import (
    gains_table,
    lesions_table,
    point_of,
    points,
    structures_table,
    values_table,
)
from medsmith.evaluation.nnunet.result import LEAST_COURSE, LEAST_FOLDS, NnunetUtility
from medsmith.evaluation.pages.figures import READERS, interval_rows
from medsmith.evaluation.pages.page import Page, Picture, Section, Table
from medsmith.nnunet_environment.trainer import EPOCHS, ITERATIONS

_METHOD = (
    "nnU-Net v2 plans, augments, trains and predicts as it does by itself; the plans are those of the real cases alone "
    "and the same in all arms, so that networks, patches and batches are equal. So are the initial weights of a fold. "
    "nnU-Net is not deterministic: its processes augment in whatever order they come, and another training of the same "
    "cases ends with other weights.",
    "Folds hold whole patients and scenes. The validation cases of a fold are real ones; synthetic cases are in the "
    "training part alone. In R + S cases are repeated in the training list so that the stated share of the cases of a "
    "batch is synthetic on average. The last weights are tested; nothing is selected by the validation.",
    "Gain: paired difference to R of the same fold on the same test patient, in absolute points. The interval is over "
    "test patients and, where there are several, the networks of the folds. Measures are those of medsmith utility.",
)


def nnunet_page(found: NnunetUtility) -> Page:
    """The report of the experiment."""
    caption = f"{counted(len(found.folds), 'network')} of each arm, {found.patients} test patients."
    tables = [
        gains_table(found.arms, found.gain, caption),
        values_table(found.arms, found.unit, found.tolerance),
        structures_table(found.arms),
        lesions_table(found.arms, found.lesions),
    ]
    sections = [
        Section("Every arm", (), [table for table in tables if table.rows], (_picture(found),)),
        Section("What cannot be said", [*_limits(found), *found.notes]),
        Section("Validation by nnU-Net", _VALIDATION, [_validation(found)]),
        Section("Methods", _METHOD),
    ]
    return Page("Do the synthetic cases help nnU-Net?", summary_lines(found), sections, found.facts)


_VALIDATION = (
    "Mean Dice of the validation cases of each fold, as nnU-Net measures it. It is optimistic where the generator saw "
    "these patients: their likeness may be among the synthetic training cases. What decides are the test cases.",
)


def summary_lines(found: NnunetUtility) -> list[str]:
    """The main results, a sentence each."""
    lines = [_result(result) for result in found.arms[1:]]
    epochs, iterations = found.steps
    course = (
        f"Each network learned for {counted(epochs, 'epoch')} of {counted(iterations, 'iteration')}, "
        f"{100 * found.course:.3g} % of nnU-Net's own {EPOCHS} of {ITERATIONS}"
    )
    if not found.long_enough:
        return [*lines, f"{course}: below {100 * LEAST_COURSE:.0f} % so short a training decides nothing."]
    if len(found.folds) < LEAST_FOLDS:
        lines.append("One network of each arm decides nothing: give --fold several times.")
    return [*lines, f"{course}."]


def _result(result: ArmResult) -> str:
    gain = result.dice.gain
    if gain is None:
        return f"{result.arm.name}: nothing to compare."
    return f"{result.arm.name}: {points(gain)} points of Dice over R: {result.verdict}."


def _limits(found: NnunetUtility) -> list[str]:
    real, synthetic = found.cases
    lines = [
        f"One set of {counted(real, 'real case')} and {counted(synthetic, 'synthetic case')}: what holds for these "
        "need not hold for others of the same kind, and no interval covers it.",
        *(
            f"{name}: {', '.join(f'{100 * share:.1f} %' for share in shares)} of the cases of a batch are synthetic, "
            "on average."
            for name, shares in found.shares.items()
        ),
    ]
    if len(found.folds) == 1:
        lines.append("One network of each arm: what its training leaves to chance is in no interval.")
    return lines


def _validation(found: NnunetUtility) -> Table:
    rows = [
        [name, *("unknown" if each is None else f"{each:.3f}" for each in of)] for name, of in found.validation.items()
    ]
    return Table(("arm", *(f"fold {fold}" for fold in found.folds)), rows)


def _picture(found: NnunetUtility) -> Picture:
    dice = [point_of(row, arm.dice.value) for row, arm in enumerate(found.arms)]
    gains = [point_of(row, arm.dice.gain, 100) for row, arm in enumerate(found.arms) if arm.dice.gain]
    panels = [("Dice on real test patients", None, [dice]), ("points of Dice gained over R", 0.0, [gains])]
    caption = "Means with 95 % intervals over test patients and the networks of the folds."
    legend = {counted(found.cases[0], "real case"): READERS[0]}
    return Picture(interval_rows(panels, [arm.arm.name for arm in found.arms]), caption, legend)
