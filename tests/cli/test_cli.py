"""The commands: quick to answer, one line for a mistake, the documentation in step."""

import contextlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from medsmith.cli import main
from medsmith.cli.insertion import InsertionOptions
from medsmith.errors import similar

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "monai", "lightning", "numpy", "scipy", "matplotlib", "nibabel")


def cpu_seconds(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys, contextlib\n"
        "from medsmith.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['train', '--help'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", [[], ["train"], ["report"], ["report", "parse"]])
def test_help_has_a_short_form(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for option in ("-h", "--help"):
        with contextlib.suppress(SystemExit):
            main([*command, option])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert "-h, --help" in said[0]


def test_shells_can_complete(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        main(["--help"])
    assert "--install-completion" in capsys.readouterr().out


def test_help_takes_less_than_half_a_second() -> None:
    assert min(cpu_seconds("-m", "medsmith", "--help") for _ in range(3)) < 0.5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "pig", "nowhere", "--run", "r"], "nowhere: does not exist"),
        (
            ["phantom", "knee", "out"],
            "phantom knee: no such family; "
            "there are breast, chest, chest-healthy, ct, ct-head, ct-head-healthy, ct-healthy, ct-varied, limb-ct, "
            "limb-mr, liver-mr",
        ),
        (["synthesize", "nowhere", "out", "--count", "1"], "nowhere: no folder of this name"),
        (["prepare", "nowhere", "out"], "nowhere: "),
        (["evaluate", "nowhere", "out", "--out", "report"], "nowhere: does not exist"),
        (["prepare", "nowhere", "out", "--label", "lesion"], "--label: 'lesion' has no '='; write name=value"),
        (
            ["prepare", "nowhere", "out", "--label", f"a={'9' * 5000}"],
            f"--label: a={'9' * 40}; a value is a whole number",
        ),
        (["synthesize", "pig", "out", "--count", "0"], "medsmith synthesize: Invalid value for '--count': "),
        (["synthesize", "pig", "out", "--device", "meta"], "device: 'meta' is not known; cpu, cuda, or cuda:INDEX"),
        (
            ["synthesize", "pig", "memory://x"],
            "memory://x: a URL; a cohort is a folder of this machine; add --format sh",
        ),
        (
            ["synthesize", "pig", "out", "--format", "shards", "--dataset-id", "5"],
            "--dataset-id: 5; shards are no folder for nnU-Net; give it to medsmith unpack",
        ),
        (
            ["synthesize", "pig", "out", "--format", "shards", "--shard-cases", "50"],
            "medsmith synthesize: Invalid value for '--shard-cases': ",
        ),
        (
            ["synthesize", "pig", "out", "--executor", "ray", "--workers", "2"],
            "--workers: 2; Ray uses the CPUs of its cluster; leave it out",
        ),
        (["unpack", "nowhere", "out"], "nowhere/shards.json: does not exist; check the path"),
        (["report", "sample"], "medsmith report sample: Missing option '--type'; see medsmith report sample --help"),
        (
            ["report", "sampel"],
            "medsmith report: No such command 'sampel'. Did you mean 'sample'?; see medsmith report",
        ),
        (
            ["train", "pig", "c", "--run", "r", "--steps", "60"],
            "medsmith train: No such option: --steps; did you mean --max-steps or --set or --stage?; the configuration "
            "has --set training.steps=VALUE; see medsmith train --help",
        ),
        (
            ["plan", "pig", "c", "p.json", "--batch", "4"],
            "medsmith plan: No such option: --batch; the configuration has --set training.batch=VALUE; "
            "see medsmith plan --help",
        ),
        (
            ["plan", "pig", "c", "p.json", "--size", "[64,64]"],
            "medsmith plan: No such option: --size; did you mean --quiet or --set?; the configuration has "
            "--set size=VALUE; see medsmith plan --help",
        ),
        (
            ["train", "pig", "c", "--rum", "r"],
            "medsmith train: No such option: --rum; did you mean --from or --run?; see medsmith",
        ),
        (
            ["synthesize", "lesiondiffusion", "out", "--template", "."],
            "--template: '.' is a folder; it takes the id of",
        ),
        (
            ["synthesize", "lesiondifusion", "out"],
            "lesiondifusion: no folder of this name; shipped weights: lesiondiffusion, ",
        ),
        (["describe", "x" * 300], "x" * 300 + ": File name too long; check path and disk"),
        (["--nothing"], "medsmith: No such option: --nothing"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    line = capsys.readouterr().err
    assert line.startswith(said)
    assert line.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["phantom", "Brest", "out"], "breast"),
        (["synthesize", "lesiondifusion", "out"], "lesiondiffusion"),
    ],
)
def test_a_name_that_is_nearly_right_is_answered_by_the_right_one(
    arguments: list[str],
    meant: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert f"did you mean '{meant}'?" in capsys.readouterr().err


def test_the_nearest_name_whatever_its_case_or_another_cure() -> None:
    assert similar("PIGG", ("pig", "ddpm")) == "did you mean 'pig'?"
    assert similar("knee", ("Breast", "ct"), "choose one") == "choose one"
    assert similar("anything", ()) == ""


@pytest.mark.parametrize(
    "arguments", [["split", "loop", "a", "b"], ["merge", "out", "loop", "other"], ["prepare", "loop", "out"]]
)
def test_links_in_a_circle_are_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("circle")
    Path("circle").symlink_to("loop")
    assert main(arguments) == 2
    line = capsys.readouterr().err
    assert line.startswith("loop: ")
    assert line.count("\n") == 1


def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "medsmith", "report", "types"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("M report types 2>&-", 0, ""),
        ("M report types >&-", 0, ""),
        ("M report types | true; exit ${PIPESTATUS[0]}", 0, ""),
        ("M --help | true; exit ${PIPESTATUS[0]}", 0, ""),
        ("M describe nowhere 2>&-", 2, ""),
        ("M describe nowhere 2>/dev/full", 2, ""),
        ("M describe nowhere 2>&1 >&- | true; exit ${PIPESTATUS[0]}", 2, ""),
        ("M describe nowhere <&- >&-", 2, "nowhere: does not exist; check the path\n"),
    ],
)
def test_a_stream_that_is_closed_or_not_read_changes_no_exit_code(line: str, code: int, said: str) -> None:
    command = ["bash", "-c", line.replace("M ", f"{sys.executable} -m medsmith ")]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == code
    assert done.stderr.startswith(said.split(";")[0])
    assert done.stderr.count("\n") == bool(said)


