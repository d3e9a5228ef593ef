"""The shape of the package: who may import whom, what loads when, and how long a module is."""

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "funcflow"

# Imports point to an earlier line. Folders on one line never import each other.
ORDER = [
    {"core"},
    {"lax"},
    {"transforms", "backends"},
    {"numpy"},
    {"random", "scipy"},
    {"nn", "losses", "optim", "data", "distributed", "interop", "testing"},
    {"train"},
]
RANK = {layer: rank for rank, layers in enumerate(ORDER) for layer in layers}

# Every other module directly in funcflow/, `__init__.py` first of all, composes the layers: it may
# import any of them, and none of them may import it.
COMPOSITION = len(ORDER)

# What may be imported inside a function, since loading it is slow or it comes with an extra.
LAZY_PACKAGES = {
    "numba",
    "llvmlite",
    "scipy",
    "cupy",
    "cupyx",
    "mpi4py",
    "safetensors",
    "sklearn",
    "tensorboardX",
    "tqdm",
    "matplotlib",
    "PIL",
    "einops",
}
# Where a module of funcflow may be loaded at its first use, by an import in a function or by name.
LAZY_LOADERS = {
    "funcflow/__init__.py",
    "funcflow/backends/__init__.py",
    "funcflow/core/backend.py",
    "funcflow/nn/__init__.py",
}

LINES_AT_MOST = 600
MEDIAN_BELOW = 200


class Module(NamedTuple):
    path: Path
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.relative_to(PACKAGE.parent).as_posix()

    @property
    def package(self) -> tuple[str, ...]:
        """The package that relative imports of this module start from."""
        return self.path.relative_to(PACKAGE.parent).parent.parts

    @property
    def layer(self) -> str:
        """The folder (or single file) directly in funcflow/ that this module belongs to."""
        return self.path.relative_to(PACKAGE).parts[0].removesuffix(".py")


class Import(NamedTuple):
    target: str
    line: int
    in_function: bool


MODULES = [Module(p, ast.parse(p.read_text("utf-8"))) for p in sorted(PACKAGE.rglob("*.py"))]


def is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imported_names(node: ast.Import | ast.ImportFrom, package: tuple[str, ...]) -> list[str]:
    """Absolute dotted names. `from a import b` gives `a.b`, whether b is a module or not."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    start = package[: len(package) - node.level + 1] if node.level else ()
    origin = [*start, node.module] if node.module else [*start]
    return [".".join([*origin, alias.name]) for alias in node.names]


def imports(module: Module) -> Iterator[Import]:
    """All imports of a module that run; those for the type checker alone are left out."""

    def walk(node: ast.AST, in_function: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in imported_names(node, module.package):
                yield Import(name, node.lineno, in_function)
        elif isinstance(node, ast.If) and is_type_checking(node.test):
            for child in node.orelse:
                yield from walk(child, in_function)
        else:
            inner = in_function or isinstance(
                node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
            )
            for child in ast.iter_child_nodes(node):
                yield from walk(child, inner)

    yield from walk(module.tree, in_function=False)


def rank(layer: str) -> int:
    return RANK.get(layer, COMPOSITION)


def target_layer(target: str) -> str | None:
    """The layer of an imported name; None outside funcflow, "" for funcflow itself."""
    root, _, rest = target.partition(".")
    return rest.partition(".")[0] if root == "funcflow" else None


def may_import(source: str, target: str) -> bool:
    if source == target or rank(source) == COMPOSITION:
        return True
    return rank(target) < rank(source)


def report(violations: list[str]) -> str:
    return "\n".join(["", *violations])


def test_every_folder_has_a_place_in_the_order():
    folders = {m.layer for m in MODULES if len(m.package) > 1}
    assert not folders - RANK.keys(), "add the new folder to ORDER"


def test_imports_point_to_earlier_layers():
    violations = [
        f"{m.name}:{i.line}: {m.layer} imports {i.target}"
        for m in MODULES
        for i in imports(m)
        if not (i.in_function and m.name in LAZY_LOADERS)
        and (layer := target_layer(i.target)) is not None
        and not may_import(m.layer, layer)
    ]
    assert not violations, report(violations)


def test_no_import_inside_a_function_but_the_listed():
    violations = [
        f"{m.name}:{i.line}: {i.target}"
        for m in MODULES
        for i in imports(m)
        if i.in_function
        and i.target.partition(".")[0] not in LAZY_PACKAGES
        and m.name not in LAZY_LOADERS
    ]
    assert not violations, report(violations)


def test_only_the_lazy_loaders_import_by_name():
    violations = [
        f"{m.name}:{node.lineno}: {ast.unparse(node)}"
        for m in MODULES
        if m.name not in LAZY_LOADERS
        for node in ast.walk(m.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("__import__", "import_module", "importlib.import_module")
    ]
    assert not violations, report(violations)


def test_modules_are_short():
    lines = {m.name: len(m.path.read_text("utf-8").splitlines()) for m in MODULES}
    assert not {name: n for name, n in lines.items() if n > LINES_AT_MOST}
    assert statistics.median(lines.values()) < MEDIAN_BELOW


def test_nothing_is_left_for_later():
    marker = re.compile(r"\b(TODO|FIXME|XXX)\b")
    violations = [
        f"{m.name}:{number}: {line.strip()}"
        for m in MODULES
        for number, line in enumerate(m.path.read_text("utf-8").splitlines(), start=1)
        if marker.search(line)
    ]
    assert not violations, report(violations)


def loaded_by(program: str) -> set[str]:
    """The modules that are loaded when a program ends, in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-c", f"{program}; import sys; print(*sys.modules)"],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stdout.split())


