"""What the site is made of: pages where they lie in the repository, so that their links hold there and on the site."""

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "medsmith"
SHOWN = ("*.md", "docs/**/*.md", "benchmarks/**/README.md")
BESIDE = ("docs/**/*.png", "docs/*.json", "benchmarks/**/*.png", "benchmarks/**/*.json", "docs/site/*.[cj]s*")


def modules() -> list[str]:
    """The package, and what lies directly in it."""
    inside = (path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file())
    return ["medsmith", *(f"medsmith.{name}" for name in sorted(inside) if not name.startswith("_"))]


def _source(module: str) -> Path:
    place = PACKAGE.parent.joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _inside(module: str) -> Iterator[str]:
    """Every public module of a package but its own; names that a package hands on are explained where they are made."""
    if _source(module).name == "__init__.py":
        for path in sorted(_source(module).parent.rglob("*.py")):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            name = ".".join(part for part in parts if part != "__init__")
            if name != module and not name.rpartition(".")[2].startswith("_"):
                yield name


def _page(module: str) -> str:
    """What a module offers, or what the modules of a package do."""
    inside = list(_inside(module))
    bare = "    options:\n      show_root_heading: false\n" + "      members: false\n" * bool(inside)
    return f"# {module}\n\n::: {module}\n{bare}\n" + "\n".join(f"::: {name}\n" for name in inside)


def _home(module: str, name: str) -> str:
    """Where a name that a package hands on is made."""
    handed_on = re.search(rf"^ *from (medsmith\S+) import {name}\b", _source(module).read_text(), re.MULTILINE)
    return _home(handed_on[1], name) if handed_on else f"{module}.{name}"


def _front_page() -> str:
    """The names of ``import medsmith``, each with the place that explains it."""
    names = re.findall(r"^    from \S+ import (\w+) as \w+$", _source("medsmith").read_text(), re.MULTILINE)
    links = "".join(f"- [`medsmith.{name}`][{_home('medsmith', name)}]\n" for name in sorted(names))
    return f"# medsmith\n\n::: medsmith\n    options:\n      show_root_heading: false\n      members: false\n\n{links}"


def _reference(config: MkDocsConfig) -> Iterator[File]:
    """A page for each module."""
    for module in modules():
        text = _front_page() if module == "medsmith" else _page(module)
        yield File.generated(config, f"api/{module}.md", content=text)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name the pages of the reference."""
    assert config.nav is not None
    config.nav.append({"API": [{module: f"api/{module}.md"} for module in modules()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The repository's pages and pictures, and the theme's own files."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    found = sorted({path for pattern in (*SHOWN, *BESIDE) for path in ROOT.glob(pattern)})
    ours = [
        File(path.relative_to(ROOT).as_posix(), str(ROOT), config.site_dir, config.use_directory_urls) for path in found
    ]
    return Files([*theme, *ours, *_reference(config)])
