"""Deterministic property tests, and the number of law cases in pytest's summary."""

import importlib
import os
import pkgutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from funcflow.backends.cache import VARIABLE
from funcflow.lax import at_once

# The same examples in every run, and none kept in a folder: a failure is reproduced by rerunning.
# No deadline: an example's first call compiles.
settings.register_profile("funcflow", derandomize=True, database=None, deadline=None)
settings.load_profile("funcflow")

KEY = "law_cases"
collected = pytest.StashKey[int]()


def checked() -> int:
    """The cases of this process; none if no test of it has loaded the laws."""
    compare = sys.modules.get("funcflow.testing.compare")
    return compare.count.cases if compare else 0


def pytest_configure(config: pytest.Config) -> None:
    """Kernels are kept in a folder of the run's own, which its workers and subprocesses share.

    Loops outside of jit are always evaluated: compiled ones are compared with them.
    """
    config.stash[collected] = 0
    at_once.MOST_OPERATIONS = 10**18
    if VARIABLE not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="funcflow-kernels-")
        os.environ[VARIABLE] = folder.name
        config.add_cleanup(folder.cleanup)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist sends its count to the controller."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[KEY] = checked()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The controller adds up what its workers send; one that crashed has sent nothing."""
    node.config.stash[collected] += getattr(node, "workeroutput", {}).get(KEY, 0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    total = config.stash[collected] + checked()
    terminalreporter.write_line(f"{total:,} law cases checked")


@pytest.fixture(scope="session")
def primitives() -> list[Any]:
    """All primitives of the package, by name. Those that tests define do not count."""
    for layer in ("lax", "transforms", "numpy", "random", "nn"):
        package = importlib.import_module(f"funcflow.{layer}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    rules = importlib.import_module("funcflow.core.rules")
    found = [p for p, rule in rules.abstract.items() if rule.__module__.startswith("funcflow.")]
    return sorted(found, key=lambda primitive: primitive.name)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with a file in tests/golden; `--golden` rewrites the file."""

    def check(name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if request.config.getoption("--golden"):
            path.write_text(text, "utf-8")
        assert text == path.read_text("utf-8"), f"{path} differs; pytest --golden rewrites it"

    return check


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="rewrite the texts in tests/golden")
