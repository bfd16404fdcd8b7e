"""What the package imports is what it declares, so that it runs where only its dependencies are installed."""

import ast
import re
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

import nni_nasoa

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest brings this one
    import tomli as tomllib

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
HOSTS = {"typeguard", "IPython"}  # what uses them is not imported without them
EXTRAS = {
    name: lines for name, lines in PROJECT["optional-dependencies"].items() if name not in ("test", "dev")
}


def names(requirements):
    return {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in requirements}


def imported():
    """Top-level packages that are imported anywhere in the package, each with a place."""
    found = {}
    for path in sorted(Path(nni_nasoa.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            found.update({module.partition(".")[0]: f"{path}:{node.lineno}" for module in modules})
    return {
        name: place
        for name, place in found.items()
        if name not in sys.stdlib_module_names | HOSTS | {"nni_nasoa"}
    }


@pytest.fixture(scope="module")
def distributions_of():
    """The names of the distributions that hold a top-level package. (That of importlib.metadata misses
    most before Python 3.11.)
    """
    found = {}
    for distribution in distributions():
        for path in distribution.files or ():
            if path.suffix in (".py", ".so"):
                found.setdefault(path.parts[0].partition(".")[0], set()).add(
                    distribution.name.lower().replace("_", "-")
                )
    return found


@pytest.mark.parametrize("package, place", imported().items())
def test_whatever_is_imported_is_declared(package, place, distributions_of):
    declared = names(PROJECT["dependencies"]).union(*map(names, EXTRAS.values()))
    assert distributions_of[package] & declared, f"{place}: {package} is in {distributions_of[package]}"
