"""A folder that looks like nnU-Net's environment: programs that check their inputs and write files as nnU-Net does."""

import os
import sys
from pathlib import Path

PROGRAMS = ("nnUNetv2_plan_and_preprocess", "nnUNetv2_preprocess", "nnUNetv2_train", "nnUNetv2_predict")
_SCRIPT = """#!{python} -IS
import json, os, pathlib, random, shutil, sys
ROOT = pathlib.Path(__file__).resolve().parent.parent
RAW, DONE, RESULTS = (pathlib.Path(os.environ["nnUNet_" + n]) for n in ("raw", "preprocessed", "results"))
assert "PYTHONPATH" not in os.environ
NAME, WORDS = pathlib.Path(__file__).name, sys.argv[1:]
with (ROOT / "calls.txt").open("a") as calls:
    calls.write(json.dumps([NAME, *WORDS]) + "\\n")
def value(flag):
    return WORDS[WORDS.index(flag) + 1]
def named(number):
    (found,) = [p.name for p in RAW.iterdir() if p.name.startswith("Dataset%03d" % int(number))]
    return found
def fail_if_asked():
    asked = ROOT / ("fail_" + NAME)
    if asked.exists():
        words = asked.read_text()
        asked.unlink()
        print("Traceback (most recent call last):\\n  somewhere\\n" + words)
        sys.exit(1 if words else 0)
def raw_cases(dataset):
    declared = json.loads((RAW / dataset / "dataset.json").read_text())
    cases = sorted(p.name.split(".")[0] for p in (RAW / dataset / "labelsTr").iterdir())
    assert len(cases) == declared["numTraining"], (cases, declared)
    for case in cases:
        assert (RAW / dataset / "imagesTr" / (case + "_0000" + declared["file_ending"])).exists(), case
    return cases
def preprocess(dataset, configuration):
    plans = json.loads((DONE / dataset / "nnUNetPlans.json").read_text())
    assert plans["dataset_name"] == dataset, plans
    for name in ("dataset.json", "dataset_fingerprint.json"):
        assert (DONE / dataset / name).exists(), name
    if configuration in plans["configurations"]:
        folder = DONE / dataset / ("nnUNetPlans_" + configuration)
        folder.mkdir(exist_ok=True)
        for case in raw_cases(dataset):
            (folder / (case + ".b2nd")).write_text("")
"""
_PLAN = """
dataset = named(value("-d"))
fail_if_asked()
(DONE / dataset).mkdir(parents=True)
shutil.copy(RAW / dataset / "dataset.json", DONE / dataset)
(DONE / dataset / "dataset_fingerprint.json").write_text(json.dumps({"spacings": [[1.0, 1.0, 1.0]]}))
made = {"dataset_name": dataset, "plans_name": "nnUNetPlans", "configurations": {"2d": {"batch_size": 2}},
        "cases": raw_cases(dataset)}
(DONE / dataset / "nnUNetPlans.json").write_text(json.dumps(made))
preprocess(dataset, value("-c"))
"""
_PREPROCESS = """
assert value("-plans_name") == "nnUNetPlans"
preprocess(named(value("-d")), value("-c"))
"""
_TRAIN = """
dataset, configuration, fold = WORDS[:3]
assert "--c" in WORDS and value("-device") in ("cpu", "cuda")
settings = json.loads(os.environ["MEDSMITH_NNUNET_TRAINING"])
trainer = (pathlib.Path(os.environ["nnUNet_extTrainer"]) / (value("-tr") + ".py")).read_text()
assert "class " + value("-tr") + "(nnUNetTrainer)" in trainer
split = json.loads((DONE / dataset / "splits_final.json").read_text())[int(fold)]
known = {p.stem for p in (DONE / dataset / ("nnUNetPlans_" + configuration)).iterdir()}
assert set(split["train"]) | set(split["val"]) <= known and not set(split["train"]) & set(split["val"])
folder = RESULTS / dataset / (value("-tr") + "__" + value("-p") + "__" + configuration) / ("fold_" + fold)
(folder / "validation").mkdir(parents=True, exist_ok=True)
latest = folder / "checkpoint_latest.pth"
for epoch in range(int(latest.read_text()) if latest.exists() else 0, settings["epochs"]):
    print("2026-11-30 00:00:00.000001: Epoch %d " % epoch)
    latest.write_text(str(epoch + 1))
    if epoch == 1:
        fail_if_asked()
    print("2026-11-30 00:00:00.000001: Epoch time: 0.1 s ")
share = sum(case.startswith("synthetic-") for case in split["train"]) / len(split["train"])
(folder / "checkpoint_final.pth").write_text(str(share))
found = {"foreground_mean": {"Dice": 0.5 + 0.1 * share}}
(folder / "validation" / "summary.json").write_text(json.dumps(found))
"""
_PREDICT = """
fail_if_asked()
folder = RESULTS / value("-d") / (value("-tr") + "__" + value("-p") + "__" + value("-c")) / ("fold_" + value("-f"))
share = float((folder / "checkpoint_final.pth").read_text())
source, target = pathlib.Path(value("-i")), pathlib.Path(value("-o"))
target.mkdir(parents=True)
for number, image in enumerate(sorted(source.iterdir())):
    case, ending = image.name.split("_0000")
    print("\\nPredicting " + case + ":")
    right = share > 0  # with synthetic cases all are right, without them they are those of the case before
    truth = source.parent / "labelsTr" / (case + ending)
    wrong = source.parent / "labelsTr" / (sorted(source.iterdir())[number - 1].name.split("_0000")[0] + ending)
    shutil.copy(truth if right else wrong, target / (case + ending))
"""
_BODIES = dict(zip(PROGRAMS, (_PLAN, _PREPROCESS, _TRAIN, _PREDICT), strict=True))


def fake_environment(folder):
    """An environment whose programs run without torch."""
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("")
    (folder / "lib" / "python3.11" / "site-packages" / "nnunetv2-2.8.1.dist-info").mkdir(parents=True)
    for name, body in _BODIES.items():
        path = folder / "bin" / name
        path.write_text(_SCRIPT.replace("{python}", os.path.realpath(sys.executable)) + body)
        path.chmod(0o755)
    return Path(folder)
