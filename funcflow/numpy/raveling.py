"""Pytrees as vectors: all leaves in one flat array, and back."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array, aval_of
from funcflow.core.aval import Shape
from funcflow.core.errors import DtypeError, ShapeError
from funcflow.core.flatten import check_leaves
from funcflow.core.pytree import PyTree, PyTreeDef, tree_flatten
from funcflow.numpy.promotion import convert, lattice_type


def ravel_pytree(pytree: PyTree) -> tuple[Array, "Unravel"]:
    """All leaves of a pytree in one vector, and the function that makes the pytree of a vector.

    Args:
        pytree: a pytree of arrays and numbers.

    Returns:
        The vector, of the leaves' common dtype (see `result_type`), and `unravel`. It gives the
        leaves their shapes and dtypes back. Where all of them have one dtype, it takes vectors of
        any, and the leaves get that. It compares equal to those of trees of the same kind, so it
        may be a static argument.

    Raises:
        LeafTypeError: a leaf is no array.
        ShapeError, DtypeError: `unravel` gets a vector of another shape or dtype.

    Example:
        >>> flat, unravel = ff.flatten_util.ravel_pytree({"w": fnp.eye(2), "b": 3.0})
        >>> flat
        Array([3., 1., 0., 0., 1.], dtype=float32)
        >>> unravel(2 * flat)["w"]
        Array([[2., 0.],
               [0., 2.]], dtype=float32)
    """
    leaves, treedef = tree_flatten(pytree)
    check_leaves(pytree, leaves, "ravel_pytree: the argument pytree")
    avals = [aval_of(leaf) for leaf in leaves]
    if not leaves:
        dtype = dtypes.default_float()
        return lax.full((0,), 0, dtype), Unravel(treedef, (), (), dtype)
    dtype = dtypes.promote(*map(lattice_type, leaves))[0]
    parts = [
        lax.reshape(convert(leaf, dtype), (math.prod(aval.shape),))
        for leaf, aval in zip(leaves, avals, strict=True)
    ]
    unravel = Unravel(treedef, tuple(a.shape for a in avals), tuple(a.dtype for a in avals), dtype)
    return lax.concatenate(parts, 0), unravel


@dataclass(frozen=True)
class Unravel:
    """The function that cuts a vector into the leaves of a pytree."""

    treedef: PyTreeDef
    shapes: tuple[Shape, ...]
    dtypes: tuple[np.dtype[Any], ...]
    dtype: np.dtype[Any]

    def __call__(self, flat: Any) -> PyTree:
        aval = aval_of(flat)
        sizes = [math.prod(shape) for shape in self.shapes]
        if aval.shape != (sum(sizes),):
            raise ShapeError(
                f"unravel: expected a vector of {sum(sizes)} elements, got the shape {aval.shape}",
                mend="pass a vector like the one that ravel_pytree returned",
            )
        one_dtype = all(dtype == self.dtype for dtype in self.dtypes)
        if aval.dtype != self.dtype and not one_dtype:
            raise DtypeError(
                f"unravel: expected the dtype {self.dtype}, got {aval.dtype}",
                mend=f"convert the vector with x.astype({self.dtype.name!r})",
            )
        kept = (aval.dtype,) * len(sizes) if one_dtype else self.dtypes
        parts = lax.split(flat, sizes) if sizes else []
        leaves = [
            lax.convert_element_type(lax.reshape(part, shape), dtype)
            for part, shape, dtype in zip(parts, self.shapes, kept, strict=True)
        ]
        return self.treedef.unflatten(leaves)
