"""Too little memory: one line and exit code 2, whichever library got none; other errors stay errors."""

import numpy as np
import pytest
import torch

from medsmith.cli import main
from medsmith.cli.terminal import Terminal
from medsmith.errors import is_out_of_memory

LINE = "medsmith: out of memory; free memory, or use smaller settings or fewer workers\n"
MOST = 2**46


def refused(function):
    """The error of a library that is asked for more memory than there are addresses."""
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError


REFUSALS = {
    "Python": lambda: bytearray(MOST * 4),
    "NumPy": lambda: np.empty(MOST),
    "PyTorch": lambda: torch.empty(MOST),
}


def failing(monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(Terminal, "result", fail)
    return ["doctor"]


@pytest.mark.parametrize("library", REFUSALS)
def test_a_library_without_memory_is_one_line(library, monkeypatch, capsys):
    assert main(failing(monkeypatch, refused(REFUSALS[library]))) == 2
    assert capsys.readouterr() == ("", LINE)


def test_a_gpu_without_memory_is_one_line(monkeypatch, capsys):
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert main(failing(monkeypatch, error)) == 2
    assert capsys.readouterr() == ("", LINE)


def test_other_errors_are_not_renamed(monkeypatch):
    mistake = refused(lambda: torch.zeros(2) @ torch.zeros(3))
    assert isinstance(mistake, RuntimeError)
    assert not is_out_of_memory(mistake)
    assert not is_out_of_memory(ValueError("cannot allocate memory"))
    with pytest.raises(RuntimeError) as raised:
        main(failing(monkeypatch, mistake))
    assert raised.value is mistake
