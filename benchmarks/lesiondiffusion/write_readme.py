"""Writes README.md and figure4.png of this folder from the results in it; missing results are stated.

python benchmarks/lesiondiffusion/write_readme.py
"""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import as_asked
import numpy as np
import tables
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medsmith.formats.atomic import write_bytes

HERE = Path(__file__).parent
COLOURS = {"round-like": "#1f6f8b", "irregular": "#e07a1f"}
SAME_SIZE = 1.1
"""Equivalent diameters of a matched pair differ by this factor at most."""

HEAD = """# LesionDiffusion

Measurements of the weights that this project trained and ships (preset `tiny`, trained on CT phantoms and on outlines
of LIDC nodules): whether lesions follow the report, whether masks resemble real ones, whether borders give lesions
away, and how long a lesion takes. Intervals are 95 %. Each result file in this folder holds its numbers, its command
and its machine.

```
python benchmarks/lesiondiffusion/network_share.py RUN TEMPLATES OUT
python benchmarks/lesiondiffusion/pass_rate.py RUN TEMPLATES OUT
python benchmarks/lesiondiffusion/shapes.py RUN NODULES benchmarks/lesiondiffusion/shapes.json
python benchmarks/lesiondiffusion/grain.py RUN TEMPLATES TEST
python benchmarks/lesiondiffusion/seams.py RUN HEALTHY LESIONS
python benchmarks/lesiondiffusion/speed.py RUN TEMPLATES REAL OUT
python benchmarks/lesiondiffusion/autoencoder.py TRAIN TEST
python benchmarks/lesiondiffusion/write_readme.py
```
"""

NETWORK_SHARE = """
## LINet alone

What lesions make of their words stands [elsewhere](../../docs/methods/lesiondiffusion.md#does-it-obey); here
without anything that the code does after the network: one mask, drawn by the whole method, painted
twice by LINet from one seed and full noise; its output is measured as it is. The share of the last course in the
weights (examples/tune_lesiondiffusion.py) was chosen on other masks, in other scans than these, which
`medsmith phantom ct-healthy fresh --count 6 --size 96 --seed 77` makes.

{table}

{origin}
"""

SHAPES = """
## Masks

At the locations of {n} real nodules that no network saw: a mask from the nodule's own report, one requested as
round-like and one as irregular (same location, box and seed), a deformed ellipsoid, and the real mask. File `{file}`.

{words}

Density and coverage compare the shape features below with those of real masks (Naeem et al. 2020; 1 and .97 for equal
distributions).

{sources}

{origin}
"""

PAPER_WORDS = """
### Text conditioning of the paper

LMNet trained on the same cases for the same number of steps with the text conditioning of the presets `paper` and
`released`: raw vectors of the encoder, cross-attention at the lowest level only, no attribute dropout.
"""

FIGURE = """
The paper's figure 4, size-matched ({note}):

![Convexity against sphericity of masks requested as round-like and as irregular](figure4.png)
"""

GRAIN = """
## Grain

Ratio of the noise inside a lesion to the noise of the tissue around it (detail finer than a Gaussian of 1 mm; 1 if the
lesion is as noisy as its scan): for the true lesions of phantoms ("real"), for lesions without noise of their own, and
for lesions to which the missing noise of the scan ("grain") was added.

{table}

{origin}
"""

SEAMS = """
## Seams

Can the border of a lesion be told from that of a phantom's own lesion? {n} lesions were put into {scans} healthy
phantoms by the words of lesions of other phantoms, and are compared with the lesions whose words they are. A logistic
regression of steps, spread and roughness of the gray values across the border learns from half of the couples and
scores the others; AUC of the lesions, .5 where nothing is told. Surroundings: the three voxels outside the mask alone;
border: three more inside. Lesions with too few rows of voxels across their border, the smallest, are left out. The
floor compares the phantoms' own lesions with each other (mean and range of 20 drawings of the couples); in the control
the surroundings of half of them are smoothed, which must be found.

{table}

{outside}

{origin}
"""

UTILITY = """
## Utility for segmentation

Not measured against real cases with strong augmentation. `medsmith bench lesiondiffusion` makes the paper's tables in
shape (R, S, S then R; LMNet's masks, ellipsoids, no text), and `benchmarks/recipes/compare_recipes.py sarcoma-ct FOLDER
WORK --arms 'R;R + lesiondiffusion'` compares lesions in real scans with strong augmentation. The paper (nnU-Net, 14
types, 301 test scans, one split, no intervals): R 67.7, S 57.3, S then R 70.1; DiffTumor 50.4 and 66.6; without text S
41.9.
"""

SPEED = """
## Speed

One process per recipe, one thread. Processor seconds of one complete lesion in a phantom (a cube of 128 mm): placed,
shaped, painted, blended and measured. The paper's recipe: DDIM with 200 steps (eta 0) in MONAI's loop, guidance (two
calls per step and network), float32, cubes of 128 voxels at 1 mm, phrases encoded for every lesion. It is run with our
weights, which fold voxels into channels and need no decoder, so it is faster here than with the paper's networks. "By
calls": the calls in the next column were timed and multiplied; no complete lesion was timed. Quality: AUC of
sphericity, round-like against irregular, and Fréchet distance between the radiomic vectors of synthetic and phantom
lesions, with its floor between halves of the phantoms.

{table}

{parts}

Folding 2 x 2 x 2 voxels into channels, one call on our cube: {folding}. The phrase table and the text encoder differ by
at most {text:.4f}.

{origin}
"""


