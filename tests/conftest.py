"""Fixtures that several test files use."""

import os

import pytest

# Tests work on small tensors: a second thread costs more than it gives, and several times more beside other work.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def no_fsync(monkeypatch):
    """Leaves out fsync, which takes most of the time of tests that write many small files."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
