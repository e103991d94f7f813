"""Writes README.md of this folder from the results beside it and notes.md.

python benchmarks/mddpm/write_results.py
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medsmith.formats.atomic import write_bytes
from medsmith.formats.json_file import read_json
from medsmith.formats.markdown import number, source, table

HERE = Path(__file__).parent
HEAD = """# mDDPM on chest CT slices

The paper's tables at small scale and on other data: 1,068 slices of 27 patients (SegTHOR, 8 bit, 64 x 64 pixels)
instead of 5,000 low-dose scans (512 x 512). One model learned from the images of 21 patients, without labels; a shape
space from the labels of 6 of them; 6 other patients are held out. Intervals are 95 % over patients or, for synthetic
images, over images, unless the script says otherwise. The rivals (`segguided`, `controlnet`) learn from label maps,
which 6 patients have; mDDPM's model from the images of 21. The inception score of the paper is missing: the weights at
hand have no classifier.

```
python benchmarks/mddpm/cohorts.py SLICES WORK
medsmith train mddpm WORK/images --run WORK/run --set network.channels=[64,96,128] --set training.batch=8 \\
    --set training.ema=0.999 --set training.steps=8000 --set training.precision=float32 --max-minutes 80
python benchmarks/mddpm/rows.py WORK --count 60
python benchmarks/mddpm/rivals.py WORK
```
"""


def spread(cell: Sequence[float]) -> str:
    """A value and its interval; the value alone where a single patient has it."""
    if cell[1] is None:
        return f"{number(cell[0])} (one patient)"
    return f"{number(cell[0])} ({number(cell[1])} to {number(cell[2])})"


def fidelity(result: Mapping[str, Any]) -> str:
    """Table 2."""
    head = ("row", "n", "Fréchet distance", "KID", "RBF MMD", "diversity score", "set SSIM", "refused as copies")
    rows = [
        (row["row"], str(row["n"]), *(spread(row[key]) for key in ("frechet", "kid", "rbf_mmd")),
         number(row["diversity"]), number(row["set_ssim"]), "" if row["refused"] is None else f"{row['refused']:.0%}")
        for row in result["rows"]
    ]  # fmt: skip
    return f"{table(head, rows)}\n\n{source(result['facts'])}"


def slices(result: Mapping[str, Any]) -> str:
    """Table 2 on real slices."""
    return f"## How near to real slices (the paper's Table 2)\n\n{fidelity(result)}"


def latent(result: Mapping[str, Any]) -> str:
    """Further rows of table 2, at a smaller n."""
    text = (
        "`lldm`: latent diffusion whose ControlNet follows maps of the shape space; `ldm`: the same run without them. "
        "Fréchet distances grow as n shrinks: these rows have a floor of their own. Of `ldm` no more slices passed."
    )
    return f"## Latent diffusion and its ControlNet\n\n{text}\n\n{fidelity(result)}"


def latent_adherence(result: Mapping[str, Any]) -> str:
    """The same for latent diffusion."""
    return adherence(result).replace("## Do images obey the map", "## Does latent diffusion obey the map", 1)


def phantoms(result: Mapping[str, Any]) -> str:
    """Table 2 on phantoms."""
    return f"## The same on chest phantoms, {result['size']} pixels\n\n{fidelity(result)}"


def settings(result: Mapping[str, Any]) -> str:
    """Fréchet distance and Dice by n and a of the anatomy's guide."""
    rows = [
        (*(name.split() if " " in name else (name, "", "")), number(cell["frechet"]), _or_nothing(cell["lung_dice"]))
        for name, cell in result["cells"].items()
    ]
    head = ("maps", "n", "a", "Fréchet distance", "Dice of the lung with the map")
    text = f'{result["count"]} slices a cell, the same seeds in all; "real" maps are those of labeled slices.'
    return f"## Which n and a for the anatomy\n\n{text}\n\n{table(head, rows)}\n\n{source(result['facts'])}"


def _or_nothing(value: float | None) -> str:
    return "" if value is None else number(value)


def loop(result: Mapping[str, Any]) -> str:
    """The annotation loop."""
    rows = [
        (name, number(row["dice"]), *(estimate(each) for each in row["labels"].values()), estimate(row["gain"]))
        for name, row in result["rows"].items()
    ]
    labels = next(iter(result["rows"].values()))["labels"]
    head = ("labeler", "Dice", *labels, "gain over the control")
    sizes = f"{result['steps']} steps each, {result['pairs']} pairs a turn"
    text = f"Mean over {result['patients']} held-out patients; {sizes}."
    return f"## The annotation loop\n\n{text} {result['line']}.\n\n{table(head, rows)}\n\n{source(result['facts'])}"


def estimate(cell: Mapping[str, float]) -> str:
    """A value and its interval."""
    return spread((cell["value"], cell["low"], cell["high"]))


