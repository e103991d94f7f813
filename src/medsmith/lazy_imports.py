"""A quick start for processes that are medsmith's own: workers, and commands."""

import importlib
import sys

_PASSED_OVER = ("matplotlib", "transformers")
"""What MONAI imports where it is installed, for parts that nothing here uses: nearly half of its start."""


def import_monai() -> None:
    """Import MONAI without the large packages that it would take along; they can be imported afterwards.

    What MONAI has missed it goes on missing in this process, so this is nothing for a library to do: a script that
    imports medsmith gets MONAI whole.
    """
    if "monai" in sys.modules:
        return
    hidden = [name for name in _PASSED_OVER if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: the import system says "not found"
    try:
        importlib.import_module("monai.networks.nets")
    finally:
        for name in hidden:
            del sys.modules[name]
