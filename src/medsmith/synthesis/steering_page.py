"""A page of steered images: the guidance images of each case beside it, with how well it follows them."""

from collections.abc import Sequence
from pathlib import Path

from medsmith.cases.cohort import Cohort
from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.data.fingerprint import Fingerprint
from medsmith.diffusion import Sampling
from medsmith.evaluation.pages.page import Page, Picture, Section, Table, write_page
from medsmith.evaluation.pages.sheets import contact_sheet
from medsmith.formats.json_file import read_json
from medsmith.methods.config import validated
from medsmith.methods.mddpm import Mddpm
from medsmith.methods.mddpm.request import MddpmRequest
from medsmith.synthesis.case_synthesis import load, sampling_of
from medsmith.synthesis.lesions_page import LUNG_WINDOW
from medsmith.synthesis.plan import read_plan, resolve_paths, resolve_run
from medsmith.synthesis.references import with_paths
from medsmith.synthesis.steering_pictures import (
    REGION_NAME,
    SteeredCase,
    guide_tiles,
    image_tiles,
    legend,
    shows_lung,
)
from medsmith.synthesis.steering_words import adherence_lines, gray_unit
from medsmith.synthesis.tasks import LOADER

PAGE = "guides.html"
MAX_CASES = 12
_EDGE, _ACROSS = 224, 4
"""Of the tiles, pixels, and the most in a row: what the page shows without making them smaller."""


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
            "Guides are shown before their low-pass filter, with the region in which they act; below them the new "
            "image.",
            *_windows(method.fingerprint),
        ],
        sections=[
            Section("Images", pictures=[_picture(method, each) for each in shown]),
            Section("How well they follow", tables=[_table(shown, method.fingerprint)]),
        ],
        facts={"weights": plan.recipe.weights_hash[:16], "combination": request.combination},
    )
    write_page(page, out / PAGE)
    return out / PAGE


def _steered(method: Mddpm, request: MddpmRequest, sampling: Sampling, cohort: Cohort, id: str) -> SteeredCase:
    record = read_json(cohort.root / PROVENANCE / f"{id}.json")
    return SteeredCase(cohort[id], method.steering(request, int(record["case_seed"]), sampling))


def _windows(facts: Fingerprint) -> Sequence[str]:
    """What black and white mean, where gray values have a unit."""
    if not facts.is_hounsfield:
        return ()
    (low, high), (lung_low, lung_high) = facts.robust_range[0], LUNG_WINDOW
    return (
        f"Black to white: {low:.0f} to {high:.0f} HU, in which small differences in the lung are hard to see; in the "
        f"lung window {lung_low:.0f} to {lung_high:.0f} HU.",
    )


def _picture(method: Mddpm, steered: SteeredCase) -> Picture:
    """Guides in rows, then the new image, that of a lung in Hounsfield units also in a lung window."""
    case, facts = steered.case, method.fingerprint
    guides = [*guide_tiles(method, steered).values()]
    images = image_tiles(case, facts.robust_range[0], "new image")
    if shows_lung(case, facts):
        images += image_tiles(case, LUNG_WINDOW, "lung window")
    rows = [guides[start : start + _ACROSS] for start in range(0, len(guides), _ACROSS)]
    colors = legend(guides, images, case.label_names)
    caption = case.id if set(colors) - {REGION_NAME} else f"{case.id}: no label"
    return Picture(contact_sheet([*rows, images], _EDGE), caption, colors)


def _table(shown: Sequence[SteeredCase], facts: Fingerprint) -> Table:
    unit = gray_unit(facts)
    rows = []
    for each in shown:
        keys = list(each.steering.guides)
        rows.append((each.case.id, "; ".join(adherence_lines(each.adherence, keys, keys, unit))))
    caption = (
        "Error of the low frequencies of each guide, in percent of the gray range; Dice of body and lung, found by "
        f"thresholds, with the requested map; contrast of each lesion to the ring around it, in {unit or 'gray values'}"
        ", and the same in its guide."
    )
    return Table(("case", "measured"), rows, caption)