def test_the_work_goes_on_when_nobody_reads_its_messages(tmp_path: Path) -> None:
    """Standard error is closed, so that the first file that is opened must not take its number."""
    line = f"{sys.executable} -m medsmith phantom breast {tmp_path}/out --count 2 --size 32 2>&- | true"
    done = subprocess.run(["bash", "-c", line + "; exit ${PIPESTATUS[0]}"], capture_output=True, check=False)
    assert done.returncode == 0
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["numTraining"] == 2


def test_no_control_character_of_a_name_reaches_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "a\x1b]0;title\x07"
    for name in ("images", "labels"):
        (source / name).mkdir(parents=True)
    with pytest.raises(SystemExit):
        main(["phantom", "breast", str(tmp_path / "phantoms"), "--count", "2", "--size", "32"])
    for index, name in enumerate(("one\x1b[31m", "two\n\x9b1m")):
        for folder, channel in (("images", "_0000"), ("labels", "")):
            made = tmp_path / "phantoms" / f"{folder}Tr" / f"breast-{index:05d}{channel}.png"
            shutil.copy(made, source / folder / f"{name}.png")
    shutil.copy(source / "images" / "one\x1b[31m.png", source / "images" / "three\x1b.png")
    for options in ([], ["--leave-out", "unpaired"], ["--keep", "unpaired"]):
        with contextlib.suppress(SystemExit):
            main(["prepare", str(source), str(tmp_path / f"\x1bout{len(options)}"), *options])
    assert (tmp_path / "\x1bout2" / "dataset.json").exists()
    assert main(["describe", str(tmp_path / "\x1bout2"), "--out", str(tmp_path / "a\rb")]) == 2
    assert main(["repo\x1b[31mrt"]) == 2
    said = capsys.readouterr()
    assert "x1b" in said.err
    assert "x1b" in said.out
    assert set(filter(lambda c: not c.isprintable(), said.out + said.err)) == {"\n"}


