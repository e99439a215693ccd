"""How the modules of src/stepsize may import each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"
FILES = sorted((SRC / "stepsize").rglob("*.py"))
ROOT_MODULES = {"__init__", "__main__", "main", "modules", "testing", "train"}


def dotted(file: Path) -> str:
    return ".".join(file.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


NAMES = {dotted(file): file for file in FILES}


def imports(node: ast.AST) -> Iterator[str]:
    """What importing a module imports; neither in functions nor for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from (found for part in child.orelse for found in imports(part))
        elif not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from imports(child)


def imported_by(name: str) -> set[str]:
    """The modules of this project that ``name`` imports.

    Importing ``a.b.c`` runs ``a`` and ``a.b`` first; but those that hold ``name`` itself are being
    imported already, and count only where ``name`` imports from them.
    """
    found = set()
    for module in imports(ast.parse(NAMES[name].read_text("utf-8"))):
        parts = module.split(".")
        packages = {".".join(parts[:depth]) for depth in range(1, len(parts))}
        found |= {module, *(each for each in packages if not name.startswith(f"{each}."))}
    return found & NAMES.keys() - {name}


GRAPH = {name: imported_by(name) for name in NAMES}


def package(name: str) -> str:
    """``optim`` of ``stepsize.optim.plan``; a module of the root is a package of its own."""
    return (*name.split("."), "")[1]


def cycle(graph: dict[str, set[str]]) -> str:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " -> ".join(error.args[1])
    return ""


def test_no_modules_import_each_other_in_a_cycle():
    assert cycle(GRAPH) == ""


def test_no_packages_import_each_other_in_a_cycle():
    graph: dict[str, set[str]] = {}
    for name, found in GRAPH.items():
        others = {package(other) for other in found} - {package(name), ""}
        graph.setdefault(package(name), set()).update(others)
    graph.pop("")
    assert cycle(graph) == ""


def test_the_root_holds_few_modules():
    assert {file.stem for file in (SRC / "stepsize").glob("*.py")} <= ROOT_MODULES


def test_every_module_has_a_docstring():
    assert [
        name for name in NAMES if not ast.get_docstring(ast.parse(NAMES[name].read_text()))
    ] == []


@pytest.mark.parametrize("name", ["stats", "nets"])
def test_a_bottom_package_imports_nothing_else_of_the_project(name):
    outside = {
        other
        for module, found in GRAPH.items()
        if package(module) == name
        for other in found
        if package(other) not in (name, "")
    }
    assert outside == set()
