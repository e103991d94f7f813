"""The score of a reader study in the terminal and as an HTML page."""

from collections.abc import Sequence

from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.pages.figures import Roc, reader_panels
from medsmith.evaluation.pages.page import Page, Picture, Section, Table
from medsmith.evaluation.reader_study.equivalence import Measure, decisions_for_equivalence
from medsmith.evaluation.reader_study.plan import Mode
from medsmith.evaluation.reader_study.reader_score import ReaderScore
from medsmith.evaluation.reader_study.readers import ReaderAverage
from medsmith.evaluation.reader_study.study_score import StudyScore

TITLE = "Reader study (visual Turing test)"
_SINGLE = ("reader", "accuracy", "real -> fake", "fake -> real", "AUC", "d'", "c")
_PAIRS = ("reader", "right pairs", "d'", "c (right side)")


def score_lines(score: StudyScore) -> list[str]:
    """The table and the main results, for the terminal."""
    head, rows = _table(score)
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    return [*(line.rstrip() for line in lines), "", *_summary(score)]


def score_page(score: StudyScore) -> Page:
    """The report of a reader study."""
    head, rows = _table(score)
    caption = "Shares with exact (Clopper-Pearson) 95 % intervals; repeats are not counted."
    sections = [
        Section("Readers", (), (Table(head, rows, caption),), _pictures(score)),
        Section("Reading", (), (Table(*_reading_table(score)),)),
        Section("Methods", _methods(score)),
    ]
    trained, tested = score.observer["trained"], score.observer["tested"]
    facts = {
        "study": score.key.study,
        "key": score.key.hash,
        **{
            f"{kind} cohort": f"{c['cases']} cases, content {c['content']}"
            for kind, c in score.key.sealed["cohorts"].items()
        },
        **score.key.sealed["presentation"],
        "naive observer": f"{score.observer['description']}; trained on {trained[0]} real and {trained[1]} synthetic "
        f"images, tested on {tested[0]} and {tested[1]} of other patients{score.observer['warning']}",
        "medsmith": f"{score.key.sealed['medsmith']} (created)",
    }
    return Page(TITLE, _summary(score), sections, facts)


def _summary(score: StudyScore) -> list[str]:
    lines = [f"{name}: {test.verdict}." for name, test in score.tests.items()]
    shown = [f"{of['images']} {kind} images of {of['patients']} patients" for kind, of in score.key.shown.items()]
    lines.append(f"Shown: {' and '.join(shown)}.")
    margin = next(iter(score.tests.values())).margin if score.tests else score.key.margin
    made = sum(reader.decisions.signals + reader.decisions.others for reader in score.readers)
    measures = (Measure.AUC, Measure.ACCURACY) if score.key.mode is Mode.SINGLE else (Measure.PAIRS,)
    takes = " and ".join(f"{decisions_for_equivalence(margin, measure)} for the {measure}" for measure in measures)
    lines.append(
        f"{made} decisions were made. For 80 % power a margin of {margin:g} takes so many independent ones: "
        f"{takes}{_needed(score)}."
    )
    auc = score.observer["auc"]
    lines.append(f"Naive observer: AUC {_plain(auc['value'], auc['low'], auc['high'])}{score.observer['warning']}.")
    if score.agreement is not None:
        lines.append(f"Agreement between readers: Fleiss' kappa {score.agreement:.2f}.")
    return [*lines, *(f"Note: {note}." for note in score.notes)]


def _needed(score: StudyScore) -> str:
    """What the variance that was found means for a further study with the same readers."""
    shown = "images, both kinds together" if score.key.mode is Mode.SINGLE else "pairs"
    found = [
        f"it cannot be reached for the {name} with these readers"
        if test.images_needed is None
        else f"about {test.images_needed} {shown}, for the {name}"
        for name, test in score.tests.items()
    ]
    readers = f"{len(score.readers)} such reader" + ("s" if len(score.readers) > 1 else "")
    return (
        f"; with the variance found here, and {readers} and as many images of a patient: {', '.join(found)}"
        if found
        else ""
    )


def _table(score: StudyScore) -> tuple[Sequence[str], list[Sequence[str]]]:
    single = score.key.mode is Mode.SINGLE
    rows = [_single_row(reader) if single else _pairs_row(reader) for reader in score.readers]
    return (_SINGLE, [*rows, _average_row(score)]) if single else (_PAIRS, [*rows, _pairs_average(score)])


def _single_row(reader: ReaderScore) -> Sequence[str]:
    decisions = reader.decisions
    shares = [_percent(decisions.accuracy)]
    shares.append(_percent(decisions.real_called_synthetic) if decisions.others else "")
    shares.append(_percent(decisions.synthetic_called_real) if decisions.signals else "")
    return (
        reader.name,
        *shares,
        _plain(reader.auc.value, reader.auc.low, reader.auc.high) if reader.auc else "",
        f"{decisions.sensitivity:+.2f}",
        f"{decisions.criterion:+.2f}",
    )