def test_import_loads_nothing_slow():
    loaded = {name.partition(".")[0] for name in loaded_by("import funcflow")}
    slow = loaded & {"numba", "llvmlite", "cupy", "scipy", "jaxtyping"}
    assert not slow


def test_a_program_runs_without_what_shows_it():
    loaded = loaded_by("import funcflow as ff; ff.jit(lambda x: x + 1)(ff.numpy.ones(3))")
    assert "funcflow.backends.numba.runner" in loaded
    shows = {"funcflow.backends.explain", "funcflow.backends.numba.source", "numba", "email"}
    assert not loaded & shows


@pytest.mark.parametrize(
    ("statement", "package", "names"),
    [
        ("import numpy as np", ("funcflow", "lax"), ["numpy"]),
        ("import funcflow.core.trace", ("funcflow", "lax"), ["funcflow.core.trace"]),
        ("from funcflow import lax", ("funcflow", "nn"), ["funcflow.lax"]),
        ("from . import forms", ("funcflow", "lax"), ["funcflow.lax.forms"]),
        ("from .. import core", ("funcflow", "lax"), ["funcflow.core"]),
        (
            "from ..core.aval import a, b",
            ("funcflow", "lax"),
            ["funcflow.core.aval.a", "funcflow.core.aval.b"],
        ),
        ("from ...core import jaxpr", ("funcflow", "backends", "numba"), ["funcflow.core.jaxpr"]),
    ],
)
def test_imports_are_resolved(statement: str, package: tuple[str, ...], names: list[str]):
    node = ast.parse(statement).body[0]
    assert isinstance(node, ast.Import | ast.ImportFrom)
    assert imported_names(node, package) == names


@pytest.mark.parametrize(
    ("source", "target", "allowed"),
    [
        ("lax", "core", True),
        ("lax", "lax", True),
        ("core", "lax", False),
        ("transforms", "backends", False),
        ("backends", "transforms", False),
        ("nn", "optim", False),
        ("train", "nn", True),
        ("nn", "", False),
        ("__init__", "train", True),
        ("core", "errors", False),
    ],
)
def test_the_order_itself(source: str, target: str, allowed: bool):
    assert may_import(source, target) == allowed
