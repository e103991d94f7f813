"""The results of this folder as Markdown tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Found = Mapping[str, Any]
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


def seams(found: Found) -> str:
    """A row for what is compared, a column for what the classifier sees."""
    rows = found["classifier"]
    zones = list(next(iter(rows.values())))
    head = ["", *(f"AUC, {zone}" for zone in zones), "couples, learned from / scored"]
    cells = [
        [name, *(estimate(each[zone], digits=2) for zone in zones), " / ".join(map(str, each[zones[0]]["couples"]))]
        for name, each in rows.items()
    ]
    return table(head, cells)


def painted(found: Found) -> Mapping[str, str]:
    """How much of the scan is painted beside the mask, in words."""
    share, reach, seam = (found[key] for key in ("voxels_outside_per_voxel_inside", "farthest_mm", "seams_of_evaluate"))
    searched = (
        "no patch of `medsmith evaluate` shows a painted border without its lesion, so that it searches no seam"
        if seam is None
        else f"`medsmith evaluate` reaches an AUC of {estimate(seam, digits=2)} between its border and the scan before"
    )
    outside = (
        f"Outside the mask a lesion changes {100 * share[2]:.0f} voxels of the scan for 100 inside (median; "
        f"{100 * share[0]:.0f} to {100 * share[4]:.0f}), at most {reach[4]:.1f} mm from it: {searched}."
    )
    return {"n": str(found["n"]), "scans": str(found["scans"]), "outside": outside}


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
