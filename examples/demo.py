"""The main jobs on phantoms and the shipped starter weights: lesions described in words, pairs out of nothing, and
slices that follow an anatomy.

python examples/demo.py FOLDER [COUNT]
"""

import sys
from pathlib import Path

from medsmith import Case, Cohort, evaluate, synthesize
from medsmith.anatomy import ShapeSpace
from medsmith.phantoms.families import find_family
from medsmith.phantoms.family import write_phantom
from medsmith.progress import ConsoleProgress
from medsmith.reports.reading import read_report
from medsmith.synthesis import write_lesions_page, write_steering_page

WORDS = "a 20 mm round-like hypodense cyst with a well-defined margin inside the liver"
TEMPLATES, LESIONS, CASES = 6, 8, 40
LABELED, SLICES = 24, 6


def main(folder: Path, count: int, templates: int = TEMPLATES, lesions: int = LESIONS, slices: int = SLICES) -> None:
    """Write a folder for each step into FOLDER."""
    describe_lesions(folder, templates, lesions)
    make_pairs(folder, count)
    steer_slices(folder, slices)
    print("Synthetic research data, not for diagnosis. All folders of cases are nnU-Net v2 raw datasets.")


def describe_lesions(folder: Path, templates: int, lesions: int) -> None:
    """Scans without lesions, a lesion by words, and lesions whose reports are drawn by the rules."""
    print(f"1/7 {templates} CT phantoms without lesions -> {folder / 'templates'}")
    scans = write_phantom(find_family("ct-healthy"), folder / "templates", templates, seed=2, size=96)
    print(f"2/7 '{WORDS}' -> {folder / 'described'}")
    said = [lesion.model_dump(mode="json") for lesion in read_report(WORDS).report.lesions]
    put_in(scans.root, folder / "described", 1, {"lesions": said})
    print(f"3/7 {lesions} lesions of any type that the scans have room for -> {folder / 'lesions'}")
    put_in(scans.root, folder / "lesions", lesions, {})


def put_in(templates: Path, out: Path, count: int, asked: dict[str, object]) -> None:
    """Lesions into templates, and the page that says how far they are what was asked for."""
    request = {"templates": str(templates), **asked}
    synthesize("lesiondiffusion", out, count=count, seed=0, request=request, progress=ConsoleProgress())
    print(f"    requested and measured, with pictures: {write_lesions_page(out, templates)}")


def make_pairs(folder: Path, count: int) -> None:
    """Ultrasound phantoms that the weights never saw, new pairs, and the two compared."""
    print(f"4/7 {count} synthetic ultrasound pairs -> {folder / 'synthetic'}")
    real = write_phantom(find_family("breast"), folder / "real", count, seed=2, size=64)
    summary = synthesize("pig", folder / "synthetic", count=count, seed=0, progress=ConsoleProgress())
    print(f"    {summary.line}")
    print(f"5/7 compared with {count} phantoms that the weights never saw -> {folder / 'report'}")
    evaluate(real, Cohort.open(folder / "synthetic"), folder / "report", progress=ConsoleProgress())
    print(f"    pictures first: {folder / 'report' / 'evaluation.html'}")


def steer_slices(folder: Path, slices: int) -> None:
    """A shape space of labeled chest phantoms, and new slices that follow its samples, with a nodule in the lung."""
    print(f"6/7 the shapes of {LABELED} labeled chest phantoms -> {folder / 'space.safetensors'}")
    labeled = write_phantom(find_family("chest-healthy"), folder / "chest", LABELED, seed=2, size=64)
    ShapeSpace.fit(labeled, progress=ConsoleProgress()).save(folder / "space.safetensors")
    nodule = next(
        case for case in write_phantom(find_family("chest"), folder / "nodules", 24, seed=4, size=128) if visible(case)
    )
    print(f"7/7 {slices} chest slices that follow new shapes, with the nodule of {nodule.id} -> {folder / 'steered'}")
    request = {
        # So few slices with so many bones: nearer to the mean shape fewer samples are illegal.
        "anatomy": {"space": str(folder / "space.safetensors"), "spread": 1.0},
        "pathologies": [
            {"case": {"cohort": str(folder / "nodules"), "case": nodule.id}, "label": "nodule", "within": "lung"}
        ],
    }
    synthesize("mddpm", folder / "steered", count=slices, seed=0, request=request, progress=ConsoleProgress())
    print(f"    every guide beside its slice: {write_steering_page(folder / 'steered')}")


def visible(case: Case) -> bool:
    """Whether a phantom has one nodule, solid and large enough for a slice of 64 pixels."""
    match list((case.report or {}).get("lesions", ())):
        case [{"density": "solid", "equivalent_diameter_mm": diameter}]:
            return bool(diameter > 18)
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else CASES)
