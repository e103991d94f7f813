"""Methods outside this package: those that other packages register, and single files.

A package registers a method as an entry point of the group ``medsmith.methods``, whose value is the class or a module
that defines it. A file is named by ``--method-file`` or, for every process of a command, by an environment variable;
its name without ending is that of the method. A run folder names a method, never a file: opening it runs no code that
the user has not chosen.
"""

import importlib.util
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from medsmith.errors import FileError, MethodError, RequestError, is_out_of_memory, printable
from medsmith.formats.atomic import sha256_of
from medsmith.methods.base import Method
from medsmith.registration import registered, registered_version

GROUP, VARIABLE = "medsmith.methods", "MEDSMITH_METHOD_FILES"
_MODULE = "medsmith_method_file_"
_GUIDE = "see docs/add-a-method.md"
_LOADED: dict[str, str] = {}
"""Package or module of every method from elsewhere that this process has loaded -> name of the method."""


def use_method_file(path: Path) -> None:
    """Make the method of a file known to this process and to those that it starts.

    Raises:
        FileError: there is no such file.
        RequestError: its name cannot be that of a method, or is that of another file.
    """
    if not path.is_file():
        raise FileError(path, "no such file", cure="name the Python file of a method")
    if not path.stem.isidentifier() or path.suffix != ".py":
        raise RequestError(path, "no name of a method", "such as my_method.py: letters, digits and _", "rename it")
    known, real = method_files(), path.parent.resolve() / path.name  # the link's name, not that of what it leads to
    if os.pathsep in str(real):
        found, limit = f"its path has a '{os.pathsep}'", f"{VARIABLE} separates files by it"
        raise RequestError(real, found, limit, "move it, or rename that folder")
    if known.get(path.stem, real) != real:
        raise RequestError(path, f"{known[path.stem]} has that name too", "one file per method", "rename one of them")
    os.environ[VARIABLE] = os.pathsep.join(map(str, {**known, path.stem: real}.values()))


def method_files() -> Mapping[str, Path]:
    """Name of the method -> its file."""
    paths = [Path(each) for each in os.environ.get(VARIABLE, "").split(os.pathsep) if each]
    return {path.stem: path for path in paths}


def load_elsewhere(name: str) -> type[Method]:
    """The class of a method of ``method_files``, or of a package.

    Raises:
        RequestError: it cannot be imported, defines no method, or several, or several packages register it.
    """
    path = method_files().get(name)
    point = registered(GROUP, name) if path is None else None
    source = str(path if point is None else point.value)
    try:
        found = _module_of(Path(source)) if point is None else point.load()
    except (Exception, SystemExit) as error:
        # Foreign code may raise anything.
        reason = f"cannot be imported ({type(error).__name__}: {error})"
        raise RequestError(source, reason, f"it defines the method '{name}'", "correct it") from error
    kind = only_method(found, source) if isinstance(found, ModuleType) else found
    if isinstance(kind, type) and issubclass(kind, Method):
        _LOADED[_package(kind.__module__)] = name
        return _complete(kind, source)
    raise RequestError(source, "is no method", "a subclass of medsmith.methods.base.Method", _GUIDE)


def fault_of(error: Exception) -> MethodError | None:
    """What a method from elsewhere raised, as an error that names it and has the traceback as its note.

    An exception that arose outside its code is still the method's where one is in use, most often because of what it
    returned. A failure of the system (``OSError``) is so only if it arose in it, and a lack of memory never.

    Args:
        error: of any kind but medsmith's own.

    Returns:
        None if no method from elsewhere is in use, or the machine has failed rather than the method.
    """
    if not _LOADED or is_out_of_memory(error):
        return None
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    inside = [each for each in frames if _package(each[0].f_globals.get("__name__", "")) in _LOADED]
    if not inside and isinstance(error, OSError):
        return None
    frame, line = (inside or frames)[-1]
    method = _LOADED.get(_package(frame.f_globals.get("__name__", "")), next(reversed(_LOADED.values())))
    text = " ".join(printable(str(error).strip().replace("\n", " ")).split())
    found = f"raised {type(error).__name__}{': ' * bool(text)}{text}"
    place = f"in {Path(frame.f_code.co_filename).name}:{line} ({frame.f_code.co_name})"
    fault = MethodError(f"method {method}", found, place, "correct the method; --verbose shows the traceback")
    fault.add_note("".join(traceback.format_exception(error)).rstrip())
    return fault


def _package(module: str) -> str:
    return module.partition(".")[0]


def _complete(kind: type[Method], source: str) -> type[Method]:
    """The class, once it has all that a method needs."""
    attributes = [name for name in ("Config", "Request", "presets") if not hasattr(kind, name)]
    missing = [*sorted(kind.__abstractmethods__), *attributes]
    if missing:
        raise RequestError(source, f"{kind.__name__} has no {missing[0]}", "every method has one", _GUIDE)
    return kind


def only_method(module: ModuleType, source: str) -> type[Method]:
    """The one method that a module defines.

    Raises:
        RequestError: it defines none, or several.
    """
    kinds = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__
    ]
    if len(kinds) != 1:
        raise RequestError(source, f"defines {len(kinds)} methods", "one per module", _GUIDE)
    return kinds[0]


def version_of(name: str) -> dict[str, str]:
    """What a run records of a method from elsewhere: the hash of its file, or its package and version."""
    if name in method_files():
        return {f"method {name}": sha256_of(method_files()[name])}
    return registered_version(GROUP, name, "method")


def _module_of(path: Path) -> ModuleType:
    name = _MODULE + path.stem
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pydantic look up the module of a class
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
