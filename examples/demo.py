"""The main jobs on phantoms and the shipped starter weights: lesions described in words, pairs out of nothing, slices
that follow an anatomy, and a labeled MR volume.

python examples/demo.py FOLDER [COUNT]
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from medsmith import Case, Cohort, evaluate, synthesize
from medsmith.anatomy import ShapeSpace
from medsmith.data.fingerprint import take_fingerprint
from medsmith.evaluation.fidelity.views import common_view_spec
from medsmith.evaluation.pages.image_grid import image_grid
from medsmith.evaluation.pages.sheets import legend_of, plane_tiles
from medsmith.formats.atomic import write_bytes
from medsmith.phantoms.families import find_family
from medsmith.phantoms.writing import write_phantom
from medsmith.progress import ConsoleProgress
from medsmith.reports.reading import read_report
from medsmith.synthesis import lesions_line, write_lesions_page, write_steering_page

WORDS = "a 20 mm round-like hypodense cyst with a well-defined margin inside the liver"
TEMPLATES, LESIONS, CASES = 6, 8, 40
LABELED, SLICES = 24, 6
PLANES = ("sagittal", "coronal", "axial")


def main(folder: Path, count: int, templates: int = TEMPLATES, lesions: int = LESIONS, slices: int = SLICES) -> None:
    """Write a folder for each step into FOLDER."""
    describe_lesions(folder, templates, lesions)
    make_pairs(folder, count)
    steer_slices(folder, slices)
    make_volume(folder)
    print("Synthetic research data, not for diagnosis. All folders of cases are nnU-Net v2 raw datasets.")


def describe_lesions(folder: Path, templates: int, lesions: int) -> None:
    """Scans without lesions, a lesion by words, and lesions whose reports are drawn by the rules."""
    print(f"1/8 {templates} CT phantoms without lesions -> {folder / 'templates'}")
    scans = write_phantom(find_family("ct-healthy"), folder / "templates", templates, seed=2, size=96)
    print(f"2/8 '{WORDS}' -> {folder / 'described'}")
    said = [lesion.model_dump(mode="json") for lesion in read_report(WORDS).report.lesions]
    put_in(scans.root, folder / "described", 1, {"lesions": said})
    print(f"3/8 {lesions} lesions of any type that the scans have room for -> {folder / 'lesions'}")
    put_in(scans.root, folder / "lesions", lesions, {})


def put_in(templates: Path, out: Path, count: int, asked: dict[str, object]) -> None:
    """Lesions into templates, and the page that says how far they are what was asked for."""
    request = {"templates": str(templates), **asked}
    synthesize("lesiondiffusion", out, count=count, seed=0, request=request, progress=ConsoleProgress())
    print(f"    {lesions_line(out)}")
    print(f"    requested and measured, with pictures: {write_lesions_page(out, templates)}")


def make_pairs(folder: Path, count: int) -> None:
    """Ultrasound phantoms that the weights never saw, new pairs, and the two compared."""
    print(f"4/8 {count} synthetic ultrasound pairs -> {folder / 'synthetic'}")
    real = write_phantom(find_family("breast"), folder / "real", count, seed=2, size=64)
    summary = synthesize("pig", folder / "synthetic", count=count, seed=0, progress=ConsoleProgress())
    print(f"    {summary.line}")
    print(f"5/8 compared with {count} phantoms that the weights never saw -> {folder / 'report'}")
    evaluate(real, Cohort.open(folder / "synthetic"), folder / "report", progress=ConsoleProgress())
    print(f"    pictures first: {folder / 'report' / 'evaluation.html'}")


def steer_slices(folder: Path, slices: int) -> None:
    """A shape space of labeled chest phantoms, and new slices that follow its samples, with a nodule in the lung."""
    print(f"6/8 the shapes of {LABELED} labeled chest phantoms -> {folder / 'space.safetensors'}")
    labeled = write_phantom(find_family("chest-healthy"), folder / "chest", LABELED, seed=2, size=64)
    ShapeSpace.fit(labeled, progress=ConsoleProgress()).save(folder / "space.safetensors")
    nodule = next(
        case for case in write_phantom(find_family("chest"), folder / "nodules", 24, seed=4, size=128) if visible(case)
    )
    print(f"7/8 {slices} chest slices that follow new shapes, with the nodule of {nodule.id} -> {folder / 'steered'}")
    request = {
        # So few slices with so many bones: nearer to the mean shape fewer samples are illegal.
        "anatomy": {"space": str(folder / "space.safetensors"), "spread": 1.0},
        "pathologies": [
            {"case": {"cohort": str(folder / "nodules"), "case": nodule.id}, "label": "nodule", "within": "lung"}
        ],
    }
    synthesize("mddpm", folder / "steered", count=slices, seed=0, request=request, progress=ConsoleProgress())
    print(f"    every guide beside its slice: {write_steering_page(folder / 'steered')}")


def make_volume(folder: Path) -> None:
    """A label map of the liver with its vessels, out of nothing, and the MR volume that follows it."""
    print(f"8/8 an MR volume of the liver and its label map -> {folder / 'liver'}")
    synthesize("lldm", folder / "liver", count=1, seed=0, progress=ConsoleProgress())
    made = Cohort.open(folder / "liver")
    facts = take_fingerprint(iter(made), made.file_ending, made.content_hash())
    view = common_view_spec(facts, facts, size=max(facts.shape), channel=None).view(made[made.ids[0]])
    outlined = plane_tiles(view)
    plain = [replace(tile, labels=np.zeros_like(tile.labels)) for tile in outlined]
    rows = [("image", plain), ("outlined", outlined)]
    picture = image_grid(rows, PLANES, "synthetic liver MR, for research", legend_of(outlined, made.label_names))
    write_bytes(folder / "liver.png", picture)
    print(f"    three planes through it: {folder / 'liver.png'}")


def visible(case: Case) -> bool:
    """Whether a phantom has one nodule, solid and large enough for a slice of 64 pixels."""
    match list((case.report or {}).get("lesions", ())):
        case [{"density": "solid", "equivalent_diameter_mm": diameter}]:
            return bool(diameter > 18)
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else CASES)
