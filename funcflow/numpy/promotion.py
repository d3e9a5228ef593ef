"""What the functions of `funcflow.numpy` do with their arguments before they call `lax`.

Arrays of different dtypes are brought to one, along JAX's lattice (`core.dtypes`). Python scalars
are weak: they follow the arrays. Lists are refused, since converting them element by element is
slow and hides in loops; `fnp.array` does it on request.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import SCALARS, Array, aval_of, is_array_like
from funcflow.core.array import as_array as core_as_array
from funcflow.core.aval import ShapeDtypeStruct
from funcflow.core.eager import keeps_dtype, quiet
from funcflow.core.errors import ArgumentError, LeafTypeError

DType = np.dtype[Any]
Axis = int | Sequence[int] | None

_SCALAR_OF_KIND = {"i": int, "f": float, "c": complex}


def check_arraylike(name: str, *args: Any) -> None:
    """Refuse arguments that are neither arrays nor numbers."""
    for position, x in enumerate(args):
        if not is_array_like(x):
            raise LeafTypeError(
                f"{name}: takes arrays and numbers, got {type(x).__name__} at position {position}",
                mend="convert it with fnp.array(...)",
            )


def refuse_out(name: str, out: Any) -> None:
    """Refuse NumPy's `out=`: arrays are immutable."""
    if out is not None:
        raise ArgumentError(
            f"{name}: `out` is not supported, since arrays are immutable",
            mend="use the result",
        )


def as_array(name: str, x: Any) -> Array:
    """An argument as an array; NumPy's are copied, Python scalars are weak."""
    check_arraylike(name, x)
    return core_as_array(x)


def lattice_type(x: Any) -> tuple[DType, bool]:
    """The dtype of an array or number and whether it is weak."""
    if isinstance(x, Array):
        return x.dtype, x.weak_type
    if type(x) in SCALARS:
        return dtypes.scalar_dtype(type(x)), type(x) is not bool
    aval = aval_of(x)  # refuses NumPy arrays of strings and objects
    return aval.dtype, aval.weak_type


def convert(x: Any, dtype: DType, weak_type: bool = False) -> Any:
    """`x` in the given dtype, and weak if asked for; arrays of that dtype stay as they are."""
    if isinstance(x, Array):
        if x.dtype == dtype:
            return x
        return lax.convert_element_type_p.bind(x, new_dtype=dtype, weak_type=weak_type)
    if weak_type and type(x) in SCALARS:
        x = _SCALAR_OF_KIND[dtypes.kind(dtype)](x)
        if dtypes.scalar_dtype(type(x)) == dtype:
            return x
    return quiet.run(np.asarray, x, dtype)


def promote(name: str, *args: Any) -> Sequence[Any]:
    """The arguments in their common dtype."""
    first = args[0]
    if isinstance(first, Array):
        dtype = first.dtype
        if all(isinstance(x, Array) and x.dtype == dtype for x in args):
            return args
        if len(args) == 2 and keeps_dtype(first, args[1]):
            return first, convert(args[1], dtype)
    elif len(args) == 2 and isinstance(args[1], Array) and keeps_dtype(args[1], first):
        return convert(first, args[1].dtype), args[1]
    check_arraylike(name, *args)
    dtype, weak = dtypes.promote(*map(lattice_type, args))
    return [convert(x, dtype, weak) for x in args]


def promote_inexact(name: str, *args: Any) -> Sequence[Any]:
    """The arguments in their common dtype; integers and booleans become floats."""
    args = tuple(promote(name, *args))
    dtype, weak = lattice_type(args[0])
    if dtypes.is_inexact(dtype):
        return args
    return [convert(x, inexact_dtype(dtype, weak), weak) for x in args]


def promote_numeric(name: str, *args: Any) -> Sequence[Any]:
    """The arguments in their common dtype; booleans become integers."""
    args = tuple(promote(name, *args))
    if lattice_type(args[0])[0] != np.bool_:
        return args
    return [convert(x, dtypes.default_int()) for x in args]


