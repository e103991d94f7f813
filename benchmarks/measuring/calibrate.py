"""Whether ``medsmith describe`` says what CT phantoms truly are: thresholds from one seed, confusion on another.

python benchmarks/measuring/gather.py FIT runs/measuring/fit.json
python benchmarks/measuring/gather.py TEST runs/measuring/test.json
python benchmarks/measuring/calibrate.py runs/measuring/fit.json runs/measuring/test.json

FIT and TEST are cohorts of ``medsmith phantom ct --size 96`` with different seeds (105 cases of seed 201 and 124 of
seed 202 for the tables as they stand). Writes results.json beside this file and the tables of docs/describe.md.
"""

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from gather import Row, read_rows
from questions import CUTS, NOTHING, QUESTIONS, Cut, Question, described, true_report

from medsmith.formats.atomic import write_bytes, write_json
from medsmith.machine import facts
from medsmith.measurement.words import THRESHOLDS

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "describe.md"
BEGIN, END = "<!-- calibration: written by benchmarks/measuring/calibrate.py -->", "<!-- end of calibration -->"


def cut_result(cut: Cut, rows: list[Row]) -> dict[str, Any]:
    """The value that parts best (balanced accuracy), and how well it and the one in use do."""
    asked = [(cut.above(true_report(row)), cut.number(row)) for row in rows if cut.asked(true_report(row))]
    above = np.array([truth for truth, number in asked if number is not None], bool)
    numbers = np.array([number for _, number in asked if number is not None], float)
    values = np.unique(numbers)
    places = (values[1:] + values[:-1]) / 2
    scores = [_balanced(above, numbers >= place) for place in places]
    used = getattr(THRESHOLDS, cut.threshold)
    return {
        "n": len(numbers),
        "n above": int(above.sum()),
        "best": float(f"{places[int(np.argmax(scores))]:.3g}"),
        "balanced accuracy of best": round(float(max(scores)), 3),
        "in use": used,
        "balanced accuracy in use": round(_balanced(above, numbers >= used), 3),
    }


def _balanced(truth: np.ndarray, said: np.ndarray) -> float:
    return float((said[truth].mean() + (~said[~truth]).mean()) / 2) if truth.any() and not truth.all() else float("nan")


def table(question: Question, rows: list[Row]) -> dict[str, Any]:
    """Confusion: true answer -> described answer -> count, and the share that agrees of those that got an answer."""
    pairs = [(true_report(row), described(row)) for row in rows if question.asked(true_report(row))]
    answers = [(question.answer(truth), question.answer(found)) for truth, found in pairs]
    told = [(truth, found) for truth, found in answers if truth != NOTHING]
    said = [(truth, found) for truth, found in told if found != NOTHING]
    agree = sum(truth == found for truth, found in said)
    counts = Counter(told)
    return {
        "n": len(told),
        "answered": len(said),
        "agree": round(agree / max(1, len(said)), 3),
        "interval": _wilson(agree, len(said)),
        "counts": [[truth, found, count] for (truth, found), count in sorted(counts.items())],
    }


def _wilson(hits: int, n: int) -> list[float]:
    """95 % interval of a share (Wilson 1927)."""
    if not n:
        return [0.0, 1.0]
    z, share = 1.96, hits / n
    middle, half = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return [round(float((middle + sign * half) / (1 + z * z / n)), 3) for sign in (-1, 1)]


def numbers(rows: list[Row]) -> dict[str, Any]:
    """Bias and mean absolute error of what is known as a number."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        truth, found = row.truth["measured"], row.measures.numbers
        for name in ("equivalent_diameter_mm", "sphericity", "convexity", "heterogeneity_hu", "share_outside"):
            if name in truth and name in found:
                pairs.setdefault(name, []).append((truth[name], found[name]))
        for true_edge, edge in zip(row.truth["size_mm"], row.measures.size_mm, strict=True):
            pairs.setdefault("edge_mm", []).append((true_edge, edge))
        pairs.setdefault("mean_hu", []).append((row.truth["ct_value_hu"], found["mean_hu"]))
    return {name: _errors(np.array(values)) for name, values in pairs.items()}


def _errors(values: np.ndarray) -> dict[str, float]:
    gap = values[:, 1] - values[:, 0]
    rounded = {
        "bias": np.median(gap),
        "mean absolute error": np.abs(gap).mean(),
        "median absolute error": np.median(np.abs(gap)),
    }
    return {"n": len(gap)} | {name: float(f"{value:.3g}") for name, value in rounded.items()}


def page_of(result: dict[str, Any]) -> list[str]:
    """The tables as lines of markdown."""
    lines = [
        f"Compared with the best on {result['fit']} CT phantoms of 96 voxels per edge (1.33 mm). Tested on "
        f"{result['tested']} of another seed ({result['date']}, {result['machine']}, `{result['command']}`):",
        "",
        "| attribute | n | described | of these agree | 95 % interval |",
        "|---|---|---|---|---|",
    ]
    for name, found in result["tables"].items():
        low, high = found["interval"]
        lines.append(
            f"| {name} | {found['n']} | {found['answered']} | {found['agree']:.2f} | {low:.2f} to {high:.2f} |"
        )
    lines += ["", "Confusion, true word -> described words with counts:", ""]
    for name, found in result["tables"].items():
        lines += [f"**{name}**", "", "| true | described |", "|---|---|"]
        truths = list(dict.fromkeys(truth for truth, _, _ in found["counts"]))
        for truth in truths:
            said = sorted(((n, word) for true, word, n in found["counts"] if true == truth), reverse=True)
            lines.append(f"| {truth} | {', '.join(f'{word} {n}' for n, word in said)} |")
        lines.append("")
    lines += [
        "Numbers against the truth:",
        "",
        "| measure | n | median error | mean absolute error |",
        "|---|---|---|---|",
    ]
    for name, found in result["numbers"].items():
        lines.append(f"| {name} | {found['n']} | {found['bias']:g} | {found['mean absolute error']:g} |")
    lines += [
        "",
        "Thresholds:",
        "",
        "| threshold | in use | best on the fitting seed | balanced accuracy there (in use, best) | n |",
    ]
    lines.append("|---|---|---|---|---|")
    for name, found in result["cuts"].items():
        both = f"{found['balanced accuracy in use']:.2f}, {found['balanced accuracy of best']:.2f}"
        lines.append(f"| {name} | {found['in use']:g} | {found['best']:g} | {both} | {found['n']} |")
    return lines


def main(fit: Path, test: Path) -> None:
    """Write results.json and the page's tables."""
    fitting, testing = read_rows(fit), read_rows(test)
    cuts = {cut.threshold: cut_result(cut, fitting) for cut in CUTS}
    result = {
        **facts(),
        "fit": len(fitting),
        "tested": len(testing),
        "thresholds": asdict(THRESHOLDS),
        # Where all phantoms lie on one side, nothing is parted.
        "cuts": {name: found for name, found in cuts.items() if 0 < found["n above"] < found["n"]},
        "tables": {question.name: table(question, testing) for question in QUESTIONS},
        "numbers": numbers(testing),
    }
    write_json(HERE / "results.json", result)
    text = PAGE.read_text()
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    write_bytes(PAGE, "\n".join([head + BEGIN, "", *page_of(result), "", END + tail]).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
