"""A model's layers as a table."""

from typing import Any

from funcflow.core.aval import ShapeDtypeStruct
from funcflow.core.errors import ArgumentError
from funcflow.core.pytree import keystr, tree_leaves
from funcflow.nn import ModuleCall, parameter_count, watch_calls
from funcflow.transforms.inspect import eval_shape

_HEADINGS = ("layer", "kind", "output", "parameters")


def summary(model: Any, *args: Any) -> str:
    """What each layer of a model gives for some inputs, and how many parameters it has.

    Nothing is computed.

    Args:
        model: a module.
        *args: what it is called with: arrays, or `ff.ShapeDtypeStruct`s.

    Returns:
        A table, a line for each call of a module, in the order in which they begin; modules within
        modules are indented. A module that is called twice has two lines, and counts once.

    Example:
        >>> model = nn.Sequential([nn.Linear(4, 8, key=ff.random.key(0)), nn.relu])
        >>> print(ff.train.summary(model, fnp.ones((32, 4))))
        layer         kind        output     parameters
        -----------------------------------------------
        (model)       Sequential  f32[32,8]          40
          .layers[0]  Linear      f32[32,8]          40
          .layers[1]  Activation  f32[32,8]           0
        -----------------------------------------------
        40 parameters, 160 bytes
    """
    for shape in args:
        if isinstance(shape, tuple) and all(isinstance(n, int) for n in shape):
            raise ArgumentError(
                f"summary: takes inputs of the model, got {shape}",
                mend=f'for a shape, pass ff.ShapeDtypeStruct({shape}, "float32")',
            )
    calls: list[ModuleCall] = []
    with watch_calls(calls.append):
        eval_shape(lambda model, *args: model(*args), model, *args)
    rows = [_row(call) for call in _outer_first(calls)]
    total = f"{parameter_count(model):,} parameters, {_bytes(model):,} bytes"
    return _table(rows, total)


def _outer_first(calls: list[ModuleCall]) -> list[ModuleCall]:
    """The calls in the order of their beginnings; they come in the order of their ends."""
    ordered: list[ModuleCall] = []
    for call in calls:
        inside = 0
        while inside < len(ordered) and _is_within(ordered[-1 - inside], call):
            inside += 1
        ordered.insert(len(ordered) - inside, call)
    return ordered


def _is_within(inner: ModuleCall, outer: ModuleCall) -> bool:
    depth = len(outer.path)
    return len(inner.path) > depth and inner.path[:depth] == outer.path


def _row(call: ModuleCall) -> tuple[str, str, str, str]:
    place = keystr(call.path) or "(model)"
    indent = "  " * sum(1 for key in call.path if hasattr(key, "name"))
    output = ", ".join(str(_described(x)) for x in tree_leaves(call.output))
    return indent + place, type(call.module).__name__, output, f"{parameter_count(call.module):,}"


def _described(x: Any) -> Any:
    return getattr(x, "aval", x)


def _bytes(model: Any) -> int:
    leaves = [x for x in tree_leaves(model) if hasattr(x, "dtype")]
    return sum(ShapeDtypeStruct(x.shape, x.dtype).size * x.dtype.itemsize for x in leaves)


def _table(rows: list[tuple[str, str, str, str]], total: str) -> str:
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    lines = ["  ".join(_padded(row, widths)).rstrip() for row in [_HEADINGS, *rows]]
    rule = "-" * (sum(widths) + 2 * len(widths) - 2)
    return "\n".join([lines[0], rule, *lines[1:], rule, total])


def _padded(row: tuple[str, ...], widths: list[int]) -> list[str]:
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
    return [*cells[:-1], row[-1].rjust(widths[-1])]
