"""Modules as text: a tree with the shapes of arrays and the numbers of parameters."""

import dataclasses
from typing import Any

from funcflow.core.array import aval_of
from funcflow.core.pytree import tree_leaves
from funcflow.nn.arrays import is_array

_WIDTH = 88
_INDENT = 2


def module_repr(module: Any) -> str:
    """The text of a module; each module in it that takes lines of its own tells its size."""
    return _text(module, 0)


def parameter_count(tree: Any) -> int:
    """How many numbers the parameters of a tree hold: its arrays, but for buffers.

    Example:
        >>> nn.parameter_count(nn.Linear(3, 2, key=ff.random.key(0)))
        8
    """
    if _is_instance(tree):
        fields = [f for f in dataclasses.fields(tree) if not f.metadata]  # no buffer, not static
        return sum(parameter_count(getattr(tree, f.name)) for f in fields)
    leaves = tree_leaves(tree, is_leaf=_is_instance)
    inner = sum(parameter_count(x) for x in leaves if _is_instance(x))
    return inner + sum(aval_of(x).size for x in leaves if is_array(x))


def _is_instance(x: Any) -> bool:
    return dataclasses.is_dataclass(x) and not isinstance(x, type)


def _text(x: Any, depth: int) -> str:
    """The text of anything: on one line if it fits in, else with a line for each part."""
    parts, (opening, closing) = _parts(x)
    if parts is None:
        return _leaf_text(x)
    texts = [name + _text(value, depth + _INDENT) for name, value in parts]
    line = f"{opening}{', '.join(texts)}{closing}"
    if depth + len(line) <= _WIDTH and "\n" not in line:
        return line
    pad = " " * (depth + _INDENT)
    size = f"  # {parameter_count(x):,} parameters" if _is_instance(x) else ""
    lines = "".join(f"{pad}{text},\n" for text in texts)
    return f"{opening}{size}\n{lines}{' ' * depth}{closing}"


def _parts(x: Any) -> tuple[list[tuple[str, Any]] | None, tuple[str, str]]:
    """What a container consists of, each part with the text in front of it, and its brackets."""
    if _is_instance(x):
        named = [(f"{f.name}=", getattr(x, f.name)) for f in dataclasses.fields(x) if _shown(x, f)]
        return named, (f"{type(x).__name__}(", ")")
    if type(x) is dict:
        return [(f"{key!r}: ", value) for key, value in x.items()], ("{", "}")
    if type(x) is list:
        return [("", value) for value in x], ("[", "]")
    if type(x) is tuple:
        return [("", value) for value in x], ("(", ",)" if len(x) == 1 else ")")
    return None, ("", "")


def _shown(x: Any, field: dataclasses.Field[Any]) -> bool:
    """Whether a field is worth a word: a static one with its default value is not."""
    return field.repr and not (
        field.metadata.get("static", False) and getattr(x, field.name) == field.default
    )


def _leaf_text(x: Any) -> str:
    if is_array(x):
        return str(aval_of(x))
    if callable(x) and hasattr(x, "__name__"):
        return x.__name__
    return repr(x)
