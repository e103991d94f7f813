"""Draws the viewer of a cohort of inserted lesions: docs/viewer.png. Needs chromium and chromedriver.

Run: make demo; PYTHONPATH=tests/support python benchmarks/viewer/picture.py demo/lesions
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from browser import WEBGL, open_browser
from medsmith.cases.cohort import Cohort
from medsmith.viewer import write_view

OUT = Path(__file__).parents[2] / "docs" / "viewer.png"


def main() -> None:
    """The first failed case with its labels outlined."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        view = write_view(Cohort.open(sys.argv[1]), folder / "view")
        with open_browser(folder / "browser", (1500, 940), WEBGL) as browser:
            browser.open(view.page)
            browser.wait("document.getElementById('message').hidden")
            browser.press("f", "l")
            browser.wait("document.getElementById('message').hidden")
            browser.picture(folder / "picture.png")
        Image.open(folder / "picture.png").convert("RGB").save(OUT, optimize=True)


if __name__ == "__main__":
    main()