def _pairs_row(reader: ReaderScore) -> Sequence[str]:
    decisions = reader.decisions
    return reader.name, _percent(decisions.accuracy), f"{decisions.sensitivity:+.2f}", f"{decisions.criterion:+.2f}"


def _average_row(score: StudyScore) -> Sequence[str]:
    readers = [reader.decisions for reader in score.readers]
    alarms = [d.real_called_synthetic.value for d in readers if d.others]
    misses = [d.synthetic_called_real.value for d in readers if d.signals]
    return (
        "average",
        _average(score.accuracy, percent=True),
        f"{100 * _mean(alarms):.1f} %" if alarms else "",
        f"{100 * _mean(misses):.1f} %" if misses else "",
        _average(score.auc, percent=False),
        f"{_mean([d.sensitivity for d in readers]):+.2f}",
        f"{_mean([d.criterion for d in readers]):+.2f}",
    )


def _pairs_average(score: StudyScore) -> Sequence[str]:
    readers = [reader.decisions for reader in score.readers]
    sensitivity = _mean([d.sensitivity for d in readers])
    criterion = _mean([d.criterion for d in readers])
    return "average", _average(score.accuracy, percent=True), f"{sensitivity:+.2f}", f"{criterion:+.2f}"


def _average(average: ReaderAverage | None, *, percent: bool) -> str:
    if average is None:
        return ""
    low, high = average.interval()
    if percent:
        return f"{100 * average.value:.1f} % ({100 * low:.0f} to {100 * high:.0f})"
    return _plain(average.value, low, high)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} % ({100 * estimate.low:.0f} to {100 * estimate.high:.0f})"


def _plain(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _pictures(score: StudyScore) -> list[Picture]:
    single = score.key.mode is Mode.SINGLE
    names = [(_label(reader), reader.decisions.sensitivity, reader.decisions.criterion) for reader in score.readers]
    labels = ("d': skill, 0 for guessing", "c: bias, positive for a reader who seldom says synthetic")
    if not single:
        labels = (labels[0], "c: bias, positive for a reader who prefers the left image")
    curves = [Roc(_label(reader), reader.roc) for reader in score.readers if reader.roc] if single else []
    observer = Roc("naive observer", [(x, y) for x, y in score.observer["roc"]])
    caption = "Skill and bias of each reader (log-linear correction)."
    if curves:
        caption = f"ROC curves over the five-point scale, and of the naive observer. {caption}"
    return [Picture(reader_panels(curves, observer, names, labels), caption)]


def _label(reader: ReaderScore) -> str:
    """The name for a legend of Matplotlib, which takes $ for mathematics and leaves out names that begin with _."""
    name = reader.name.replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name


def _reading_table(score: StudyScore) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    head = (
        "reader",
        "experience",
        "answered",
        "median time",
        "same call when repeated",
        "kappa",
        "weighted kappa",
        "windows",
    )
    rows = []
    for reader in score.readers:
        windows = ", ".join(f"{name} {100 * share:.0f} %" for name, share in reader.windows.items())
        repeats: tuple[str, ...] = ("", "", "")
        if reader.consistency:
            same = reader.consistency.same
            kappas = (reader.consistency.kappa, reader.consistency.weighted_kappa)
            repeats = (f"{_percent(same)} of {same.n}", *("" if k is None else f"{k:.2f}" for k in kappas))
        answered = f"{reader.answered} of {reader.trials}"
        rows.append((reader.name, reader.experience, answered, f"{reader.seconds:.1f} s", *repeats, windows))
    return head, rows


def _methods(score: StudyScore) -> list[str]:
    average = score.auc or score.accuracy
    method = f"Averages over readers: {average.method}." if average else ""
    return [
        "Real -> fake: real images called synthetic; fake -> real: synthetic images called real. Answers 1 and 2 call "
        "an image real, 4 and 5 synthetic; after 3 (cannot tell) readers had to decide, and that call counts.",
        f"{method} AUC of one reader: DeLong on the logit scale (Newcombe's method 5 where it is 0 or 1). The average "
        "accuracy weights real and synthetic images equally. Averages of d' and c have no interval.",
        "Equivalence: two one-sided tests at 5 % (Schuirmann 1987) with the margin declared when the study was "
        "created. p > .05 in a test for a difference is not equivalence: a small study finds nothing, whatever the "
        "truth.",
        "A reader can have skill (d') or bias (c). A reader who calls nearly everything real misses most synthetic "
        "images without being unable to tell them apart; accuracy alone does not show which it is.",
        "That readers cannot tell real from synthetic images says nothing of diversity, of copies of training cases or "
        "of usefulness for training: see medsmith evaluate and medsmith utility.",
    ]
