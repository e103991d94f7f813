"""Fixtures that several test files use."""

import os

import pytest


@pytest.fixture
def no_fsync(monkeypatch):
    """Leaves out fsync, which takes most of the time of tests that write many small files."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
