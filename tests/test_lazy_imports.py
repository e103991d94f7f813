"""MONAI is imported quickly where the process is our own, and nothing is hidden afterwards."""

import subprocess
import sys

import pytest

AFTERWARDS = """
import sys
{before}
from medsmith.lazy_imports import import_monai
import_monai()
import_monai()
assert "monai.networks.nets" in sys.modules
assert ("matplotlib" in sys.modules) == {there}, "matplotlib"
import matplotlib.figure
from medsmith.networks import NetworkConfig, UNet
print("built")
"""


@pytest.mark.parametrize(
    ("before", "there"), [("", False), pytest.param("import matplotlib", True, marks=pytest.mark.slow)]
)
def test_what_is_passed_over_can_be_imported_afterwards(before, there):
    ended = subprocess.run(
        [sys.executable, "-c", AFTERWARDS.format(before=before, there=there)], capture_output=True, text=True
    )
    assert (ended.stdout, ended.stderr) == ("built\n", "")


def test_the_process_that_hands_out_cases_loads_no_networks(tmp_path):
    code = """
import sys
from medsmith.cli import main
assert main(["synthesize", "nowhere", "out", "--count", "1", "--workers", "1"]) == 2
print([name for name in ("torch", "monai", "transformers", "matplotlib") if name in sys.modules])
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (ended.stdout, ended.stderr) == (
        "[]\n",
        "nowhere: no folder of this name; shipped weights: lesiondiffusion, lldm, mddpm, pig; train one first\n",
    )