def inexact(name: str, x: Any) -> Any:
    """One argument; integers and booleans become floats."""
    return promote_inexact(name, x)[0]


def numeric(name: str, x: Any) -> Any:
    """One argument; booleans become integers."""
    return promote_numeric(name, x)[0]


def inexact_dtype(dtype: DType, weak_type: bool = False) -> DType:
    """The floating dtype in which functions such as `sin` work on integers and booleans."""
    if dtypes.is_inexact(dtype):
        return dtype
    if weak_type:
        return dtypes.default_float()
    return np.dtype("float64" if dtype.itemsize == 8 else "float32")


def is_complex(x: Any) -> bool:
    """Whether an array or number is of complex dtype."""
    return dtypes.is_complex(lattice_type(x)[0])


# --- the public functions on dtypes ----------------------------------------------------------


def _specified(x: Any) -> tuple[DType, bool]:
    """The lattice type of a dtype, its name, an array or a number."""
    if isinstance(x, type) and x in SCALARS:
        return dtypes.scalar_dtype(x), x is not bool
    if is_array_like(x) or isinstance(x, ShapeDtypeStruct):
        return lattice_type(x)
    return dtypes.as_dtype(x), False


def result_type(*args: Any) -> DType:
    """The dtype that an operation on these arrays, numbers and dtypes gives.

    Python scalars, and the types `int`, `float` and `complex`, are weak.

    Example:
        >>> fnp.result_type(fnp.arange(3), 1.5)
        dtype('float32')
    """
    if not args:
        raise ArgumentError("result_type: needs at least one argument", mend="pass one")
    return dtypes.promote(*map(_specified, args))[0]


def promote_types(a: Any, b: Any) -> DType:
    """The smallest dtype that holds the values of both; see `result_type`."""
    return dtypes.promote(_specified(a), _specified(b))[0]


def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """Whether NumPy's rules allow a cast from one dtype to another."""
    return np.can_cast(_specified(from_)[0], dtypes.as_dtype(to), casting=casting)


def issubdtype(arg1: Any, arg2: Any) -> bool:
    """Whether the dtype `arg1` is, or is a kind of, `arg2`, e.g. `fnp.floating`.

    Example:
        >>> fnp.issubdtype(fnp.bfloat16, fnp.floating)
        True
    """
    abstract = isinstance(arg2, type) and arg2 in _ABSTRACT
    category = getattr(arg1, "type", None)  # the dtype of keys is no NumPy dtype
    if isinstance(category, type) and issubclass(category, dtypes.extended):
        return abstract and issubclass(category, arg2)
    if isinstance(arg1, type) and arg1 in _ABSTRACT:
        return abstract and issubclass(arg1, arg2)
    dtype = _any_dtype(arg1)
    if not abstract:
        return dtype == _any_dtype(arg2)
    # NumPy does not know bfloat16 as a floating type
    return issubclass(np.floating if dtype == dtypes.bfloat16 else dtype.type, arg2)


_ABSTRACT = frozenset(
    {
        np.generic,
        np.number,
        np.integer,
        np.signedinteger,
        np.unsignedinteger,
        np.inexact,
        np.floating,
        np.complexfloating,
        np.flexible,
        np.character,
        dtypes.extended,
        dtypes.prng_key,
    }
)


def _any_dtype(x: Any) -> DType:
    return x if isinstance(x, np.dtype) else dtypes.as_dtype(x)


_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether `dtype` is of a kind of the array API standard.

    Args:
        dtype: a dtype.
        kind: `"bool"`, `"signed integer"`, `"unsigned integer"`, `"integral"`, `"real floating"`,
            `"complex floating"`, `"numeric"`, a dtype, or a tuple of these.

    Raises:
        ArgumentError: `kind` is another string.
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if not isinstance(kind, str):
        return _any_dtype(dtype) == _any_dtype(kind)
    if kind not in _KINDS:
        raise ArgumentError(f"isdtype: no kind {kind!r}", mend=f"use one of {', '.join(_KINDS)}")
    return dtypes.kind(_any_dtype(dtype)) in _KINDS[kind]
