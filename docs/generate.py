"""Write the pages of docs/ that are made from docstrings: errors.md and api.md.

    python docs/generate.py

A test fails if the pages are not what this script would write.
"""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

DOCS = Path(__file__).parent
NOTE = "<!-- Made by docs/generate.py; do not edit. -->"

# The public modules, as users call them.
MODULES = {
    "ff": "funcflow",
    "ff.lax": "funcflow.lax",
    "ff.lax.linalg": "funcflow.lax.linalg",
    "ff.numpy": "funcflow.numpy",
    "ff.numpy.fft": "funcflow.numpy.fft",
    "ff.numpy.linalg": "funcflow.numpy.linalg",
    "ff.random": "funcflow.random",
    "ff.nn": "funcflow.nn",
    "ff.nn.initializers": "funcflow.nn.initializers",
    "ff.data": "funcflow.data",
    "ff.losses": "funcflow.losses",
    "ff.optim": "funcflow.optim",
    "ff.optim.contrib": "funcflow.optim.contrib",
    "ff.train": "funcflow.train",
    "ff.train.metrics": "funcflow.train.metrics",
    "ff.interop": "funcflow.interop",
    "ff.core": "funcflow.core",
    "ff.tree": "funcflow.tree",
    "ff.tree_util": "funcflow.tree_util",
    "ff.flatten_util": "funcflow.flatten_util",
    "ff.experimental": "funcflow.experimental",
    "ff.debug": "funcflow.debug",
    "ff.dtypes": "funcflow.dtypes",
    "ff.testing": "funcflow.testing",
}


def public_names(module: ModuleType) -> list[str]:
    """What a module offers: `__all__`, or what it defines and what it imports `as` a name."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__, key=_order)
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
    names: set[str] = set()
    lazy = [node for block in tree.body if isinstance(block, ast.If) for node in block.body]
    for node in [*tree.body, *lazy]:
        if isinstance(node, ast.ImportFrom):
            names.update(alias.asname for alias in node.names if alias.asname)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                elements = target.elts if isinstance(target, ast.Tuple) else [target]
                names.update(t.id for t in elements if isinstance(t, ast.Name))
    return sorted((n for n in names if not n.startswith("_")), key=_order)


def _order(name: str) -> tuple[str, str]:
    return name.lower(), name


def members(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The public names of a module that are neither modules nor primitives, and their objects."""
    for name in public_names(module):
        value = getattr(module, name)
        if not inspect.ismodule(value) and not name.endswith("_p"):
            yield name, value


def is_ours(value: Any) -> bool:
    """Whether an object is defined in this package (and not, say, NumPy's)."""
    described = callable(value) or inspect.isclass(value)
    return described and str(getattr(value, "__module__", "")).startswith("funcflow")


def first_line(value: Any) -> str:
    """The first paragraph of an object's docstring; the type of what is not ours."""
    if not is_ours(value):
        kind = value if inspect.isclass(value) else type(value)
        what = "The type" if inspect.isclass(value) else "A value of type"
        return f"{what} `{kind.__module__}.{kind.__qualname__}`.".replace("builtins.", "")
    summary = inspect.cleandoc(value.__doc__ or "").partition("\n\n")[0]
    return " ".join(summary.split())


def api_page() -> str:
    """docs/api.md."""
    lines = ["# Index of names", "", NOTE, ""]
    lines += [
        "Each name's own documentation, with arguments, errors and examples, is its docstring:"
    ]
    lines += ["`help(ff.grad)`. Names that end in `_p` are primitives.", ""]
    for title, name in MODULES.items():
        module = importlib.import_module(name)
        lines += [f"## {title}", "", " ".join((module.__doc__ or "").split("\n\n")[0].split()), ""]
        lines += [f"- `{n}`: {first_line(value)}" for n, value in members(module)]
        lines += [""]
    return "\n".join(lines[:-1]) + "\n"


def errors_page() -> str:
    """docs/errors.md."""
    errors = importlib.import_module("funcflow.errors")
    lines = ["# Errors", "", NOTE, ""]
    lines += [
        "Each message names the function called, what was expected and what arrived, then your",
        "own line, then the mend. Each class derives from the Python exceptions named beside it,",
        "so that `except TypeError` and the like go on working. In the examples, `ff` is",
        "`funcflow`, `fnp` is `funcflow.numpy` and `np` is `numpy`.",
        "",
    ]
    for kind in _by_definition(errors):
        bases = [
            base.__name__
            for base in kind.__bases__
            if base.__name__ not in ("Exception", "FuncflowError")
        ]
        beside = f" ({', '.join(bases)})" if bases else ""
        lines += [f"## {kind.__name__}{beside}", "", *_markdown(kind), ""]
    return "\n".join(lines[:-1]) + "\n"


def _by_definition(errors: ModuleType) -> list[type]:
    classes = [value for name, value in members(errors) if name.endswith("Error")]
    return sorted(classes, key=lambda kind: inspect.getsourcelines(kind)[1])


def _markdown(kind: type) -> list[str]:
    """A docstring's paragraphs; adjacent indented ones become one block of code."""
    blocks: list[str] = []
    for paragraph in inspect.cleandoc(kind.__doc__ or "").split("\n\n"):
        is_code = paragraph.startswith("    ")
        text = "\n".join(line.removeprefix("    ") for line in paragraph.splitlines())
        if is_code and blocks and blocks[-1].startswith("```"):
            blocks[-1] = f"{blocks[-1].removesuffix('```')}\n{text}\n```"
        else:
            blocks.append(f"```python\n{text}\n```" if is_code else text)
    return "\n\n".join(blocks).splitlines()


PAGES = {"api.md": api_page, "errors.md": errors_page}


if __name__ == "__main__":
    for file, page in PAGES.items():
        (DOCS / file).write_text(page(), "utf-8")
