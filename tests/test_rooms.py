"""The order of the house: no file imports itself by a detour, be it for typing or inside a function."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import nni_nasoa

PACKAGE = Path(nni_nasoa.__file__).parent


def module_name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path, package: Path) -> set[str]:
    """What a file imports anywhere in it: modules, and names of modules that may be modules themselves."""
    here = module_name(path, package).split(".")
    if path.name != "__init__.py":
        here = here[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def check_no_circles(package: Path) -> None:
    """Raise CycleError where files import each other in a circle.

    Packages themselves are left out: they gather names for users, most of them when they are asked for.
    """
    files = {module_name(path, package): path for path in package.rglob("*.py") if path.name != "__init__.py"}
    graph = {name: imported_modules(path, package) & files.keys() for name, path in files.items()}
    TopologicalSorter(graph).prepare()


def test_no_file_imports_itself_by_a_detour():
    check_no_circles(PACKAGE)


@pytest.mark.parametrize(
    "back",
    [
        "from . import one",
        "from house.room.one import name",
        "import house.room.one",
        "def function():\n    from .one import name",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .one import name",
    ],
)
def test_a_circle_is_seen_however_it_is_closed(tmp_path, back):
    room = tmp_path / "house" / "room"
    room.mkdir(parents=True)
    for folder in (room, room.parent):
        (folder / "__init__.py").touch()
    (room / "one.py").write_text("from .two import name")
    (room / "two.py").write_text("from ..three import name")
    (room.parent / "three.py").write_text("import sys")
    check_no_circles(room.parent)
    (room / "two.py").write_text(back)
    with pytest.raises(CycleError):
        check_no_circles(room.parent)