@pytest.mark.parametrize(
    ("entry", "options", "expected"),
    [
        (None, (None, None), None),
        (None, (Path("scans"), None), {"cohort": "scans"}),
        (None, (Path("scans"), "a"), {"cohort": "scans", "case": "a"}),
        (None, (None, "a"), {"cohort": None, "case": "a"}),  # refused by the method, as "of no cohort"
        ("old", (None, None), "old"),
        ("old", (None, "a"), {"cohort": "old", "case": "a"}),
        ({"cohort": "old", "case": "b"}, (Path("scans"), None), {"cohort": "scans", "case": "b"}),
    ],
)
def test_options_say_more_of_the_templates_than_the_request_file(
    entry: object, options: tuple[Path | None, str | None], expected: object
) -> None:
    found = InsertionOptions(*options).entries({"templates": entry})
    assert found.get("templates") == expected


def test_what_a_report_does_not_hold_of_the_words_is_part_of_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    words = "a 30 mm cavitating mass with thick wall in the right upper lobe"
    remarks = InsertionOptions(report=words).entries({})["remarks"]
    assert remarks == (
        "'cavitating' is read as presence of decreased density areas: no cavity filled with air is made",
        "set aside: 'thick wall' (a report does not hold it)",
    )
    assert all(remark in capsys.readouterr().err for remark in remarks[:1])
    assert "remarks" not in InsertionOptions(report="a 30 mm cyst in the liver").entries({})


def test_the_list_of_commands_is_in_step() -> None:
    subprocess.run([sys.executable, "docs/write_commands.py", "--check"], check=True, cwd=ROOT)


def test_pages_are_in_the_navigation_and_links_lead_somewhere() -> None:
    subprocess.run([sys.executable, "docs/check_pages.py"], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda copy: (copy / "docs" / "extra.md").write_text("# Extra"), "the navigation lacks docs/extra.md"),
        (lambda copy: (copy / "docs" / "text.md").unlink(), "the navigation names docs/text.md, which is no page"),
        (lambda copy: (copy / "docs" / "lesions.png").unlink(), "README.md: docs/lesions.png leads nowhere"),
        (
            lambda copy: (copy / "docs" / "text.md").write_text("# Text\n[a](reports.md#nowhere)"),
            "docs/text.md: reports.md#nowhere leads nowhere",
        ),
    ],
)
def test_a_fault_of_the_pages_is_said(change: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "mkdocs.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    change(tmp_path)
    done = subprocess.run([sys.executable, "docs/check_pages.py"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr


def test_the_map_names_every_source_file_and_nothing_else() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    block = re.search(r"^```\nsrc/medsmith/\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    named = re.findall(r"^  (\S+)  ", block[1], re.MULTILINE)
    package = ROOT / "src" / "medsmith"
    files = [path.relative_to(package) for path in package.rglob("*") if path.is_file()]
    files = [path for path in files if not any(part.startswith("_") for part in (path.parts[0], *path.parts[:-1]))]
    top = {f"{path.parts[0]}/" if len(path.parts) > 1 else path.name for path in files}
    assert sorted(named) == sorted(top - {"py.typed"})


def test_long_lists_of_public_names_hold() -> None:
    import medsmith

    assert all(hasattr(medsmith, name) for name in medsmith.__all__)


def test_no_machine_path_in_the_tree() -> None:
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=True).stdout.split()
    needle = os.sep + "work" + os.sep
    texts = [ROOT / name for name in listed if Path(name).suffix in {".py", ".md", ".toml", ".txt", ".json"}]
    assert not [path.name for path in texts if path.exists() and needle in path.read_text(errors="ignore")]


def test_describing_nothing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "lesion": 1}, "file_ending": ".nii.gz"}'
    (tmp_path / "dataset.json").write_text(facts)
    assert main(["describe", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"{tmp_path}: has no cases; at least one; give the cohort that holds the scans\n"
