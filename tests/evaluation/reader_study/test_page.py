"""The study page in a real browser: keys, resuming, pixels, result file. Skipped where there is no chromium."""

import json
import time

import numpy as np
import pytest

from browser import CHROMIUM, DRIVER, open_browser
from medsmith.evaluation.reader_study import StudyPlan, create_study, score_study
from medsmith.evaluation.reader_study.plan import Mode
from narrowing import present
from readings import data_of, picture_cohort, scan_cohort, unpack

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]


def start(browser, page, name="Åsa Ö."):
    browser.open(page)
    browser.press(*name, "Tab", *"Radiology, 12", "Enter")


def saved(browser):
    browser.wait("screenName === 'done'")
    browser.press("Enter")
    for _ in range(1200):
        files = list(browser.downloads.glob("*.json"))
        if files:
            return files[0]
        time.sleep(0.05)
    raise TimeoutError("no download")


def shown(browser, index=0):
    """Gray values on a canvas."""
    pixels = browser.run(
        f"const c = canvases[{index}]; return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
    )
    return np.array(pixels, np.uint8).reshape(-1, 4)


def test_a_study_of_scans_is_read_by_keys_resumed_saved_and_scored(tmp_path):
    real, synthetic = (scan_cohort(tmp_path / name, 7, seed) for seed, name in enumerate(("real", "synthetic")))
    plan = StudyPlan(count=5, learning=1, slices=4, repeats=0.2)
    study = create_study(real, synthetic, tmp_path / "study", plan)
    page, data = tmp_path / "study" / "study.html", data_of(tmp_path / "study" / "study.html")
    with open_browser(tmp_path / "browser") as browser:
        start(browser, page)
        browser.wait("screenName === 'trial'")
        # The canvas shows what Python computes from the levels, in every window.
        stack = unpack(data["images"][data["learning"][0]["images"][0]], data["shape"])
        for window in data["windows"]:
            gray = np.clip((stack[2].astype(float) - window["low"]) / (window["high"] - window["low"]), 0, 1) * 255
            pixels = shown(browser)
            assert np.abs(pixels[:, 0] - gray.ravel()).max() <= 0.5 + 1e-6
            assert (pixels[:, 3] == 255).all()
            browser.press("w")
        for trial in study.learning:
            browser.press("5" if trial.answer == "synthetic" else "1", " ")
            browser.wait("screenName === 'feedback'")
            assert "Right. This image is " + trial.answer in browser.run("return element.hint.textContent")
            browser.press(" ")
        browser.wait("screenName === 'begins'")
        browser.press(" ")
        for number, trial in enumerate(study.trials):
            browser.wait(f"screenName === 'trial' && session.state.answers.length === {number}")
            if number == 4:  # the page is closed and opened again
                start(browser, page, "åsa  ö.")
                browser.wait("screenName === 'trial'")
                assert browser.run("return element.count.textContent") == f"Image 5 of {len(study.trials)}"
            if number == 5:
                browser.press("3", " ")  # no call yet: nothing happens
                assert browser.run("return session.state.answers.length") == 5
                browser.press("s" if trial.answer == "synthetic" else "r", "w", "ArrowUp", " ")
            else:
                browser.press("ArrowRight" if trial.answer == "synthetic" else "ArrowLeft", "Enter")
        path = saved(browser)
        assert [entry for entry in browser.log() if entry["source"] != "rendering"] == []  # our own readbacks
        assert browser.run("return performance.getEntriesByType('resource').length") == 0
    record = json.loads(path.read_text())
    assert record["reader"] == {"name": "Åsa Ö.", "experience": "Radiology, 12"}
    assert record["sessions"] == 2
    assert record["complete"]
    assert [answer["rating"] for answer in record["answers"]].count(3) == 1
    assert len(record["answers"][5]["windows"]) == 2
    assert len(record["learning"]) == 2
    score = score_study([path], tmp_path / "study" / "key.json", tmp_path / "score")
    assert score.readers[0].decisions.accuracy.value == 1.0
    assert present(score.readers[0].consistency).same.value == 1.0


def test_pairs_are_read_and_the_images_stand_on_the_sides_of_the_key(tmp_path):
    real, synthetic = picture_cohort(tmp_path / "real", 6, 0), picture_cohort(tmp_path / "synthetic", 6, 1, prefix="m")
    study = create_study(real, synthetic, tmp_path / "study", StudyPlan(count=6, mode=Mode.PAIRS))
    of = {"real": real, "synthetic": synthetic}
    with open_browser(tmp_path / "browser", (1000, 700)) as browser:
        start(browser, tmp_path / "study" / "study.html")
        for number, trial in enumerate(study.trials):
            browser.wait(f"screenName === 'trial' && session.state.answers.length === {number}")
            for side, case in enumerate(trial.cases):
                gray = of[case.kind][case.id].require_image()[0, :, :, 0].T.ravel()
                (window,) = study.presentation.windows
                expected = np.clip((gray - window.low) / window.width, 0, 1) * 255
                assert np.abs(shown(browser, side)[:, 0] - expected).max() <= 0.51
            browser.press("2" if trial.answer == "left" else "3", " ")
        path = saved(browser)
    score = score_study([path], tmp_path / "study" / "key.json", tmp_path / "score")
    assert score.readers[0].decisions.accuracy.value == 1.0


def test_everything_can_be_reached_by_tab_and_the_focus_is_visible(tmp_path):
    real, synthetic = picture_cohort(tmp_path / "real", 5, 0), picture_cohort(tmp_path / "synthetic", 5, 1, prefix="m")
    create_study(real, synthetic, tmp_path / "study", StudyPlan(count=5))
    with open_browser(tmp_path / "browser") as browser:
        start(browser, tmp_path / "study" / "study.html")
        browser.wait("screenName === 'trial'")
        browser.press("Tab", "Tab", "Tab", "Tab")
        assert browser.run("return document.activeElement.textContent") == "4 Probably synthetic"
        assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
        browser.press(" ")
        browser.wait("trial.rating === 4")
        browser.press(" ")
        browser.wait("session.state.answers.length === 1")
        browser.press("?")
        browser.wait("element.help.open")
        browser.press("5", "Escape")
        browser.wait("!element.help.open")
        assert browser.run("return trial.rating") is None
        browser.press("w")  # one window: nothing to switch
        assert browser.run("return element.view.textContent") == ""
