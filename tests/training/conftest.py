"""Fixtures of the tests of training."""

import pytest

import medsmith.methods
import medsmith.training.previews
import medsmith.training.stage_loop
import micro
import miniatures
from training_lives import Nursery


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return micro.micro_cohort(tmp_path_factory.mktemp("cohort") / "c", count=5)


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def _other_methods(monkeypatch):
    """The methods of the tests beside the shipped ones."""
    folder = miniatures.FOLDER
    monkeypatch.setattr(medsmith.methods, "__path__", [*medsmith.methods.__path__, folder])


@pytest.fixture(autouse=True)
def _small_sheets(monkeypatch):
    monkeypatch.setattr(medsmith.training.previews, "COUNT", 1)
