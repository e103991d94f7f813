"""Settings of the smallest runs, and the state of a run that must not depend on interruptions."""

import hashlib
import json

import micro
from medsmith.methods import method_class
from medsmith.runs.checkpoints import pack
from medsmith.runs.folder import StageCheckpoints
from narrowing import present

# Networks of one level: what is tested is training.
FLAT = ("network.channels=[4]", "network.attention=[false]", "network.groups=2", "network.head_channels=4")


def settings(method="ddpm", *more):
    if method == "adversaries":
        return more
    return (*micro.micro_settings(method, method_class(method), 2), *FLAT, *more)


def state(run):
    """The state of a run that must not depend on interruptions: bytes of tensors and pictures, steps, losses."""
    checkpoints = {}
    for folder in sorted((run / "checkpoints").iterdir()):
        tensors, entry = present(StageCheckpoints(run, folder.name).newest())
        checkpoints[folder.name] = (entry.step, hashlib.sha256(pack(tensors)).hexdigest())
    metrics = run / "metrics.jsonl"  # a run without steps has none
    lines = [json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else []
    losses = [{key: value for key, value in line.items() if key != "seconds"} for line in lines]
    files = [run / "run.json", run / "weights.safetensors", run / "memory.safetensors", run / "manifest.json"]
    pictures = sorted((run / "samples").glob("*.png"))
    bytes_ = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (*files, *pictures)}
    return {"checkpoints": checkpoints, "losses": losses, "files": bytes_}


def strays(run):
    return [path for path in run.rglob("*") if path.name.startswith(".medsmith-")]


def reached(run):
    """Stage -> step of the newest checkpoint; every index and every checkpoint it names must be readable."""
    found = {}
    for folder in (run / "checkpoints").glob("*"):
        newest = StageCheckpoints(run, folder.name).newest()
        if newest is not None:
            found[folder.name] = newest[1].step
    return found
