"""Fixtures of the tests of training."""

import shutil

import pytest

import medsmith.methods
import medsmith.training.previews
import medsmith.training.stage_loop
import micro
import toy_method_loader
from medsmith.training import Budget, train
from run_state import settings


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return micro.micro_cohort(tmp_path_factory.mktemp("cohort") / "c", count=5)


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


@pytest.fixture(scope="module")
def finished_run(cohort, tmp_path_factory):
    run = tmp_path_factory.mktemp("finished") / "run"
    train("ddpm", cohort, run, settings=settings(), budget=Budget(steps=4, checkpoint_seconds=0))
    return run


@pytest.fixture
def copied(finished_run, run):
    shutil.copytree(finished_run, run)
    return run


@pytest.fixture
def _other_methods(monkeypatch):
    """The methods of the tests beside the shipped ones."""
    folder = toy_method_loader.FOLDER
    monkeypatch.setattr(medsmith.methods, "__path__", [*medsmith.methods.__path__, folder])


@pytest.fixture(autouse=True)
def _small_sheets(monkeypatch):
    monkeypatch.setattr(medsmith.training.previews, "COUNT", 1)
