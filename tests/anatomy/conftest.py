"""A cohort and its shape space, made once."""

import pytest

from anatomy_slices import organ_cohort
from medsmith.anatomy import ShapeSpace, drawing


@pytest.fixture(scope="session")
def organs(tmp_path_factory):
    return organ_cohort(tmp_path_factory.mktemp("organs") / "cohort")


@pytest.fixture(scope="session")
def space(organs):
    return ShapeSpace.fit(organs, points=16)


@pytest.fixture
def few_draws(monkeypatch):
    """Measures the rejection rate on few draws, which takes most of the time of fitting small slices."""
    monkeypatch.setattr(drawing, "_MEASURED_DRAWS", 10)
