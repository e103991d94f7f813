"""Processes on several machines continue from the checkpoint that the first of them has found."""

from types import SimpleNamespace

import pytest
import torch

from medsmith.errors import RunError
from medsmith.runs.folder import StageCheckpoints
from medsmith.training import shared_folder
from medsmith.training.agreement import newest_of_the_first

pytestmark = pytest.mark.usefixtures("unchecked_types")


def follower(told):
    """The engine of a process that is not the first, which has told the others something."""
    return SimpleNamespace(
        world_size=2,
        is_global_zero=False,
        device="cpu",
        broadcast=lambda _own: told,
        all_reduce=lambda tensor, reduce_op: tensor,  # noqa: ARG005
    )


@pytest.fixture
def saved(tmp_path):
    checkpoints = StageCheckpoints(tmp_path, "stack")
    checkpoints.save({"weight": torch.ones(2)}, 5, 1.5)
    return checkpoints.entries()[0], next(tmp_path.rglob("step-*.safetensors"))


def test_a_file_that_is_seen_later_than_its_index_is_awaited(saved, tmp_path, monkeypatch):
    entry, path = saved
    late = path.rename(tmp_path / "late")
    monkeypatch.setattr("time.sleep", lambda _seconds: late.rename(path))
    found = newest_of_the_first(follower((entry.model_dump(), None)), StageCheckpoints(tmp_path, "stack"), tmp_path)
    assert found is not None
    assert found[1] == entry
    assert torch.equal(found[0]["weight"], torch.ones(2))


def test_a_file_that_never_comes_is_said_to_be_on_no_shared_folder(saved, tmp_path, monkeypatch):
    entry, path = saved
    path.unlink()
    monkeypatch.setattr(shared_folder, "PATIENCE_SECONDS", -1.0)
    with pytest.raises(RunError, match=r"step-00000005.safetensors is not seen on this machine"):
        newest_of_the_first(follower((entry.model_dump(), None)), StageCheckpoints(tmp_path, "stack"), tmp_path)


def test_before_the_first_checkpoint_there_is_none(tmp_path):
    assert newest_of_the_first(follower((None, None)), StageCheckpoints(tmp_path, "stack"), tmp_path) is None
