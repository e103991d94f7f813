"""One file, one method; the file's name is the method's name."""

import importlib
import pkgutil

from medsmith.errors import RequestError
from medsmith.method import Method


def method_names() -> tuple[str, ...]:
    """Names of all methods, sorted: the files of this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def method_class(name: str) -> type[Method]:
    """The one method that the file ``name`` defines.

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
