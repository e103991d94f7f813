"""The examples run, and what they leave is what they say."""

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsmith import Budget, Case, Cohort, load_method, regenerate
from medsmith.geometry import Geometry
from medsmith.methods.lesiondiffusion import LesionDiffusion
from medsmith.phantoms.families import find_family
from medsmith.reports.schema import LesionReport, ScanReport

EXAMPLES = Path(__file__).parents[1] / "examples"
# Eight is the fewest real cases that can be compared.
COUNT = 8


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / name))


@pytest.mark.slow
def test_the_demo_makes_lesions_pairs_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example("demo.py")["main"](tmp_path, COUNT, templates=2, lesions=1, slices=1)
    (described,) = Cohort.open(tmp_path / "described")
    assert described.provenance is not None
    (lesion,) = described.provenance["lesions"]
    assert lesion["visible"]
    assert (lesion["requested"]["organ"], lesion["requested"]["shape"]) == ("liver", ["round-like"])
    assert "Lesions: requested and measured" in (tmp_path / "described" / "lesions.html").read_text()
    made = Cohort.open(tmp_path / "synthetic")
    assert len(made) == COUNT
    assert all(case.synthetic and case.require_labels().any() for case in made)
    assert "Synthetic research data" in (tmp_path / "report" / "evaluation.html").read_text()
    assert str(tmp_path / "report" / "evaluation.html") in capsys.readouterr().out
    assert regenerate(tmp_path / "synthetic", made.ids[0])
    steered = Cohort.open(tmp_path / "steered")
    assert len(steered) == 1
    assert (steered[steered.ids[0]].require_labels() == steered.label_names["nodule"]).any()
    assert "lesion 1" in (tmp_path / "steered" / "guides.html").read_text()
    (volume,) = Cohort.open(tmp_path / "liver")
    assert {name for name, value in volume.label_names.items() if (volume.require_labels() == value).any()} >= {
        "liver", "portal_vein", "hepatic_vein",
    }  # fmt: skip
    assert (tmp_path / "liver.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_starter_weights_are_trained_by_their_example(tmp_path: Path) -> None:
    main = example("train_starter_weights.py")["main"]
    main(tmp_path / "work", tmp_path / "weights", cases=4, budget=Budget(steps=1))
    whole = tmp_path / "work" / "pig" / "weights.safetensors"
    shipped = tmp_path / "weights" / "weights.safetensors"
    assert shipped.stat().st_size < 0.55 * whole.stat().st_size
    assert load_method(tmp_path / "weights").name == "pig"


@pytest.mark.slow
def test_the_weights_of_mddpm_are_trained_by_their_example(tmp_path: Path) -> None:
    example("train_mddpm.py")["main"](tmp_path / "work", tmp_path / "weights", cases=4, budget=Budget(steps=1))
    assert load_method(tmp_path / "weights").name == "mddpm"


@pytest.mark.slow
def test_the_weights_of_lldm_are_trained_by_their_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medsmith.training.stage_loop.write_previews", lambda *_: None)  # minutes of sampling
    example("train_lldm.py")["main"](tmp_path / "work", tmp_path / "weights", cases=4, budget=Budget(steps=1))
    assert load_method(tmp_path / "weights").name == "lldm"


@pytest.mark.slow
def test_the_weights_of_lesiondiffusion_are_trained_by_their_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medsmith.training.stage_loop.write_previews", lambda *_: None)  # forty seconds of drawing
    nodules = example("train_lesiondiffusion.py")
    lidc = Cohort.create(
        tmp_path / "lidc", channel_names=(), label_names={"background": 0, "nodule": 1}, file_ending=".nii.gz"
    )
    for patient in range(4):
        lidc.write(nodule(f"LIDC-IDRI-{patient:04d}_s0001_n01_a00001", diameter_mm=8.0))
    lidc.finish()
    run = nodules["main"](tmp_path / "work", tmp_path / "lidc", phantoms=2, budget=Budget(steps=1))
    assert load_method(run).name == "lesiondiffusion"
    tuning = example("tune_lesiondiffusion.py")
    tuning["main"](tmp_path / "tuning", run, tmp_path / "weights", cases=(2, 1), steps=1)
    tuned = load_method(tmp_path / "weights")
    assert isinstance(tuned, LesionDiffusion)
    assert (tuned.config.paint.edge, tuned.config.paint.origin) == ("reported", "organ")


def test_bare_words_have_no_number_and_rare_ones_come_more_often() -> None:
    bare_copies = example("tune_lesiondiffusion.py")["bare_copies"]
    case = find_family("ct-varied").make(3, "one", 48)
    (lesion,) = ScanReport.model_validate(case.report).lesions
    assert lesion.ct_value_hu is not None
    for organ, density, count in (
        ("liver", "ring enhancement", 3),
        ("liver", "hypodense", 1),
        ("lung", "hypodense", 0),
    ):
        changed = lesion.model_copy(update={"organ": organ, "density": density})
        report = ScanReport(lesions=(changed,)).model_dump(mode="json")
        copies = list(bare_copies(replace(case, report=report)))
        assert [copy.id for copy in copies] == [f"one-{number}" for number in range(count)]
        for copy in copies:
            (found,) = ScanReport.model_validate(copy.report).lesions
            assert found == changed.model_copy(update={"ct_value_hu": None})


def nodule(id: str, diameter_mm: float) -> Case:
    """A ball, as the cohort of LIDC's outlines holds it."""
    place = np.indices((16, 16, 16)) - 7.5
    labels = (np.linalg.norm(place, axis=0) <= diameter_mm / 2).astype(np.uint8)
    report = LesionReport(size_mm=(8.0, 8.0, 8.0), measured={"equivalent_diameter_mm": 8.0, "sphericity": 0.98})
    return Case(
        id=id,
        image=None,
        labels=labels,
        geometry=Geometry(labels.shape, np.eye(4)),
        channel_names=(),
        label_names={"background": 0, "nodule": 1},
        report=ScanReport(lesions=(report,)).model_dump(mode="json"),
    )


def test_shipped_weights_are_small() -> None:
    import medsmith

    shipped = Path(medsmith.__file__).parent / "weights"
    assert sum(path.stat().st_size for path in shipped.rglob("*")) < 40e6
