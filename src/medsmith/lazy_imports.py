"""Faster start of medsmith's own processes: workers and commands."""

import importlib
import sys

_SKIPPED = ("matplotlib", "transformers")
"""Optional imports of MONAI that nothing here needs; nearly half of its import time."""


def import_monai() -> None:
    """Import MONAI without large optional packages; they can be imported afterwards.

    MONAI stays without them in this process, so only medsmith's own processes call this: a script that imports medsmith
    gets all of MONAI.
    """
    if "monai" in sys.modules:
        return
    hidden = [name for name in _SKIPPED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: the import system says "not found"
    try:
        importlib.import_module("monai.networks.nets")
    finally:
        for name in hidden:
            del sys.modules[name]
