"""What training shows: progress, pictures, and how it takes an interrupt."""

import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

import medsmith.interruption
import medsmith.progress
import micro
from medsmith.evaluation.pages.preview_grid import OUTLINE, TILE, preview_grid
from medsmith.geometry import Geometry
from medsmith.interruption import SIGNALS, defer_interrupts
from medsmith.methods import method_class
from medsmith.progress import ConsoleProgress, NullProgress, Progress, TimedProgress, unlimited
from medsmith.training.previews import preview_title, write_previews


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when told to."""
    now = [100.0]
    for module in (medsmith.progress, medsmith.interruption):
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_lines_soon_then_every_half_minute_and_at_the_end(clock, capsys):
    with ConsoleProgress().task("guider", 160, 40) as advance:
        for step in range(60):
            clock[0] += 2
            advance(2, "loss 0.5" if step < 59 else "")
    assert capsys.readouterr().err.splitlines() == [
        "guider: 46 of 160, 1.9 min left loss 0.5",  # after 6 s
        "guider: 56 of 160, 1.7 min left loss 0.5",  # 10 s later
        "guider: 76 of 160, 1.4 min left loss 0.5",  # 20 s later
        "guider: 106 of 160, 0.9 min left loss 0.5",  # 30 s later
        "guider: 136 of 160, 0.4 min left loss 0.5",
        "guider: 160 of 160, 0.0 min left",
    ]


def test_long_times_are_told_in_hours(clock, capsys):
    with ConsoleProgress().task("image", 1000, 0) as advance:
        for _ in range(2):
            clock[0] += 360
            advance(490, "")
        clock[0] += 6
        advance(1, "")
    with ConsoleProgress().task("image", 1000, 0) as advance:
        clock[0] += 60
        advance(1, "")
    shown = [line.split(", ")[1] for line in capsys.readouterr().err.splitlines()]
    assert shown == ["6.2 min left", "0.2 min left", "16.6 h left"]


def test_the_time_left_never_exceeds_what_a_limit_leaves(clock, capsys):
    ends = clock[0] + 90
    with ConsoleProgress().task("image", 2000, 0, lambda: ends - clock[0]) as advance:
        for _ in range(4):
            clock[0] += 31
            advance(1, "")
    shown = [float(line.split(", ")[1].split()[0]) for line in capsys.readouterr().err.splitlines()]
    assert shown == [1.0, 0.5, 0.0, 0.0]  # 59, 28, -3 and -34 seconds


def test_the_bar_shows_the_smaller_of_estimate_and_limit(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for limit, shown in ((lambda: 8 * 60 + 0.9, "0:08:00"), (unlimited, "-:--:--")):
        with ConsoleProgress().task("image", 2000, 0, limit):
            pass
        assert shown in capsys.readouterr().err
    with ConsoleProgress().task("image", 10**9, 0, lambda: 75.0) as advance:
        for _ in range(3):
            advance(1, "")
    assert "0:01:15" in capsys.readouterr().err
    with ConsoleProgress().task("image", 3, 0, lambda: 10_000.0) as advance:
        for _ in range(3):
            advance(1, "")
    assert "0:00:00" in capsys.readouterr().err


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with ConsoleProgress().task("guider", 4, 1) as advance:
        for _ in range(3):
            advance(1, "loss 0.5")
    shown = capsys.readouterr().err
    assert "guider" in shown
    assert "4/4" in shown
    assert "loss 0.5" in shown


@pytest.mark.parametrize("terminal", [True, False])
def test_a_note_is_text_whatever_it_holds(monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with ConsoleProgress().task("view", 1) as advance:
        advance(1, "[red]a[/red]\x1b]0;b\n")
    assert "[red]a[/red]\\x1b]0;b\\n" in capsys.readouterr().err


def test_silence_is_silent(capsys):
    with NullProgress().task("guider", 4) as advance:
        advance(1, "loss 0.5")
    assert capsys.readouterr() == ("", "")
    assert isinstance(NullProgress(), Progress)
    assert isinstance(ConsoleProgress(), Progress)


def test_a_timed_task_says_what_it_took_even_if_it_fails(clock, capsys):
    lines: list[str] = []
    progress = TimedProgress(ConsoleProgress(), lines.append)
    with suppress(ZeroDivisionError), progress.task("guider", 9, 2) as advance:
        for _ in range(3):
            clock[0] += 20
            advance(1, "loss 0.5")
        advance(1 // 0, "")
    assert lines == ["guider: 5 of 9, 3 of them in 60.00 s"]
    lines = ["3 of 9, 2.0 min", "4 of 9, 1.7 min", "5 of 9, 1.3 min"]
    assert capsys.readouterr().err == "".join(f"guider: {line} left loss 0.5\n" for line in lines)
    assert isinstance(progress, Progress)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_is_held_back_and_a_second_one_acts(number, clock):
    before = [signal.getsignal(n) for n in SIGNALS]
    with pytest.raises(KeyboardInterrupt), defer_interrupts() as interrupted:  # noqa: PT012
        assert not interrupted()
        os.kill(os.getpid(), number)
        assert interrupted()
        clock[0] += 0.5  # the same wish, passed on by terminal and parent
        os.kill(os.getpid(), signal.SIGINT)
        clock[0] += 1
        os.kill(os.getpid(), number)
        pytest.fail("the second one did not act")
    assert [signal.getsignal(n) for n in SIGNALS] == before


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with defer_interrupts() as interrupted:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupted()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_nothing_is_held_back():
    found = []

    def elsewhere():
        with defer_interrupts() as interrupted:
            found.append(interrupted())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [False]


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (4, 1), (5, 2), (8, 2)])
def test_a_preview_grid_has_a_pair_of_tiles_for_each_case(count, rows):
    sheet = preview_grid([micro.micro_case(index, 2, 1) for index in range(count)], 4)
    assert sheet.shape == (rows * TILE, 4 * 2 * TILE, 3)
    assert sheet.dtype == np.uint8
    last = sheet[-TILE:, 3 * 2 * TILE :]
    assert last.any() == (count % 4 == 0)


def test_labels_are_outlined_on_the_right_tile_alone():
    case = micro.micro_case(0, 2, 2)
    sheet = preview_grid([case], 1)
    drawn = (sheet == OUTLINE).all(-1)
    assert not drawn[:, :TILE].any()
    assert drawn[:, TILE:].any()
    inside = np.kron(case.labels[:, :, 0].T > 0, np.ones((8, 8)))
    assert inside.any()
    bare = preview_grid([replace(case, labels=np.zeros_like(case.labels))], 1)
    assert not (bare == OUTLINE).all(-1).any()


def test_a_volume_is_shown_where_most_of_it_is_labeled():
    case = micro.micro_case(0, 3, 1)
    labels, image = np.zeros_like(case.labels), np.zeros_like(case.image)
    labels[2:6, 2:6, 7] = 1
    labels[3, 3, 2] = 1
    image[:, :, :, 7] = np.linspace(0, 100, image.shape[1])[:, None]
    sheet = preview_grid([replace(case, labels=labels, image=image)], 1)
    assert sheet[:, :TILE].std() > 10


@pytest.mark.parametrize("oriented", [False, True])
def test_a_scan_is_shown_as_radiologists_view_it_and_a_picture_as_it_is(oriented):
    case = micro.micro_case(0, 2, 1)
    labels, image = np.zeros_like(case.labels), np.zeros_like(case.image)
    image[0, -4:, -4:], labels[-4:, -4:] = 100, 1  # of a scan, the patient's right and front
    geometry = Geometry(case.geometry.shape, np.eye(4), spacing_known=oriented)
    sheet = preview_grid([replace(case, labels=labels, image=image, geometry=geometry)], 1)
    half = TILE // 2
    for found in (sheet[:, :TILE, 0] > 128, (sheet == OUTLINE).all(-1)[:, TILE:]):
        assert found[:half, :half].any() == oriented
        assert found[half:, half:].any() != oriented
        assert not found[:half, half:].any()


def test_a_preview_keeps_the_proportions_of_the_slice():
    case = micro.micro_case(0, 2, 1)
    shape = case.geometry.shape
    geometry = Geometry(shape, np.diag([1.0, 4.0 * shape[0] / shape[1], 1.0, 1.0]))
    image = np.ones_like(case.image)
    image[0, 0, 0] = 0
    sheet = preview_grid([replace(case, image=image, labels=np.ones_like(case.labels), geometry=geometry)], 1)
    for found in (sheet[:, :TILE] > 128, sheet[:, TILE:] > 0):
        assert abs(np.count_nonzero(found.any((1, 2))) - TILE) <= 1
        assert abs(np.count_nonzero(found.any((0, 2))) - TILE / 4) <= 2  # an outline lies around what it outlines


def test_an_image_of_one_value_is_black_not_broken():
    case = micro.micro_case(0, 2, 1)
    sheet = preview_grid([replace(case, image=np.full_like(case.image, 7.0))], 1)
    assert not sheet[:, :TILE].any()


def test_a_case_without_labels_has_no_outline_and_one_without_image_nothing_else():
    case = micro.micro_case(0, 3, 1)
    images, labels = replace(case, labels=None), replace(case, image=None)
    both = preview_grid([case, images, labels], 1)
    assert both.shape == (3 * TILE, 2 * TILE, 3)
    _, of_images, of_labels = np.split(both, 3)
    assert np.array_equal(of_images[:, :TILE], of_images[:, TILE:])
    assert not of_labels[:, :TILE].any()
    assert (of_labels[:, TILE:] == OUTLINE).all(-1).any()
    assert np.array_equal(preview_grid([images], 1), of_images[:, :TILE])
    assert np.array_equal(preview_grid([labels], 1), of_labels[:, TILE:])


@pytest.mark.parametrize(
    ("left_out", "shown"),
    [
        ((), "image and, to its right, image with its labels outlined"),
        (("labels",), "image"),
        (("image",), "label map, outlined"),
    ],
)
def test_the_picture_of_previews_says_what_it_shows(left_out, shown, tmp_path, monkeypatch):
    case, kind = replace(micro.micro_case(0, 2, 1), **dict.fromkeys(left_out)), method_class("ddpm")
    monkeypatch.setattr(kind, "preview", lambda _method, count: [case] * count)
    method, path = kind(micro.micro_config("ddpm", kind, 2), micro.fingerprint()), tmp_path / "step.png"
    method.name = "ddpm"
    write_previews(method, path, 250)
    with Image.open(path) as opened:
        picture = np.asarray(opened)
    grid = preview_grid([case] * 8, 4)
    title, below = picture[: -len(grid)], picture[-len(grid) :]
    assert np.array_equal(below, grid)
    assert 0 < (title < 128).all(-1).sum() < title[..., 0].size / 2
    said = preview_title([case] * 8, "ddpm", 250)
    assert said == f"ddpm, step 250: 8 cases sampled in few steps, not selected; each as {shown}"
    assert ImageDraw.Draw(Image.new("RGB", (1, 1))).textlength(said) < grid.shape[1]