def adherence(result: Mapping[str, Any]) -> str:
    """Dice with the requested map."""
    names = list(next(iter(result["rows"].values()))["n"])

    def cell(found: Mapping[str, Any], name: str) -> str:
        return f"{spread(found['dice'][name])}, n {found['n'][name]}" if name in found["dice"] else ""

    rows = [(row, *(cell(found, name) for name in names)) for row, found in result["rows"].items()]
    trained = f"{result['steps']} steps, {result['seeds']} seeds"
    text = f"Segmenters trained on real labels alone ({trained}): Dice with the map."
    return f"## Do images obey the map\n\n{text}\n\n{table(('slices', *names), rows)}\n\n{source(result['facts'])}"


def lesions(result: Mapping[str, Any]) -> str:
    """Detection by n and a."""
    rows = [
        (cell["kind"], number(cell["n"]), number(cell["a"]), spread(cell["detected"]), number(cell["contrast"]),
         spread(cell["gain"]))
        for cell in result["cells"]
    ]  # fmt: skip
    head = ("lesion", "n", "a", f"detected, of {result['count']}", "contrast, gray values", "more than without")
    return f"## Lesions that no training label holds, at new places\n\n{table(head, rows)}\n\n{source(result['facts'])}"


def combinations(result: Mapping[str, Any]) -> str:
    """Adherence by combination."""
    rows = [
        (name, str(row["n"]), spread(row["lung"]), spread(row["lesion"]), f"{row['refused']:.0%}")
        for name, row in result["rows"].items()
    ]
    head = (
        "combination",
        "n",
        "Dice of the lung with the map",
        "contrast of the lesion, share of its guide's",
        "refused",
    )
    return f"## Combinations of three guides\n\n{table(head, rows)}\n\n{source(result['facts'])}"


def ablation(result: Mapping[str, Any]) -> str:
    """Two guides against one."""
    rows = [(row["row"], str(row["n"]), spread(row["dice"]), spread(row["contrast"])) for row in result["rows"]]
    head = ("row", "n", "Dice with the requested outline", "contrast, gray values")
    shown = f"{table(head, rows)}\n\n![](ablation.png)\n\n{source(result['facts'])}"
    return f"## One guide against two (section 5.3)\n\n{shown}"


def gains(result: Mapping[str, Any]) -> str:
    """Segmentation with and without generated slices."""
    rows = [
        (name, str(row["subsets"]), spread(row["dice"]), spread(row["gain"]), ", ".join(map(number, row["gains"])))
        for name, row in result["rows"].items()
    ]
    text = (
        f"{result['patients']} patients, {result['slices']} slices, nothing of which was seen; {result['steps']} steps "
        f"of one seed for each of {result['subsets']} subsets of 6 real patients. Intervals over subsets and patients."
    )
    head = ("trained on", "subsets", "Dice", "gain over real with strong augmentation", "by subset")
    return f"## Does it help\n\n{text}\n\n{table(head, rows)}\n\n{source(result['facts'])}"


def cost(result: Mapping[str, Any]) -> str:
    """Seconds a slice."""
    rows = [
        (row, number(found["all"]), number(found["network"]), f"{found['corrections_per_network']:.1%}")
        for row, found in result["default"]["rows"].items()
    ]
    head = ("guides", "processor seconds a slice", "of these in the network", "corrections, of the network's")
    default, ancestral = result["default"], result["ancestral"]
    text = (
        f"{default['steps']} steps of {default['solver']}; the paper's {ancestral['steps']} ancestral steps take "
        f"{number(ancestral['seconds'])} s, {number(result['faster'])} times as long "
        f"({ancestral['timed_steps']} timed); medians of {result['repeats']}."
    )
    if "quality" in result:
        text += f"\n\n{_quality(result['quality'])}"
    return f"## Cost\n\n{text}\n\n{table(head, rows)}\n\n{source(result['facts'])}"


def _quality(result: Mapping[str, Any]) -> str:
    """Fréchet distance and Dice of both samplings."""
    found = "; ".join(
        f"{name} Fréchet distance {number(each['frechet'])}, Dice of the lung {number(each['lung_dice'])}"
        for name, each in result.items()
        if name != "count"
    )
    return f"Quality of {result['count']} slices of equal seeds: {found}."


SECTIONS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "table": slices,
    "table-lldm": latent,
    "table-phantom": phantoms,
    "settings": settings,
    "adherence": adherence,
    "adherence-lldm": latent_adherence,
    "pathology": lesions,
    "combinations": combinations,
    "ablation": ablation,
    "annotation": loop,
    "help": gains,
    "cost": cost,
}


def main() -> None:
    """Every section whose result is there, and the notes."""
    parts = [HEAD]
    for name, section in SECTIONS.items():
        path = HERE / f"{name}.json"
        if path.exists():
            parts.append(section(read_json(path)))
    figures = [path.name for path in sorted(HERE.glob("figure-*.png"), key=lambda path: int(path.stem.split("-")[1]))]
    if figures:
        parts.append("## Pictures\n\n" + "\n\n".join(f"![]({name})" for name in figures) + "\n\n`figures.py`")
    notes = HERE / "notes.md"
    parts += [notes.read_text().strip()] if notes.exists() else []
    write_bytes(HERE / "README.md", ("\n\n".join(part.strip() for part in parts) + "\n").encode())


if __name__ == "__main__":
    main()
