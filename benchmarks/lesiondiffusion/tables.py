"""The results of this folder as Markdown tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Found = Mapping[str, Any]
ARMS = ("real", "synthetic", "synthetic then real", "real + synthetic")
SOURCES = ("ours", "ellipsoid", "no text")
MASKS = {"real": "real (floor: one half against the other)", "lmnet": "LMNet", "ellipsoid": "ellipsoid"}
SHAPES = ("sphericity", "convexity", "fill", "spicule_share")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def estimate(found: Found | None, scale: float = 1.0, digits: int = 3) -> str:
    """A number with its interval; nothing where it was not measured."""
    if found is None:
        return ""
    value, low, high = (f"{found[key] * scale:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def origin(found: Found) -> str:
    """Date, machine and command of a result."""
    facts = found.get("facts")
    if not facts:
        return "Date, machine and command were not recorded with these numbers."
    weights = f" Weights {facts['weights'][:12]}." if "weights" in facts else ""
    return f"{facts['date']}, {facts['machine']}; {facts['versions']}.{weights}\n\n    {facts['command']}"


def alignment(results: Mapping[str, Found]) -> str:
    """One row per attribute."""
    head = ["attribute", "measured", "pairs", "mean of either option", "paired difference", "in order", "AUC"]
    head.append("AUC, options swapped at random")
    rows = []
    for name, found in results.items():
        swapped = found["shuffled_auc"]
        rows.append(
            [
                name,
                found["measure"],
                str(found["n"]),
                " / ".join(f"{mean:.3g}" for mean in found["means"]),
                estimate(found["difference"]),
                f"{100 * found['in_order']:.0f} %",
                estimate(found["auc"], digits=2),
                f"{swapped['mean']:.2f} ({swapped['low']:.2f} to {swapped['high']:.2f})",
            ]
        )
    return table(head, rows)


def network_share(attributes: Mapping[str, Found]) -> str:
    """What LINet alone makes of each attribute."""
    head = ["attribute", "measured", "pairs", "more / less", "AUC", "verdict"]
    rows = []
    for name, found in attributes.items():
        less, more = found["means"]
        means = f"{more:.3g} / {less:.3g}"
        rows.append(
            [name, found["measured"], str(found["pairs"]), means, estimate(found["auc"], digits=2), found["verdict"]]
        )
    return table(head, rows)


def shape_words(found: Found) -> str:
    """Round-like against irregular, at the locations of real nodules."""
    head = ("measured", "pairs", "round-like / irregular", "paired difference", "in order", "AUC")
    rows = [
        [
            name,
            str(each["n"]),
            " / ".join(f"{mean:.3g}" for mean in each["means"]),
            estimate(each["difference"]),
            f"{100 * each['in_order']:.0f} %",
            estimate(each["auc"], digits=2),
        ]
        for name, each in found["words"].items()
    ]
    return table(head, rows)


def shape_sources(found: Found) -> str:
    """Real masks, LMNet's and ellipsoids."""
    head = ("masks", "density", "coverage", *(name.replace("_", " ") for name in SHAPES))
    rows = [
        [
            said,
            f"{found['sources'][name]['density']:.2f}",
            f"{found['sources'][name]['coverage']:.2f}",
            *(estimate(found["sources"][name][feature]) for feature in SHAPES),
        ]
        for name, said in MASKS.items()
    ]
    return table(head, rows)


def usefulness(found: Found) -> str:
    """Dice of every arm by source, then the differences between sources."""
    head = ("S made by", "R", "S", "S then R", "R + S", "gain of S then R", "gain of R + S")
    rows = []
    for source in SOURCES:
        arms = found["sources"][source]["arms"]
        gains = [estimate(arms[arm]["gain"], 100, 1) for arm in ARMS[2:]]
        rows.append([source, *(estimate(arms[arm]["dice"]) for arm in ARMS), *gains])
    differences = [
        [name, *(estimate(each[arm], 100, 1) for arm in ARMS[1:])] for name, each in found["differences"].items()
    ]
    parts = [table(head, rows), table(("difference", "S", "S then R", "R + S"), differences)]
    return "\n\n".join([*parts, *by_type(found)])


def by_type(found: Found) -> Iterator[str]:
    """Mean Dice of each lesion type, where there are several."""
    sources = {source: found["sources"][source]["arms"] for source in SOURCES}
    kinds = sources["ours"]["real"]["types"]
    if len(kinds) < 2:
        return
    rows = [
        [source, arm, *(f"{arms[arm]['types'][kind]['dice']:.3f}" for kind in kinds)]
        for source, arms in sources.items()
        for arm in (ARMS if source == "ours" else ARMS[1:])
    ]
    yield table(("S made by", "trained on", *(f"{kind} (n {each['n']})" for kind, each in kinds.items())), rows)


def speed(found: Found) -> str:
    """One row per recipe."""
    head = ["recipe", "network calls", "seconds a lesion", "timed", "times ours", "peak memory"]
    head += ["AUC of shape", "Fréchet distance", "floor"]
    rows = []
    for name in found["order"]:
        row = found["recipes"][name]
        alignment_of, frechet = row.get("alignment"), row.get("frechet")
        rows.append(
            [
                name,
                str(row["network_calls"]),
                f"{row['seconds'] or row['seconds_by_calls']:,.1f}" + ("" if row["seconds"] else " by calls"),
                f"{row['n']} lesions" if row["seconds"] else f"{sum(row['calls_timed'].values())} calls",
                f"{found['faster'][name]:.1f}" if name in found["faster"] else "1",
                f"{row['memory_mib']['peak']:,.0f} MiB",
                f"{estimate(alignment_of['auc'], digits=2)}, n {alignment_of['n']}" if alignment_of else "",
                f"{estimate(frechet['synthetic'], digits=1)}, n {frechet['synthetic']['n']}" if frechet else "",
                estimate(frechet["floor"], digits=1) if frechet else "",
            ]
        )
    return table(head, rows)


def parts_of_time(found: Found) -> str:
    """Processor seconds of the parts of a lesion."""
    head = ("recipe", "a call of LMNet", "a call of LINet", "text", "everything else")
    rows = []
    for name in found["order"]:
        row = found["recipes"][name]
        each = [f"{row['seconds_per_call'][part]:.3f} s" for part in ("lmnet", "linet")]
        rows.append([name, *each, f"{row['seconds_text']:.2f} s", f"{row['seconds_rest']:.2f} s"])
    return table(head, rows)


def grain(found: Found) -> str:
    """One row per word; real lesions first."""
    ratios = found["ratios"]
    ways = list(next(iter(ratios.values())))
    head = ["lesions", *ways, "n"]
    rows = [
        [word, *(estimate(each[way], digits=2) for way in ways), " / ".join(str(each[way]["n"]) for way in ways)]
        for word, each in ratios.items()
    ]
    return table(head, rows)


def numbers(found: Found) -> str:
    """Every number of a file by its name."""
    return table(("what", "value"), [[name, f"{value:.4g}"] for name, value in _leaves(found)])


def _leaves(found: Found, prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in found.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and key != "facts":
            yield from _leaves(value, f"{name}, ")
        elif isinstance(value, int | float):
            yield name.replace("_", " "), float(value)
