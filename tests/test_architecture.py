"""The rules of the house that import-linter cannot say by itself."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "octree_protocol": ROOT / "protocol" / "octree_protocol",
    "octree_loader": ROOT / "loader_service" / "octree_loader",
    "octree_client": ROOT / "client" / "octree_client",
}

#: Modules that are pure but for what stands here.
NEARLY_PURE = {
    "octree_protocol.curve_keys": "takes the environment as a default argument",
    "octree_protocol.addresses": "takes the environment as a default argument",
    "octree_loader.config.mistakes": "reads the models of the configuration, and these ask the machine for its memory",
    "octree_client.visuals.shaders": "takes the names of textures from the module that makes them",
}

#: Modules that have nothing but data, and so do not say that they are pure.
PLAIN = {"octree_protocol.errors", "octree_protocol.limits"}


def _modules(package: str) -> dict[str, Path]:
    folder = PACKAGES[package]
    return {
        ".".join(path.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(folder.rglob("*.py"))
    }


def _imported(code: str) -> set[str]:
    """Names of the modules that an interpreter has imported after it has run `code`."""
    report = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return set(json.loads(ran.stdout.splitlines()[-1]))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_contract_of_purity_lists_what_calls_itself_pure(package: str) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    listed = {
        name
        for contract in contracts
        if contract["name"].endswith("is pure")
        for name in contract["source_modules"]
        if name.startswith(package)
    }
    claimed = {
        name
        for name, path in _modules(package).items()
        if "Pure (no I/O)" in path.read_text().split("\n\n", 1)[0] and name not in NEARLY_PURE
    }
    assert listed - PLAIN == claimed


def test_the_protocol_imports_msgspec_and_the_standard_library_only() -> None:
    modules = ", ".join(_modules("octree_protocol"))
    before = _imported("")
    third = {name.partition(".")[0] for name in _imported(f"import {modules}") - before} - set(sys.stdlib_module_names)
    # msgspec takes typing_extensions along where it is installed.
    assert third - {"typing_extensions"} == {"octree_protocol", "msgspec"}


def test_the_client_imports_without_a_window_and_without_the_loader() -> None:
    """Scripts and notebooks read data on machines that have neither Qt nor OpenGL."""
    loaded = {name.partition(".")[0] for name in _imported("import octree_client")}
    assert not loaded & {"PyQt5", "PyQt6", "PySide6", "qtpy", "superqt", "vispy", "OpenGL", "octree_loader"}


def test_the_loader_imports_without_a_window_and_without_the_client() -> None:
    loaded = {name.partition(".")[0] for name in _imported("import octree_loader.cli, octree_loader.worker")}
    assert not loaded & {"PyQt5", "PyQt6", "PySide6", "qtpy", "superqt", "vispy", "OpenGL", "octree_client"}


def _known_by(path: Path, modules: dict[str, Path]) -> set[str]:
    """The modules that a file imports, at its top, in a function, or for its types alone."""
    known = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            known |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            known |= (inner & modules.keys()) or {node.module}
    return known & modules.keys()


@pytest.mark.parametrize("package", ["octree_protocol", "octree_loader"])
def test_no_two_modules_know_each_other(package: str) -> None:
    """Nor in a larger circle: `CycleError` names it."""
    modules = _modules(package)
    TopologicalSorter({name: _known_by(path, modules) for name, path in modules.items()}).prepare()


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_is_called_by_a_name_that_says_nothing(package: str) -> None:
    words = {part for name in _modules(package) for part in name.split(".")}
    assert not words & {"utils", "util", "helpers", "common", "misc", "manager"}
