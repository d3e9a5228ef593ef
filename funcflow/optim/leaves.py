"""How updates are computed leaf by leaf: structure, dtypes, and what the states hold.

Numbers of 16 bits are for storing. All arithmetic on them is done in float32, so that a fused
kernel rounds once, where it writes.
"""

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

import funcflow.numpy as fnp
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, DtypeError, TreeStructureError
from funcflow.core.pytree import (
    KeyPath,
    PyTreeDef,
    keystr,
    structure_difference,
    tree_flatten,
    tree_leaves,
    tree_map_with_path,
)
from funcflow.core.typing import DTypeLike, PyTree

_LARGEST_COUNT = np.iinfo(np.int32).max


def is_none(x: Any) -> bool:
    """Whether `x` stands for a parameter that gets no update."""
    return x is None


# --- structure --------------------------------------------------------------------------------


def _aligned(
    name: str, updates: PyTree, trees: tuple[PyTree, ...]
) -> tuple[list[tuple[Any, ...]], PyTreeDef]:
    """For each update its counterparts in the other trees, and the structure, None being a leaf."""
    leaves, treedef = tree_flatten(updates, is_none)
    columns: list[list[Any]] = [leaves]
    for tree in trees:
        try:
            columns.append(treedef.flatten_up_to(tree))
        except ValueError as error:
            raise TreeStructureError(
                f"{name}: the updates do not match the state or the parameters "
                f"{structure_difference(tree, updates)}",
                mend="pass updates, state and parameters of one structure; init makes the state",
            ) from error
    return list(zip(*columns, strict=True)), treedef


def map_updates(
    name: str, function: Callable[..., Any], updates: PyTree, *trees: PyTree, keep: PyTree = None
) -> PyTree:
    """The tree of `function(update, *counterparts)`; None where the update is, or what `keep` has.

    Raises:
        TreeStructureError: a tree does not have the structure of the updates.
    """
    rows, treedef = _aligned(name, updates, trees)
    kept = [None] * len(rows) if keep is None else treedef.flatten_up_to(keep)
    return treedef.unflatten(
        old if row[0] is None else function(*row) for row, old in zip(rows, kept, strict=True)
    )


def map_with_memory(
    name: str, step: Callable[..., tuple[Any, ...]], updates: PyTree, *memory: PyTree
) -> tuple[PyTree, ...]:
    """New updates and new memories: `step(update, *remembered)` gives one leaf of each.

    Where the update is None it stays None, and what is remembered stays too. All that is stored
    keeps the dtype that it had.

    Raises:
        TreeStructureError: a memory does not have the structure of the updates.
    """
    rows, treedef = _aligned(name, updates, memory)
    results = [row if row[0] is None else _stored(row, step(*row)) for row in rows]
    return tuple(treedef.unflatten(r[i] for r in results) for i in range(1 + len(memory)))


def _stored(row: tuple[Any, ...], result: tuple[Any, ...]) -> tuple[Any, ...]:
    update, *memory = result
    return update, *(new.astype(old.dtype) for new, old in zip(memory, row[1:], strict=True))


# --- dtypes -----------------------------------------------------------------------------------


def working(x: Any) -> Array:
    """`x` as an array in the dtype to compute in: float32 instead of 16 bits."""
    x = fnp.asarray(x)
    return x.astype(dtypes.accumulator(x.dtype))


def scalar(x: Any, dtype: Any) -> Any:
    """A number beside arrays of `dtype`, which it does not widen."""
    return float(x) if isinstance(x, Real) else fnp.asarray(x).astype(dtype)


def scaled(x: Array, factor: Any) -> Array:
    """`x` times a number, in the dtype of `x`."""
    return x * scalar(factor, x.dtype)


def blend(old: Any, new: Array, decay: Any) -> Array:
    """`decay * old + (1 - decay) * new`: a step of an exponential moving average."""
    return scaled(working(old), decay) + scaled(new, 1 - decay)


def squared(x: Array) -> Array:
    """The square of the magnitude, a real number."""
    if dtypes.is_complex(x.dtype):
        return x.real * x.real + x.imag * x.imag
    return x * x


def inverse_root(x: Array) -> Array:
    """`1 / sqrt(x)`, and 0 where `x` is not positive."""
    return fnp.where(x > 0, 1 / fnp.sqrt(fnp.where(x > 0, x, 1)), 0)


# --- states -----------------------------------------------------------------------------------


def memory_like(name: str, params: PyTree, dtype: DTypeLike = None) -> PyTree:
    """Zeros for each parameter, in its shape and dtype, or in the `dtype` given.

    Raises:
        DtypeError: a parameter is neither floating point nor complex.
    """
    return _filled(name, params, lambda own: own if dtype is None else dtype, 0.0)


def squares_like(name: str, params: PyTree, value: float = 0.0) -> PyTree:
    """A real array of at least 32 bits for each parameter, to average squares or magnitudes in.

    In 16 bits an average of squares underflows, and it stops moving when the weight of a new square
    is below its rounding.

    Raises:
        DtypeError: a parameter is neither floating point nor complex.
    """
    return _filled(name, params, lambda own: dtypes.accumulator(dtypes.real_of(own)), value)


def _filled(name: str, params: PyTree, dtype: Callable[[Any], Any], value: float) -> PyTree:
    def memory(path: KeyPath, x: Any) -> Array:
        x = fnp.asarray(x)
        _check_inexact(name, keystr(path), x)
        return fnp.full(x.shape, value, dtype(x.dtype))

    return tree_map_with_path(memory, params)


def _check_inexact(name: str, path: str, x: Array) -> None:
    if not dtypes.is_inexact(x.dtype):
        raise DtypeError(
            f"{name}: {path or 'the parameter'} has the dtype {x.dtype}, which cannot be trained",
            mend="set it to None in what init, update and apply_updates get, or convert it",
        )


def first_count() -> Array:
    """The number of updates made before the first one."""
    return fnp.zeros((), "int32")


def increment(count: Array) -> Array:
    """`count + 1`; the largest count stays as it is."""
    return fnp.where(count < _LARGEST_COUNT, count + 1, count)


def unbiasing(decay: Any, count: Array) -> Array:
    """What an average that began at zero is multiplied by: `1 / (1 - decay**count)`.

    It is found in float64, since `1 - decay**count` loses digits when the decay is close to 1.
    """
    return 1 / (1 - fnp.float64(decay) ** count)


def require_params(name: str, updates: PyTree, params: PyTree) -> None:
    """Check that the parameters were given, which not all transformations need.

    None is the tree of no parameters too, which is right beside no updates.

    Raises:
        ArgumentError: they were not.
    """
    if params is None and tree_leaves(updates):
        raise ArgumentError(
            f"{name}: update needs the parameters, got params=None",
            mend="call update(updates, state, params)",
        )
