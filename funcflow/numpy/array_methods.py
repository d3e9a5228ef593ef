"""The operators and methods of arrays: `METHODS`, installed on `Array` by the package.

An operator's short way (see `core.eager`) is the method itself, so that `x + y` costs one call.
"""

import builtins
from collections.abc import Callable
from typing import Any

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array, is_array_like
from funcflow.core.eager import operators
from funcflow.core.errors import LeafTypeError
from funcflow.numpy import (
    arithmetic,
    averages,
    bitwise,
    complex_parts,
    creation,
    cumulative,
    diagonals,
    editing,
    logic,
    manipulation,
    nonzero,
    products,
    reductions,
    rounding,
    selection,
    sorting,
)
from funcflow.numpy.indexing import getitem
from funcflow.numpy.updating import IndexUpdateHelper

Binary = Callable[[Any, Any], Any]


def _defer(function: Binary) -> Binary:
    """Leave operands that are no arrays to their own class; refuse sequences."""

    def operator(x: Any, y: Any) -> Any:
        if isinstance(y, Array) or is_array_like(y):
            return function(x, y)
        if isinstance(y, list | tuple):
            raise LeafTypeError(
                f"{function.__name__}: an array and a {type(y).__name__} do not combine",
                mend="convert it with fnp.array(...)",
            )
        return NotImplemented

    return operator


_ARITHMETIC = {
    "add": arithmetic.add,
    "sub": arithmetic.subtract,
    "mul": arithmetic.multiply,
    "truediv": arithmetic.true_divide,
    "floordiv": arithmetic.floor_divide,
    "mod": arithmetic.remainder,
    "pow": arithmetic.power,
    "matmul": products.matrix_product,
    "and": bitwise.bitwise_and,
    "or": bitwise.bitwise_or,
    "xor": bitwise.bitwise_xor,
    "lshift": bitwise.left_shift,
    "rshift": bitwise.right_shift,
}

# Python reflects a comparison by the opposite one, so these have no reflected methods.
_COMPARISONS = {
    "eq": logic.equal,
    "ne": logic.not_equal,
    "lt": logic.less,
    "le": logic.less_equal,
    "gt": logic.greater,
    "ge": logic.greater_equal,
}


def _special_methods() -> dict[str, Any]:
    methods: dict[str, Any] = {
        "__pos__": arithmetic.positive,
        "__neg__": arithmetic.negative,
        "__abs__": arithmetic.absolute,
        "__invert__": bitwise.invert,
        "__divmod__": _defer(arithmetic.divmod),
        "__rdivmod__": _defer(lambda x, y: arithmetic.divmod(y, x)),
        "__round__": lambda x, ndigits=None: rounding.round(x, ndigits or 0),
        "__getitem__": getitem,
    }
    for name, function in _ARITHMETIC.items():
        methods[f"__{name}__"], methods[f"__r{name}__"] = operators(function, _defer)
    for name, function in _COMPARISONS.items():
        methods[f"__{name}__"] = operators(function, _defer)[0]
    return methods


# --- methods that differ from the function of the same name -----------------------------------


def _astype(self: Array, dtype: Any, copy: bool = False) -> Array:
    """The array converted to another dtype; complex values lose their imaginary part."""
    return creation.astype(self, dtype, copy=copy)


def _reshape(self: Array, *shape: Any, order: str = "C") -> Array:
    """The same elements in another shape, given as one argument or several."""
    return manipulation.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)


def _transpose(self: Array, *axes: Any) -> Array:
    """The axes in another order, given as one argument or several; reversed by default."""
    if len(axes) == 1 and (axes[0] is None or not isinstance(axes[0], int)):
        return manipulation.transpose(self, axes[0])
    return manipulation.transpose(self, axes or None)


def _flatten(self: Array, order: str = "C") -> Array:
    """The elements in one dimension."""
    return manipulation.ravel(self, order=order)


def _compress(
    self: Array, condition: Any, axis: int | None = None, out: None = None, **options: Any
) -> Array:
    """The slices along an axis at which the condition holds; see `fnp.compress`."""
    return selection.compress(condition, self, axis, out=out, **options)


def _clip(self: Array, min: Any = None, max: Any = None) -> Array:
    """The elements limited to the interval from `min` to `max`."""
    return arithmetic.clip(self, min, max)


def _view(self: Array, dtype: Any = None) -> Array:
    """The bytes read as another dtype; the last axis shrinks or grows with its width.

    Raises:
        DtypeError: one of the dtypes is bool or complex.
        ShapeError: the last axis does not fit a wider dtype.
    """
    if dtype is None:
        return self
    new, old = dtypes.as_dtype(dtype), self.dtype
    if new.itemsize <= old.itemsize or not self.ndim:
        out = lax.bitcast_convert_type(self, new)
        if out.ndim == self.ndim:
            return out
        return lax.collapse(out, builtins.max(self.ndim - 1, 0))
    width = new.itemsize // old.itemsize
    pairs = manipulation.reshape(self, (*self.shape[:-1], self.shape[-1] // width, width))
    return lax.bitcast_convert_type(pairs, new)


_NAMED = {
    "all": reductions.all,
    "any": reductions.any,
    "argmax": reductions.argmax,
    "argmin": reductions.argmin,
    "argpartition": sorting.argpartition,
    "argsort": sorting.argsort,
    "astype": _astype,
    "choose": selection.choose,
    "clip": _clip,
    "compress": _compress,
    "conj": complex_parts.conjugate,
    "conjugate": complex_parts.conjugate,
    "copy": creation.copy,
    "cumprod": cumulative.cumprod,
    "cumsum": cumulative.cumsum,
    "diagonal": diagonals.diagonal,
    "dot": products.dot,
    "flatten": _flatten,
    "max": reductions.max,
    "mean": averages.mean,
    "min": reductions.min,
    "nonzero": nonzero.nonzero,
    "prod": reductions.prod,
    "ptp": reductions.ptp,
    "ravel": manipulation.ravel,
    "repeat": editing.repeat,
    "reshape": _reshape,
    "round": rounding.round,
    "searchsorted": sorting.searchsorted,
    "sort": sorting.sort,
    "squeeze": manipulation.squeeze,
    "std": averages.std,
    "sum": reductions.sum,
    "swapaxes": manipulation.swapaxes,
    "take": selection.take,
    "trace": diagonals.trace,
    "transpose": _transpose,
    "var": averages.var,
    "view": _view,
    # attributes
    "T": property(manipulation.transpose),
    "mT": property(manipulation.matrix_transpose),
    "real": property(complex_parts.real),
    "imag": property(complex_parts.imag),
    "at": property(IndexUpdateHelper),
}

METHODS = {**_special_methods(), **_NAMED}
