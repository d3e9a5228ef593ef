"""The documentation: generated pages are up to date, names are described, examples run."""

import doctest
import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec

import nbclient
import nbformat
import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp

ROOT = Path(__file__).parents[1]
NAMES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "funcflow").rglob("*.py")
)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = load(ROOT / "docs" / "generate.py")


@pytest.mark.parametrize("page", generate.PAGES)
def test_generated_pages_are_up_to_date(page):
    written = (ROOT / "docs" / page).read_text("utf-8")
    assert written == generate.PAGES[page](), "run `python docs/generate.py`"


@pytest.mark.parametrize("name", generate.MODULES)
def test_every_public_name_has_a_docstring(name):
    module = importlib.import_module(generate.MODULES[name])
    assert module.__doc__
    bare = [n for n, value in generate.members(module) if not generate.first_line(value)]
    assert not bare


def documented(module: ModuleType) -> Iterator[tuple[str, str]]:
    """The docstrings of a module, of what it defines, and of the methods of its classes."""
    yield module.__name__, module.__doc__ or ""
    for name, value in vars(module).items():
        if getattr(value, "__module__", None) != module.__name__ or isinstance(value, ParamSpec):
            continue
        yield f"{module.__name__}.{name}", _docstring(value)
        if inspect.isclass(value):
            for attribute, member in vars(value).items():
                yield f"{module.__name__}.{name}.{attribute}", _docstring(member)


def _docstring(value: Any) -> str:
    doc = getattr(value, "__doc__", None)
    return inspect.cleandoc(doc) if isinstance(doc, str) else ""


@pytest.mark.parametrize("name", NAMES)
def test_examples_in_docstrings(name):
    if name.endswith(".strategies"):
        pytest.importorskip("hypothesis")
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    report: list[str] = []
    for place, doc in documented(importlib.import_module(name)):
        test = doctest.DocTestParser().get_doctest(
            doc, {"ff": ff, "fnp": fnp, "nn": ff.nn, "np": np}, place, None, None
        )
        runner.run(test, out=report.append)
    assert not runner.summarize(verbose=False).failed, "".join(report)


@pytest.mark.parametrize("page", ["README.md", "docs/differences-from-jax.md"])
def test_examples_in_pages(page):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    assert blocks
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)


def test_links_between_pages_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([\w./-]+)(?:#[\w-]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_example_is_listed():
    files = {p.name for p in (ROOT / "examples").iterdir() if p.suffix in (".py", ".ipynb")}
    page = (ROOT / "examples" / "README.md").read_text("utf-8")
    assert files == set(re.findall(r"^\| `([\w.]+)`", page, re.MULTILINE))


def shown(cell: Any) -> str:
    """The text below a cell of a notebook: what it printed, and its result."""
    return "".join(
        output["text"] if output.output_type == "stream" else output["data"]["text/plain"]
        for output in cell.get("outputs", ())
    )


def test_notebooks_show_what_they_do():
    for path in (ROOT / "examples").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        stored = [shown(cell) for cell in notebook.cells]
        found = nbclient.NotebookClient(notebook).execute()
        for cell, output in zip(found.cells, stored, strict=True):
            assert output == shown(cell), f"{path.name}, in the cell\n\n{cell.source}"
