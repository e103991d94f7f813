"""The page in a browser, opened from the disk: what is drawn, where, and what keys do."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser import CHROMIUM, DRIVER, WEBGL, open_browser
from cohort_cases import make_case
from medsmith.cases.cohort import Cohort
from medsmith.geometry import Geometry
from medsmith.viewer import write_view
from view_files import NAMES, cohort_of, record, scan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver"),
]
SIZE = 48
EDITED = (24, 23, 22)


def scans(root: Path) -> tuple[Cohort, Cohort]:
    """Three cases and the scan they were made from, bright only on the patient's right, in front, near the head."""
    image, labels = np.full((1, SIZE, SIZE, SIZE), -900, np.float32), np.zeros((SIZE, SIZE, SIZE), np.uint8)
    image[0, SIZE // 2 :, SIZE // 2 :, SIZE // 2 :] = 200
    labels[20:28, 20:28, 20:28] = 2
    geometry = Geometry(labels.shape, np.diag([2.0, 2.0, 2.0, 1.0]))
    facts = {"image": image, "labels": labels, "geometry": geometry}
    box = [[20, 20, 20], [28, 28, 28]]
    made = {name: record(passed=name != "b") for name in "abc"}
    for one in made.values():
        one["lesions"][0]["box"] = box
    cases = [scan(name, provenance=one, **facts) for name, one in made.items()]
    before = image.copy()
    before[0, *EDITED] = -50
    template = scan("scan", **(facts | {"image": before, "labels": None, "label_names": {"background": 0}}))
    return cohort_of(root / "out", *cases), cohort_of(root / "scans", template)


def brightness(browser) -> np.ndarray:
    """The stage as gray values."""
    picture = Image.open(BytesIO(browser.screenshot())).convert("L")
    edges = browser.run(
        "const stage = document.getElementById('stage').getBoundingClientRect();"
        "return [stage.left, stage.top, stage.right, stage.bottom].map(Math.round)"
    )
    left, top, right, bottom = (int(edge) for edge in edges)
    return np.asarray(picture.crop((left, top, right, bottom)), np.float64)


def quarters(gray: np.ndarray) -> dict[str, float]:
    """Mean brightness of the quarters of the drawn square, which touches the upper and lower edge of the stage."""
    height, width = gray.shape
    square = gray[:, (width - height) // 2 : (width + height) // 2]
    half = height // 2
    parts = {"upper left": square[:half, :half], "upper right": square[:half, half:]}
    parts |= {"lower left": square[half:, :half], "lower right": square[half:, half:]}
    return {name: float(np.median(part)) for name, part in parts.items()}


def assert_brightest(gray: np.ndarray, name: str) -> None:
    found = quarters(gray)
    assert sorted(found.values())[2] < 60 < 150 < found[name]


def wait_for(browser, case_id: str) -> None:
    browser.wait("document.getElementById('message').hidden")
    browser.wait(f"document.title.startsWith('{case_id} ')")


def values_at(browser, voxel: tuple[int, int, int]) -> list[float]:
    """The value of a voxel in the case that is shown, and in the scan before; elsewhere both are equal."""
    x, y, z = voxel
    return list(
        browser.run(
            f"const [now, then] = [shown.images.channels[0].img, shown.scans[0].img], at = {x + SIZE * (y + SIZE * z)};"
            "const others = now.every((value, place) => place === at || value === then[place]);"
            "return others && now.length === then.length ? [now[at], then[at]] : [];"
        )
    )


def text(browser, name: str) -> str:
    return str(browser.run(f"return document.getElementById('{name}').textContent"))


def test_volumes_and_their_facts(tmp_path):
    cohort, templates = scans(tmp_path)
    view = write_view(cohort, templates=templates)
    with open_browser(tmp_path / "browser", arguments=WEBGL) as browser:
        browser.open(view.page)
        wait_for(browser, "a")
        assert text(browser, "notice") == "SYNTHETIC – research only, not for diagnosis"
        assert "-900 HU · lesion" in text(browser, "readout")
        browser.press("o", "2")
        assert max(quarters(brightness(browser)).values()) < 60
        browser.press(*["ArrowUp"] * 6)
        assert_brightest(brightness(browser), "upper left")
        browser.press("3", *["ArrowUp"] * 6)
        assert_brightest(brightness(browser), "upper left")
        browser.press("4", *["ArrowUp"] * 6)
        assert_brightest(brightness(browser), "upper left")
        browser.press("b")
        browser.wait("document.getElementById('shown').textContent === 'before: scan'")
        assert values_at(browser, EDITED) == [-900, -50]
        browser.press("f")
        wait_for(browser, "b")
        assert text(browser, "cases") == "b1 ✗"
        assert browser.run("return document.querySelectorAll('tr.failed').length") == 1
        browser.press("f", "n")
        wait_for(browser, "c")
        assert_offline(browser, view.page.parent)
        damaged = view.page.parent / "cases" / "a.js"
        damaged.write_text(damaged.read_text()[:-20])
        browser.press("n")
        browser.wait("document.getElementById('message').textContent.startsWith('cases/a.js is missing or damaged')")
        browser.press("n", "n")
        wait_for(browser, "c")


def assert_offline(browser, folder: Path) -> None:
    """Nothing but files of the folder was asked for, and nothing was refused or failed."""
    asked = {address for address in browser.addresses() if not address.startswith(("data:", "chrome", "blob:"))}
    assert asked
    assert all(address.startswith(folder.resolve().as_uri() + "/") for address in asked)
    assert not [entry for entry in browser.log() if entry["level"] == "SEVERE"]


def test_pictures(tmp_path):
    """A picture is bright at its upper left: at small x and small y."""
    image, labels = np.zeros((1, SIZE, SIZE, 1), np.float32), np.zeros((SIZE, SIZE, 1), np.uint8)
    image[0, : SIZE // 2, : SIZE // 2] = 200
    labels[30:40, 5:15] = 1
    case = make_case("a", image=image, labels=labels, geometry=Geometry.plain(labels.shape))
    view = write_view(cohort_of(tmp_path / "out", case, ending=".png"))
    with open_browser(tmp_path / "browser", arguments=WEBGL) as browser:
        browser.open(view.page)
        wait_for(browser, "a")
        assert text(browser, "notice").startswith("No provenance: taken to be REAL")
        assert text(browser, "legend").startswith("lesion")
        assert browser.run("return document.getElementById('planes').hidden")
        labeled = brightness(browser)
        assert_brightest(labeled, "upper left")
        browser.press("o")
        plain = brightness(browser)
        rows, columns = np.nonzero(np.abs(labeled - plain) > 20)
        left = (plain.shape[1] - plain.shape[0]) // 2
        middle = np.array([columns.mean() - left, rows.mean()]) / plain.shape[0] * SIZE
        np.testing.assert_allclose(middle, [35, 10], atol=1.0)
        assert_offline(browser, view.page.parent)


def test_without_webgl_the_words_are_there(tmp_path):
    cohort = cohort_of(tmp_path / "out", scan("a", provenance=record(), label_names=NAMES))
    view = write_view(cohort)
    with open_browser(tmp_path / "browser", arguments=("--disable-3d-apis",)) as browser:
        browser.open(view.page)
        browser.wait("document.title.startsWith('a ')")
        assert text(browser, "message") == "This browser cannot draw images: WebGL 2 is off."
        assert "hypodense" in text(browser, "facts")
        browser.press("1", "ArrowUp", "w", "o", "l", "b")
        assert not [entry for entry in browser.log() if entry["level"] == "SEVERE"]