def main() -> None:
    """Write the page."""
    of_lesions = (network_share_part, pass_rate_part, shapes_part, grain_part, seams_part)
    texts = [text for part in of_lesions for text in part()]
    parts = [HEAD, *texts, UTILITY, *speed_part(), *autoencoder_part()]
    notes = HERE / "notes.md"
    parts.append("\n" + notes.read_text() if notes.is_file() else missing("Notes", "notes.md"))
    write_bytes(HERE / "README.md", "".join(parts).rstrip().encode() + b"\n")


def missing(title: str, file: str) -> str:
    return f"\n## {title}\n\nNot measured yet: there is no `{file}`.\n"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def network_share_part() -> list[str]:
    path = HERE / "network-share.json"
    if not path.is_file():
        return [missing("LINet alone", path.name)]
    found = read(path)
    return [NETWORK_SHARE.format(table=tables.network_share(found["attributes"]), origin=tables.origin(found))]


def pass_rate_part() -> list[str]:
    path = HERE / "pass-rate.json"
    return [as_asked.part(read(path)) if path.is_file() else missing("Lesions as asked", path.name)]


def shapes_part() -> list[str]:
    files = [path for path in (HERE / "shapes.json", HERE / "shapes-paper-words.json") if path.is_file()]
    if not files:
        return [missing("Masks", "shapes.json")]
    parts: list[str] = []
    for file in files:
        found = read(file)
        words, sources = tables.shape_words(found), tables.shape_sources(found)
        text = SHAPES.format(n=found["n"], file=file.name, words=words, sources=sources, origin=tables.origin(found))
        parts.append(text if not parts else text.replace("\n## Masks\n", PAPER_WORDS))
        if file.name == "shapes.json":
            parts.append(FIGURE.format(note=figure(found["rows"], HERE / "figure4.png")))
    return parts


def grain_part() -> list[str]:
    path = HERE / "grain.json"
    if not path.is_file():
        return [missing("Grain", path.name)]
    found = read(path)
    return [GRAIN.format(table=tables.grain(found), origin=tables.origin(found))]


def figure(rows: list[dict[str, Any]], path: Path) -> str:
    """Draws the paper's figure 4 and returns a note on the number of pairs in it."""

    def alike(row: dict[str, Any]) -> bool:
        ratio = row["round-like"]["diameter"] / row["irregular"]["diameter"]
        return bool(1 / SAME_SIZE <= ratio <= SAME_SIZE)

    matched = [row for row in rows if alike(row)]
    drawing = Figure(figsize=(4.6, 4.0))
    FigureCanvasAgg(drawing)
    axes = drawing.add_subplot()
    for word, colour in COLOURS.items():
        points = np.array([[row[word]["sphericity"], row[word]["convexity"]] for row in matched]).reshape(-1, 2)
        points = points[np.isfinite(points).all(axis=1)]
        axes.scatter(points[:, 0], points[:, 1], s=14, color=colour, alpha=0.6, linewidths=0, label=word)
        if len(points):
            axes.plot(*points.mean(axis=0), "x", color="red", markersize=11, markeredgewidth=2.5)
    axes.set_xlabel("sphericity")
    axes.set_ylabel("convexity")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    data = BytesIO()
    drawing.savefig(data, format="png", dpi=150, bbox_inches="tight", metadata={"Software": None})
    write_bytes(path, data.getvalue())
    return f"{len(matched)} of {len(rows)} pairs, whose diameters differ by at most 10 %; red crosses are means"


def seams_part() -> list[str]:
    path = HERE / "seams.json"
    if not path.is_file():
        return [missing("Seams", path.name)]
    found = read(path)
    return [SEAMS.format(**tables.painted(found["painted"]), table=tables.seams(found), origin=tables.origin(found))]


def speed_part() -> list[str]:
    path = HERE / "speed.json"
    if not path.is_file():
        return [missing("Speed", path.name)]
    found = read(path)
    calls = found["space_to_depth"]
    each = [
        f"{label} {calls['folded'][name]:.3f} s with, {calls['not folded'][name]:.3f} s without"
        for name, label in (("lmnet", "LMNet"), ("linet", "LINet"))
    ]
    pieces = {"table": tables.speed(found), "parts": tables.parts_of_time(found), "folding": "; ".join(each)}
    return [SPEED.format(**pieces, text=found["text_difference"], origin=tables.origin(found))]


def autoencoder_part() -> list[str]:
    path = HERE / "autoencoder.json"
    if not path.is_file():
        return [missing("The autoencoder", path.name)]
    found = read(path)
    return ["\n## The autoencoder\n\n", tables.numbers(found), "\n\n", tables.origin(found), "\n"]


if __name__ == "__main__":
    main()
