"""Pictures as in the paper's figures 3, 4, 6, 9 and 10; figure 11 is ablation.png.

    python benchmarks/mddpm/figures.py WORK [3 4 6 9 10] [--run RUN]

Seeds are 0, 1, ...; nothing is chosen by its looks. Real slices that lend their texture are not shown: they belong to
others. The pictures go to figure-N.png beside this file.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import UInt8
from rows import KINDS, lesions, requests

from medsmith import Cohort
from medsmith.data.scaling import model_to_image
from medsmith.errors import MedsmithError
from medsmith.evaluation.pages.image_grid import image_grid
from medsmith.evaluation.pages.sheets import Tile
from medsmith.formats.atomic import write_bytes
from medsmith.methods.config import validated
from medsmith.methods.mddpm import Mddpm
from medsmith.methods.mddpm.request import MddpmRequest
from medsmith.runs.checkpoints import load_method

HERE = Path(__file__).parent
ANATOMIES = 5
Request = Mapping[str, Any]


@final
@dataclass(frozen=True)
class Slices:
    """The model and the parts of requests.

    Attributes:
        method: trained on images alone.
        work: see rows.py.
    """

    method: Mddpm
    work: Path

    @cached_property
    def anatomy(self) -> Request:
        """A request for an anatomy alone."""
        return requests(self.work)["anatomy"]

    def with_texture(self, name: str, **action: float) -> Request:
        """The anatomy with the texture of one unlabeled slice."""
        texture = dict(requests(self.work)["anatomy-texture"]["guides"][0])
        image = {"cohort": str(self.work / "unlabeled"), "case": name}
        return {**self.anatomy, "guides": [{**texture, "image": image, **action}]}

    def image(self, request: Request, seed: int, *, outlined: bool = False) -> Tile:
        """One slice, with its annotation if wanted."""
        parsed = validated(MddpmRequest, "request", request)
        case = self.method.synthesize(parsed, seed, self.method.config.sampling)
        gray, labels = case.require_image()[0, :, :, 0], case.labels
        empty: UInt8[np.ndarray, "x y"] = np.zeros(gray.shape, np.uint8)
        return Tile(gray, labels[:, :, 0] if outlined and labels is not None else empty)

    def guide(self, request: Request, seed: int, key: str = "anatomy") -> Tile:
        """The guidance image of one slice."""
        parsed = validated(MddpmRequest, "request", request)
        reference = self.method.steering(parsed, seed, self.method.config.sampling).guides[key].reference[0]
        gray = model_to_image(reference, self.method.fingerprint)[0, :, :, 0]
        return Tile(gray, np.zeros(gray.shape, np.uint8))

    def textures(self, count: int) -> Sequence[str]:
        """Evenly chosen unlabeled slices."""
        ids = Cohort.open(self.work / "unlabeled").ids
        return [ids[round(position)] for position in np.linspace(0, len(ids) - 1, count + 2)[1:-1]]


Rows = list[tuple[str, list[Tile]]]


def figure_3(slices: Slices) -> tuple[Rows, str]:
    """Slices that follow maps of the shape space."""
    seeds = range(ANATOMIES)
    maps = [slices.guide(slices.anatomy, seed) for seed in seeds]
    images = [slices.image(slices.anatomy, seed) for seed in seeds]
    annotated = [slices.image(slices.anatomy, seed, outlined=True) for seed in seeds]
    return [("map", maps), ("slice", images), ("annotation", annotated)], "Slices that follow maps (figure 3)"


def figure_4(slices: Slices) -> tuple[Rows, str]:
    """Two textures on the same anatomies."""
    rows: Rows = [("map", [slices.guide(slices.anatomy, seed) for seed in range(ANATOMIES)])]
    for number, name in enumerate(slices.textures(3), start=1):
        request = slices.with_texture(name)
        rows.append((f"texture {number}", [slices.image(request, seed) for seed in range(ANATOMIES)]))
    return rows, "Anatomy of the top row, texture of one real slice in each row (figure 4)"


def figure_6(slices: Slices) -> tuple[Rows, str]:
    """Coarse structure of one slice and of an anatomy in equal parts."""
    rows: Rows = []
    for number, name in enumerate(slices.textures(2), start=1):
        for factor in (1 / 16, 1 / 8):
            request = {**slices.with_texture(name, relative_factor=factor, until=0.3), "combination": "mean"}
            made = [slices.image(request, seed) for seed in range(ANATOMIES)]
            rows.append((f"slice {number}, n {factor:g}", made))
    return rows, "A real slice and several anatomies in equal parts (figure 6)"


def figure_9(slices: Slices) -> tuple[Rows, str]:
    """Lesions at places that the seed chooses."""
    lesions(slices.work / "lesions")
    rows: Rows = []
    for kind in KINDS:
        request = requests(slices.work)[f"anatomy-{kind}"]
        rows.append((kind, [slices.image(request, seed) for seed in range(ANATOMIES)]))
        rows.append(("annotation", [slices.image(request, seed, outlined=True) for seed in range(ANATOMIES)]))
    return rows, "Lesions of other images at new places (figure 9)"


def figure_10(slices: Slices) -> tuple[Rows, str]:
    """One anatomy and lesion, with the lesion's n and a and the noise varied."""
    request, rows = requests(slices.work)["anatomy-spiculated"], []
    lesion = request["pathologies"][0]
    for factor in (1 / 64, 1 / 32, 1 / 16):
        tiles = []
        for until in (0.0, 0.1, 0.3, 0.5, 0.7):
            changed = {**request, "pathologies": [{**lesion, "relative_factor": factor, "until": until}]}
            tile = slices.image(changed, 0)
            tiles.append(Tile(tile.image, tile.labels, f"a {until:g}"))
        rows.append((f"n {factor:.3g}", tiles))
    return rows, "One anatomy and lesion; n and a of the lesion's guide (figure 10)"


FIGURES = {"3": figure_3, "4": figure_4, "6": figure_6, "9": figure_9, "10": figure_10}


def main(work: Path, run: Path, chosen: Sequence[str]) -> None:
    """The pictures that are asked for."""
    torch.set_num_threads(1)
    method = load_method(run)
    assert isinstance(method, Mddpm)
    slices = Slices(method, work)
    for number in chosen:
        rows, title = FIGURES[number](slices)
        write_bytes(HERE / f"figure-{number}.png", image_grid(rows, title=f"{title}. Synthetic."))
        print(f"figure-{number}.png", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("figures", nargs="*", default=list(FIGURES))
    parser.add_argument("--run", type=Path)
    arguments = parser.parse_intermixed_args()
    try:
        main(arguments.work, arguments.run or arguments.work / "run", arguments.figures)
    except MedsmithError as error:
        sys.exit(error.line)
