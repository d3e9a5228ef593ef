"""Functions of pytrees as functions of flat lists of arrays, which is what traces work on."""

from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core.array import is_array_like
from funcflow.core.errors import ArgumentError, LeafTypeError, TreeStructureError
from funcflow.core.pytree import (
    PyTreeDef,
    keystr,
    tree_flatten,
    tree_flatten_with_path,
    tree_structure,
)
from funcflow.core.typing import is_tuple


def name_of(function: Callable[..., Any]) -> str:
    """The name to show for a function."""
    # a functools.partial is named after what it calls, unless it was given a name
    inner = function if hasattr(function, "__name__") else getattr(function, "func", function)
    return getattr(inner, "__name__", type(inner).__name__)


def check_leaves(
    tree: Any,
    leaves: Sequence[Any],
    what: str,
    mend: str = "use arrays for data; pass other values as static arguments or by closure",
) -> None:
    """Refuse leaves that are no arrays, naming the first one's key path."""
    if all(map(is_array_like, leaves)):
        return
    for path, leaf in tree_flatten_with_path(tree)[0]:
        if not is_array_like(leaf):
            raise LeafTypeError(
                f"{what}{keystr(path)} is {leaf!r} of type {type(leaf).__name__}, "
                "which is neither an array nor a number",
                mend=mend,
            )


def argument_names(in_tree: PyTreeDef) -> list[str]:
    """What to call each leaf of a call's arguments: `args[0]['w']`, `kwargs['x']`."""
    paths, _ = tree_flatten_with_path(in_tree.unflatten(range(in_tree.num_leaves)))
    return [
        ("args" if group.idx == 0 else "kwargs") + keystr(tuple(path))
        for (group, *path), _ in paths
    ]


def check_function(transform: str, fun: Any) -> None:
    """Refuse to transform what is no function."""
    if not callable(fun):
        raise ArgumentError(
            f"{transform}: the argument fun must be a function, got {fun!r} of type "
            f"{type(fun).__name__}",
            mend=f"pass the function itself, then call the result: ff.{transform}(f)(x)",
        )


def flatten_arguments(
    function: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[Any], PyTreeDef]:
    """The leaves of a call's arguments; each must be an array or a number."""
    leaves, treedef = tree_flatten((args, kwargs))
    if not all(map(is_array_like, leaves)):
        check_leaves(args, tree_flatten(args)[0], f"{function}: the argument args")
        check_leaves(kwargs, tree_flatten(kwargs)[0], f"{function}: the argument kwargs")
    return leaves, treedef


class FlatFunction:
    """`function` of a flat list of leaves; `out_tree` is known after the first call.

    With `has_aux` the function returns a pair, and the second part is kept in `aux`.
    """

    __slots__ = ("aux", "function", "has_aux", "in_tree", "out_tree")

    out_tree: PyTreeDef

    def __init__(
        self, function: Callable[..., Any], in_tree: PyTreeDef, has_aux: bool = False
    ) -> None:
        self.function = function
        self.in_tree = in_tree
        self.has_aux = has_aux
        self.aux: Any = None

    def __call__(self, *leaves: Any) -> list[Any]:
        args, kwargs = self.in_tree.unflatten(leaves)
        out = self.function(*args, **kwargs)
        if self.has_aux:
            if not (is_tuple(out) and len(out) == 2):
                raise TreeStructureError(
                    f"{name_of(self.function)} returned {tree_structure(out)}, "
                    "but has_aux=True needs a pair (result, auxiliary)",
                    mend="return two values, or drop has_aux=True",
                )
            out, self.aux = out
        outs, self.out_tree = tree_flatten(out)
        check_leaves(
            out,
            outs,
            f"the result of {name_of(self.function)}",
            mend="return arrays, numbers and containers of them; None has no leaves",
        )
        return outs
