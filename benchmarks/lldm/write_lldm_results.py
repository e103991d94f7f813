"""Writes README.md of this folder from the results beside it and notes.md.

python benchmarks/lldm/write_lldm_results.py
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medsmith.formats.atomic import write_bytes
from medsmith.formats.json_file import read_json
from medsmith.formats.markdown import number, source, table

HERE = Path(__file__).parent
DATA = {"hippocampus": "the hippocampus (Medical Segmentation Decathlon)", "sarcoma": "sarcomas of soft tissue (IBSI)",
        "liver": "liver phantoms"}  # fmt: skip
HEAD = """# 3D-LLDM on MR

The paper's tables at small scale and on other data: crops of the hippocampus and phantoms of the liver instead of
hepatobiliary-phase MR, minutes of one processor core instead of days of GPUs. Intervals are 95 %.

```
python benchmarks/lldm/lldm_cohorts.py hippocampus FOLDER WORK    # sarcoma FOLDER WORK, or liver WORK
python benchmarks/lldm/lldm_rows.py WORK --count 24               # sarcoma --size 32,32,40, liver --size 40,32,24
python benchmarks/lldm/lldm_table.py WORK                         # here and below: --data sarcoma, --data liver
python benchmarks/lldm/label_adherence.py WORK
python benchmarks/lldm/fidelity.py WORK
python benchmarks/lldm/segmentation.py WORK
python benchmarks/lldm/pairs.py WORK
python benchmarks/lldm/write_lldm_results.py
```
"""


def spread(cell: Sequence[float]) -> str:
    """A value and its interval."""
    return f"{number(cell[0])} ({number(cell[1])} to {number(cell[2])})"


def estimate(found: Mapping[str, Any], scale: float = 1.0) -> str:
    """An estimate with its interval; only the number of cases where there are too few."""
    if "value" not in found:
        return f"n {found['n']}"
    return spread([scale * found[key] for key in ("value", "low", "high")])


def distances(result: Mapping[str, Any]) -> str:
    """Table 1."""
    planes = tuple(result["rows"][0]["distances"])
    rows = [
        (f"{row['row']} ({row['mark']})" if row["mark"] else row["row"], str(row["n"]),
         *(spread(row["distances"][plane]) for plane in planes),
         *(number(row["kernel"][plane]) for plane in planes), shares(row["refused"]),
         "" if row["redrawn"] is None else f"{row['redrawn']:.0%}")
        for row in result["rows"]
    ]  # fmt: skip
    about = f"Fréchet distances: planes on {result['extractors']['slices']}, 3-D on {result['extractors']['volume']}."
    head = ("row", "n", *planes, *(f"KID {plane}" for plane in planes), "refused", "maps redrawn")
    return f"{table(head, rows)}\n\n{about} {source(result['facts'])}"


def shares(refused: Mapping[str, float] | None) -> str:
    """Share of all attempts that each check refused."""
    return "" if refused is None else ", ".join(f"{check} {share:.0%}" for check, share in refused.items()) or "none"


def adherence(result: Mapping[str, Any]) -> str:
    """Dice of a segmenter with the requested map."""
    names = tuple(result["rows"]["real"])
    rows = [(row, *(estimate(found[name]) for name in names)) for row, found in result["rows"].items()]
    return f"{table(('row', *(f'Dice of {name}' for name in names)), rows)}\n\n{source(result['facts'])}"


def fidelity(result: Mapping[str, Any]) -> str:
    """Autoencoders."""
    rows = []
    for run, found in result["runs"].items():
        labels = "; ".join(f"{name.removeprefix('Dice of ')} {estimate(each)}" for name, each in found.items()
                           if name.startswith("Dice of"))  # fmt: skip
        seams = " / ".join(f"{found[name]['largest']:.1e}" for name in ("at seams", "elsewhere"))
        rows.append((run, estimate(found["PSNR"]), estimate(found["SSIM"]), labels, seams))
    head = ("run", "PSNR, dB", "SSIM", "Dice of labels", "error of tiles at seams / elsewhere")
    return f"{table(head, rows)}\n\n{source(result['facts'])}"


def gains(result: Mapping[str, Any]) -> str:
    """Table 2."""
    order = {name: place for place, name in enumerate(dict.fromkeys(row["arm"] for row in result["rows"]))}
    found = sorted(result["rows"], key=lambda row: (row["network"], row["task"], row["cases"], order[row["arm"]]))
    rows = [
        (row["network"], row["task"], str(row["cases"]), f"{row['steps']}, {row['subsets']}, {row['seeds']}",
         row["arm"], estimate(row["dice"]), by_structure(row), "" if row["arm"] == "R" else estimate(row["gain"], 100))
        for row in found
    ]  # fmt: skip
    counts = "steps, subsets, seeds"
    head = ("network", "task", "real cases", counts, "arm", "Dice", "by structure", "gain over R, points")
    reasons = {f"{cases}, {source}: {why}" for row in found for cases, each in row["left_out"].items()
               for source, why in each.items()}  # fmt: skip
    text = f"Grid of {result['edge']} voxels, batch {result['batch']}, {result['precision']}"
    text += f"; S: {result['synthetic']} cases."
    lines = "".join(f"\n- Subset {reason}" for reason in sorted(reasons))
    return f"{table(head, rows)}\n\n{text} {source(result['facts'])}\n{lines}"


def by_structure(row: Mapping[str, Any]) -> str:
    """Dice of each structure of the multi-class task."""
    return ", ".join(f"{name} {each['dice']['value']:.2f}" for name, each in row["structures"].items())


def sampling_cost(result: Mapping[str, Any]) -> str:
    """Seconds beside distances."""
    planes = tuple(result["rows"][0]["distances"])
    rows = [
        (row["way"], str(row["n"]), "" if row["seconds"] is None else number(row["seconds"]),
         *(spread(row["distances"][plane]) for plane in planes))
        for row in result["rows"]
    ]  # fmt: skip
    return f"{table(('way', 'n', 'seconds a volume', *planes), rows)}\n\n{source(result['facts'])}"


def memory(result: Mapping[str, Any]) -> str:
    """Planned and measured."""
    rows = [
        (row["stage"], number(row["planned_gib"]), number(row["measured_gib"]), f"{row['planned_over_measured']:.2f}")
        for row in result["stages"]
    ]
    return f"{table(('stage', 'planned, GiB', 'measured, GiB', 'ratio'), rows)}\n\n{source(result['facts'])}"


def cost(result: Mapping[str, Any]) -> str:
    """Seconds and memory of a volume."""
    rows = [
        (str(row["edge"]), row["way"], number(row["seconds"]), number(row["mib"]))
        for row in sorted(result["rows"], key=lambda row: row["edge"])
    ]
    head = ("edge, voxels", "way", "seconds a volume", "memory, MiB")
    return f"{table(head, rows)}\n\n{result['steps']} steps, DDPM {result['ddpm_steps']}. {source(result['facts'])}"


PER_DATA: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "table": ("How near to real volumes (the paper's Table 1)", distances),
    "label_adherence": ("Do volumes follow their label maps?", adherence),
    "fidelity": ("What the autoencoders keep", fidelity),
    "sampling_cost": ("Seconds a volume beside Fréchet distances", sampling_cost),
    "segmentation": ("Does it help? (the paper's Table 2)", gains),
}
ALONE: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "plan_memory": ("Is the memory of `medsmith plan` right?", memory),
    "monai_cost": ("Cost beside MONAI's inferer", cost),
}
"""Name of the result -> heading and text."""


def main() -> None:
    """Every result that is there."""
    parts = [HEAD, (HERE / "notes.md").read_text(encoding="utf-8")]
    for data, name in DATA.items():
        found = {stem: HERE / f"{stem}-{data}.json" for stem in PER_DATA}
        there = {stem: path for stem, path in found.items() if path.exists()}
        if there:
            parts.append(f"## {name[0].upper()}{name[1:]}")
        if (HERE / f"pairs-{data}.png").exists():
            parts.append(f"![The first cases of every row](pairs-{data}.png)")
        parts += [f"### {PER_DATA[stem][0]}\n\n{PER_DATA[stem][1](read_json(path))}" for stem, path in there.items()]
    for stem, (heading, text) in ALONE.items():
        if (HERE / f"{stem}.json").exists():
            parts.append(f"## {heading}\n\n{text(read_json(HERE / f'{stem}.json'))}")
    write_bytes(HERE / "README.md", ("\n\n".join(part.strip() for part in parts) + "\n").encode())


if __name__ == "__main__":
    main()
