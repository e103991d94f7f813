"""Methods: one module or package each, whose name is the name of the method. ``base`` has their interface."""

import importlib
import pkgutil

from medsmith.errors import RequestError, similar
from medsmith.methods.base import Method
from medsmith.methods.elsewhere import GROUP, load_elsewhere, method_files, only_method
from medsmith.registration import registered_names

SHARED = frozenset(
    ("attributes", "base", "config", "elsewhere", "fit", "given_labels", "guides", "label_maps", "one_network")
)
"""Modules of this package that are not methods."""


def method_names() -> tuple[str, ...]:
    """Names of all methods, sorted: those of this package, of other packages and of files that the user named."""
    return tuple(sorted({*_own_names(), *registered_names(GROUP), *method_files()}))


def _own_names() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(__path__)} - SHARED


def method_class(name: str) -> type[Method]:
    """The class of the method ``name``, the only one defined in its module.

    Raises:
        RequestError: there is no such method, it cannot be imported, several packages register it, or a method from
            elsewhere takes the name of one of this package.
    """
    own = name in _own_names()
    if own and name in {*registered_names(GROUP), *method_files()}:
        raise RequestError(name, "is a method of medsmith and of another source", "one name each", "rename the other")
    if own:
        return only_method(importlib.import_module(f"{__name__}.{name}"), name)
    if name not in method_names():
        cure = similar(name, method_names(), "a method of your own: --method-file FILE")
        raise RequestError(name, "no such method", f"there are {', '.join(method_names())}", cure)
    return load_elsewhere(name)
