"""Methods: one module or package each, whose name is the name of the method. ``base`` has their interface."""

import importlib
import pkgutil

from medsmith.errors import RequestError
from medsmith.methods.base import Method

SHARED = frozenset(("base", "config", "fit", "guides", "one_network"))
"""Modules of this package that are not methods."""


def method_names() -> tuple[str, ...]:
    """Names of all methods, sorted: the modules of this package that are not shared."""
    return tuple(sorted({module.name for module in pkgutil.iter_modules(__path__)} - SHARED))


def method_class(name: str) -> type[Method]:
    """The class of the method ``name``, the only one defined in its module.

    Raises:
        RequestError: there is no such method.
    """
    if name not in method_names():
        raise RequestError(name, "no such method", f"there are {', '.join(method_names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__
    )
    return found
