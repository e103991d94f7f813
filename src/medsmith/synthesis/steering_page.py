"""A page of steered images: the guidance images of each case beside it, with how well it follows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cases.display import displayed
from medsmith.cases.layouts import PROVENANCE
from medsmith.data.scaling import model_to_image
from medsmith.diffusion import LowPassGuide, Sampling
from medsmith.evaluation.pages.page import Page, Picture, Section, Table, write_page
from medsmith.evaluation.pages.sheets import Tile, contact_sheet
from medsmith.formats.json_file import read_json
from medsmith.methods.config import validated
from medsmith.methods.mddpm import Mddpm
from medsmith.methods.mddpm.request import MddpmRequest
from medsmith.methods.mddpm.steering import Steering
from medsmith.synthesis.case_synthesis import load, sampling_of
from medsmith.synthesis.plan import read_plan, resolve_paths, resolve_run
from medsmith.synthesis.references import with_paths
from medsmith.synthesis.tasks import LOADER

PAGE = "guides.html"
MAX_CASES = 12


@final
@dataclass(frozen=True, eq=False)
class SteeredCase:
    """A case with its steering.

    Attributes:
        case: the image, its annotation and its provenance.
        steering: its guides.
    """

    case: Case
    steering: Steering

    @property
    def adherence(self) -> Mapping[str, float]:
        """How well the image follows its guides, as its provenance has it; see ``measure_adherence``."""
        found: Mapping[str, float] = (self.case.provenance or {})["adherence"]
        return found


def write_steering_page(out: Path) -> Path | None:
    """Write OUT/guides.html for a cohort of mDDPM.

    Args:
        out: the cohort.

    Returns:
        The page's path; None if another method made the cohort, its cases have no guides, or they are volumes.

    Raises:
        MedsmithError: the run or a guide cannot be read.
    """
    plan = read_plan(out)
    if plan.recipe.method != "mddpm":
        return None
    method = load(resolve_run(plan.run, out), LOADER, "cpu")
    assert isinstance(method, Mddpm)
    values = with_paths(plan.recipe.request, resolve_paths(plan.paths, out))
    request = validated(MddpmRequest, "request", values)
    cohort = Cohort.open(out)
    if method.fingerprint.dimensions != 2 or not (request.guides or request.anatomy or request.pathologies):
        return None
    sampling = sampling_of(method, plan.recipe)
    shown = [_steered(method, request, sampling, cohort, id) for id in cohort.ids[:MAX_CASES]]
    page = Page(
        title="Guidance images and what followed them",
        summary=[
            "Guides are shown before their low-pass filter, with the region in which they act; then the new image.",
        ],
        sections=[
            Section("Images", pictures=[_picture(method, each) for each in shown]),
            Section("How well they follow", tables=[_table(shown)]),
        ],
        facts={"weights": plan.recipe.weights_hash[:16], "combination": request.combination},
    )
    write_page(page, out / PAGE)
    return out / PAGE


def _steered(method: Mddpm, request: MddpmRequest, sampling: Sampling, cohort: Cohort, id: str) -> SteeredCase:
    record = read_json(cohort.root / PROVENANCE / f"{id}.json")
    return SteeredCase(cohort[id], method.steering(request, int(record["case_seed"]), sampling))


def steering_tiles(method: Mddpm, steered: SteeredCase) -> list[Tile]:
    """Each guide, the image, and the image with its annotation outlined.

    Args:
        method: that made the case.
        steered: a slice with its steering.
    """
    case, window = steered.case, method.fingerprint.robust_range[0]
    image = _gray(case.require_image()[0, :, :, 0], window)
    empty = np.zeros(image.shape, np.uint8)
    tiles = [
        Tile(_gray_of(guide, method, window), _region(guide), key) for key, guide in steered.steering.guides.items()
    ]
    tiles.append(Tile(image, empty, "new image"))
    if case.labels is not None:
        tiles.append(Tile(image, case.labels[:, :, 0], "annotation"))
    return [_displayed(tile) for tile in tiles] if case.geometry.spacing_known else tiles


def _displayed(tile: Tile) -> Tile:
    return replace(tile, image=displayed(tile.image, True), labels=displayed(tile.labels, True))


def _picture(method: Mddpm, steered: SteeredCase) -> Picture:
    names = ", ".join(name for name, value in steered.case.label_names.items() if value > 0)
    return Picture(contact_sheet([steering_tiles(method, steered)]), f"{steered.case.id}: {names or 'no annotation'}")


def _gray_of(guide: LowPassGuide, method: Mddpm, window: tuple[float, float]) -> Float32[np.ndarray, "x y"]:
    return _gray(model_to_image(guide.reference[0], method.fingerprint)[0, :, :, 0], window)


def _region(guide: LowPassGuide) -> UInt8[np.ndarray, "x y"]:
    if guide.region is None:
        return np.zeros(tuple(guide.reference.shape[2:]), np.uint8)
    return np.asarray(guide.region[0, 0].numpy() > 0.5, np.uint8)


def _gray(plane: Float32[np.ndarray, "x y"], window: tuple[float, float]) -> Float32[np.ndarray, "x y"]:
    low, high = window
    return np.clip((plane - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.float32)


def _table(shown: Sequence[SteeredCase]) -> Table:
    rows = [(each.case.id, _text(each.adherence)) for each in shown]
    caption = (
        "Error of the low frequencies of each guide, in percent of the gray range; Dice of body and lung, found by "
        "thresholds, with the requested map; contrast of each lesion to the ring around it, in gray values."
    )
    return Table(("case", "measured"), rows, caption)


def _text(found: Mapping[str, float]) -> str:
    def written(name: str, value: float) -> str:
        if name.startswith("error"):
            return f"{name} {value:.1%}"
        return f"{name} {value:.2f}" if name.startswith("Dice") else f"{name} {value:.0f}"

    return "; ".join(written(name, value) for name, value in found.items())
