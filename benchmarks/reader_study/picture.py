"""Draws a reader study as a reader sees it: docs/reader-study.png. Needs chromium and chromedriver.

CT phantoms stand in for real and synthetic images.

Run: PYTHONPATH=tests/support python benchmarks/reader_study/picture.py
"""

import tempfile
from pathlib import Path

from PIL import Image

from browser import open_browser
from medsmith.cases.cohort import Cohort
from medsmith.evaluation.reader_study import StudyPlan, create_study
from medsmith.phantoms.families import find_family
from medsmith.phantoms.writing import write_phantom

OUT = Path(__file__).parents[2] / "docs" / "reader-study.png"
COUNT, SIZE = 6, 128


def main() -> None:
    """The first image of a small study, answered with "probably synthetic"."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cohorts = []
        for seed, kind in enumerate(("real", "synthetic")):
            write_phantom(find_family("ct"), folder / kind, COUNT, seed, SIZE)
            cohorts.append(Cohort.open(folder / kind))
        create_study(cohorts[0], cohorts[1], folder / "study", StudyPlan(count=COUNT, windows="soft,lung,bone"))
        with open_browser(folder / "browser", (1180, 940)) as browser:
            browser.open(folder / "study" / "study.html")
            browser.press(*"A reader", "Enter")
            browser.wait("screenName === 'trial'")
            browser.press("4")
            browser.picture(folder / "picture.png")
        Image.open(folder / "picture.png").convert("RGB").quantize(128).save(OUT, optimize=True)


if __name__ == "__main__":
    main()
