"""Trees as vectors: inner products, sums, and one out of several trees. None is nothing."""

from typing import Any

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.pytree import tree_leaves, tree_map
from funcflow.core.typing import PyTree
from funcflow.optim.leaves import scaled, working


def inner_product(x: PyTree, y: PyTree) -> Array:
    """The real part of the inner product."""
    pairs = zip(tree_leaves(x), tree_leaves(y), strict=True)
    products = (fnp.vdot(working(a), working(b)).real for a, b in pairs)
    return sum(products, start=fnp.float32(0))


def add_scaled(x: PyTree, factor: Any, y: PyTree) -> PyTree:
    """`x + factor * y`, in the dtypes of `x`."""
    return tree_map(
        lambda a, b: (working(a) + scaled(working(b), factor)).astype(fnp.asarray(a).dtype), x, y
    )


def times(factor: Any, x: PyTree) -> PyTree:
    """`factor * x`, in the dtypes of `x`."""
    return tree_map(lambda a: scaled(working(a), factor).astype(fnp.asarray(a).dtype), x)


def chosen(condition: Any, yes: PyTree, no: PyTree) -> PyTree:
    """One of two trees, by a number that is true or false; in the dtypes of the second."""
    return tree_map(lambda a, b: fnp.where(condition, a, b).astype(fnp.asarray(b).dtype), yes, no)


def real_dtype(tree: PyTree) -> Any:
    """The dtype of inner products of a tree."""
    return fnp.result_type("float32", *(fnp.asarray(x).real.dtype for x in tree_leaves(tree)))
