"""Fixtures that several test files use."""

import importlib
import os
import signal

import pytest
import torch
from hypothesis import HealthCheck, settings

from medsmith.lazy_imports import import_monai
from training_processes import TrainingServer

# Tests work on small tensors: a second thread costs more than it gives, and several times more beside other work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The first example of a test pays for imports, and a busy machine is slow: time says nothing about the code. The same
# examples are drawn in every call, so that a test fails for a change and not by chance; ``make slow`` draws others.
_TIMELESS = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("medsmith", parent=_TIMELESS, derandomize=True)
settings.register_profile("new-examples", parent=_TIMELESS)
settings.load_profile("medsmith")

# The import hook of jaxtyping (make shapes) compiles whatever a module of medsmith imports first, since it looks for
# bytecode of its own. Imported before the hook is installed, large packages are read from their bytecode.
for package in ("scipy.stats", "scipy.ndimage", "skimage.measure"):
    importlib.import_module(package)
import_monai()


# A shell ignores some signals for what it starts in the background, and medsmith heeds that; tests send these signals.
for _number, _handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    if hasattr(signal, _number) and signal.getsignal(getattr(signal, _number)) is signal.SIG_IGN:
        signal.signal(getattr(signal, _number), _handler)


@pytest.fixture(autouse=True)
def _same_draws():
    """What the generator of the process draws does not depend on the tests before, whose order differs."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def server():
    """Starts once per test process, since it imports everything that training needs."""
    server = TrainingServer()
    yield server
    server.close()


@pytest.fixture(scope="session", autouse=True)
def no_fsync():
    """Leaves out fsync, which takes most of the time of tests that write many small files; no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def unchecked_types(request):
    """Where the types of all arguments are checked in every call, wrong ones never reach the code."""
    if request.config.getoption("jaxtyping_packages", None):
        pytest.skip("the types of arguments are checked before the call")


@pytest.fixture
def unlisted_folders(request):
    """Where the types of all arguments are checked in every call, that lists folders which the code lists later."""
    if request.config.getoption("jaxtyping_packages", None):
        pytest.skip("the check of types lists folders")
