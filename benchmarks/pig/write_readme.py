"""Writes README.md of this folder from results-*.json and speed.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
METHODS = ("ddpm", "segguided", "pig", "lldm")
Row = Mapping[str, Any]

HEAD = """# PIG, DDPM, segmentation-guided and latent diffusion on breast ultrasound

The paper's two tables at small scale and on other data: 483 breast ultrasounds (BUSI) instead of the authors' private
breast tomosynthesis, 64 x 64 instead of 512 x 512 pixels, and {updates:,} optimizer steps per method instead of days
on a GPU. `pig` spends half of the steps on each of its two networks, `lldm` a fifth on each of its five stages, with 16
cases in each (its discriminators take as many steps as the autoencoder of images). All methods use the preset `tiny`,
`lldm` on a grid of 64 x 64. The split is by
image id (386 to train, 97 to test); no generator saw a test image.

```
python benchmarks/pig/run.py IMAGES WORK       # IMAGES: a folder with images/ and labels/
python benchmarks/pig/speed.py WORK/pig WORK/all WORK/speed
python benchmarks/pig/write_readme.py
```

{date}, {machine}. Intervals are 95 %; n is the number of cases on each side.
"""

DISTANCES = """
## Fidelity

For Fréchet distance and KID smaller is better. The floor is the value between two disjoint sets of real images of the
same size. Distances compare the cases of each method with all 483 real images, including the training images, as in
the paper.

| extractor | method | Fréchet distance | floor | excess over the floor | KID | density | coverage | n |
|---|---|---|---|---|---|---|---|---|
{rows}

The paper (InceptionV3, 2,048 images of 512 x 512; which real ones is not said, no floor given): DDPM 31.84, DDIM 31.54,
PIG 15.88. Its values cannot be compared with ours (other images, size, number); the order can.
"""

UTILITY = """
## Utility for segmentation

Dice of a small U-Net on the real test images that show no scene of training, mean over {seeds} seeds; equal steps and
strong augmentation for every row. Gain: paired difference to real images alone, in Dice points. With 20 to 160 of these
images: [recipes](../recipes/README.md#breast-ultrasound-busi). {missing}

| trained on | method | synthetic per real | Dice | gain |
|---|---|---|---|---|
{rows}

The paper (five folds, DBT masses): real 52.36; with 2,048 cases of segmentation-guided diffusion 58.30; with PIG's
1,024 56.52, 2,048 **60.54**, 3,072 59.14.
"""

COPIES = """
## Copies

Share of synthetic cases that are more similar to a training image than the 99th percentile of the similarity between
training images of different scenes:

{rows}
"""

SPEED = """
## Speed

The same PIG weights, one thread, processor seconds; Fréchet distance of the first {n} cases of each recipe to the real
images, and its floor at the same n. {machine}, {date}.

| recipe | network calls | seconds a case | Fréchet distance (FID Inception-v3) | floor |
|---|---|---|---|---|
{rows}

One training step of the image network, batch 16: {float32:.2f} s in float32, {bfloat16:.2f} s with bfloat16
forward passes.
"""


def estimate(found: Row, scale: float = 1.0, digits: int = 3) -> str:
    """A number with its interval."""
    value, low, high = (f"{found[key] * scale:.{digits}g}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def distance_rows(results: Mapping[str, Any]) -> str:
    """One row per extractor and method."""
    rows = []
    for extractor in results["pig"]["evaluation"]["distances"]:
        for method in METHODS:
            found = results[method]["evaluation"]["distances"][extractor]
            frechet = found["Fréchet distance"]
            cells = [estimate(found[name]["synthetic"]) for name in ("KID", "density", "coverage")]
            ends = [*(estimate(frechet[name]) for name in ("synthetic", "floor", "excess")), *cells]
            ends.append(str(frechet["synthetic"]["n"]))
            rows.append(f"| {extractor} | {method} | " + " | ".join(ends) + " |")
    return "\n".join(rows)


def utility_rows(results: Mapping[str, Any]) -> str:
    """Real alone once for all methods that share it, then every mixture."""
    rows, shown = [], None
    for method, found in results.items():
        real = found["utility"]["arms"]["real"]
        if real["dice"] != shown:
            rows.append(f"| real | (of {found['facts']['date']}) | 0 | {estimate(real['dice'])} | |")
            shown = real["dice"]
        for name, arm in found["utility"]["arms"].items():
            if name == "real":
                continue
            ratio = arm["synthetic_cases"] / max(real["real_cases"], 1)
            trained = name if name.startswith("synthetic") else "real + synthetic"
            rows.append(
                f"| {trained} | {method} | {ratio:g} | {estimate(arm['dice'])} | {estimate(arm['gain'], 100)} |"
            )
    return "\n".join(rows)


def utility_part(results: Mapping[str, Any]) -> str:
    """The table of the methods whose cases have trained a segmentation network, and the names of the others."""
    there = {method: found for method, found in results.items() if "utility" in found}
    others = [f"`{method}`" for method in METHODS if method not in there]
    missing = f"Not measured in this way: {', '.join(others)}." if others else ""
    seeds = len(next(iter(there.values()))["utility"]["arms"]["real"]["seeds"])
    return UTILITY.format(rows=utility_rows(there), seeds=seeds, missing=missing)


def copy_rows(results: Mapping[str, Any]) -> str:
    """One line per method."""
    lines = []
    for method in METHODS:
        found = results[method]["evaluation"]["nearest_neighbors"]
        flagged = found["flagged"]
        lines.append(f"- {method}: {estimate(flagged, 100)} % of {flagged['n']} (threshold {found['threshold']:.2f})")
    return "\n".join(lines)


def speed_rows(sampling: Mapping[str, Any]) -> str:
    """One row per recipe."""
    rows = []
    for recipe, found in sampling.items():
        calls = 2 * int("".join(c for c in recipe.split(",")[0].split()[-1] if c.isdigit()))
        frechet = next(iter(found["frechet"].values()))
        cells = (f"{found['median_seconds_per_case']:.2f}", estimate(frechet["synthetic"]), estimate(frechet["floor"]))
        rows.append(f"| {recipe} | {calls} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main() -> None:
    """Write the page."""
    results = {method: json.loads((HERE / f"results-{method}.json").read_text()) for method in METHODS}
    parts = [
        HEAD.format(**results["pig"]["facts"]),
        DISTANCES.format(rows=distance_rows(results)),
        utility_part(results),
        COPIES.format(rows=copy_rows(results)),
    ]
    if (HERE / "speed.json").is_file():
        speed = json.loads((HERE / "speed.json").read_text())
        first = next(iter(speed["sampling"].values()))
        rows = speed_rows(speed["sampling"])
        parts.append(SPEED.format(rows=rows, n=first["n"], **speed["facts"], **speed["training_step"]))
    pictures = "\n".join(f"\n{method}:\n\n![cases of {method}](pairs-{method}.png)" for method in METHODS)
    parts.append(
        "\n## Pictures\n\nThe first sixteen cases of seed 0, not selected: the image, then the image with "
        f"the outline of the mask.\n{pictures}\n"
    )
    notes = HERE / "notes.md"
    if notes.is_file():
        parts.append("\n" + notes.read_text())
    (HERE / "README.md").write_text("".join(parts))


if __name__ == "__main__":
    main()
