"""Fails where the site's navigation leaves a page out, or a link of a page leads nowhere; needs no site."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Every page of the site; the benchmarks' other texts are parts of their README."""
    return sorted(
        path for pattern in ("*.md", "docs/**/*.md", "benchmarks/**/README.md") for path in ROOT.glob(pattern)
    )


def anchors(page: Path) -> set[str]:
    """The ends of addresses that its headings have."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def unnamed() -> list[str]:
    """Pages that the navigation leaves out, and names in it that are no page."""
    named = re.findall(r"^ +- [^:#]+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    found = [page.relative_to(ROOT).as_posix() for page in pages()]
    return [f"mkdocs.yml: the navigation lacks {name}" for name in found if name not in named] + [
        f"mkdocs.yml: the navigation names {name}, which is no page" for name in named if name not in found
    ]


def broken(page: Path) -> list[str]:
    """Links of one page to files or headings that are not there."""
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text())):
        name, _, heading = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if "://" in target or (file.exists() and (not heading or heading in anchors(file))):
            continue
        lost.append(f"{page.relative_to(ROOT)}: {target} leads nowhere")
    return lost


def main() -> int:
    """Say what is wrong, a line each."""
    faults = [*unnamed(), *(fault for page in pages() for fault in broken(page))]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
