"""Dtypes and their promotion.

The lattice is JAX's: Python scalars are *weak*, they take part as the nodes `i*`, `f*` and
`c*` and so never widen an array. Unlike JAX, 64-bit types need no flag: the dtype asked for is
the dtype given. See https://docs.jax.dev/en/latest/type_promotion.html for the lattice.
"""

from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np

from funcflow.core.config import config
from funcflow.core.errors import DtypeError

bfloat16 = np.dtype(ml_dtypes.bfloat16)
# The tangent type of values that have no derivative (integers, booleans).
float0 = np.dtype([("float0", np.void, 0)])


class extended(np.generic):
    """The category of dtypes that NumPy does not know."""


class prng_key(extended):
    """The category of the dtypes of keys: `fnp.issubdtype(key.dtype, ff.dtypes.prng_key)`."""


_NAMES = {
    "bool": "bool",
    "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64",
    "float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64",
    "complex64": "c64", "complex128": "c128",
}  # fmt: skip
SHORT_NAME = {np.dtype(name): short for name, short in _NAMES.items()}
FROM_SHORT_NAME = {short: dtype for dtype, short in SHORT_NAME.items()}
SHORT_NAME[float0] = "float0"
ALL = tuple(FROM_SHORT_NAME.values())

# What each type may be widened to in one step; "i*", "f*" and "c*" are the weak types.
_EDGES = {
    "bool": ["i*"],
    "i*": ["uint8", "int8"],
    "uint8": ["int16", "uint16"],
    "uint16": ["int32", "uint32"],
    "uint32": ["int64", "uint64"],
    "uint64": ["f*"],
    "int8": ["int16"],
    "int16": ["int32"],
    "int32": ["int64"],
    "int64": ["f*"],
    "f*": ["bfloat16", "float16", "c*"],
    "bfloat16": ["float32"],
    "float16": ["float32"],
    "float32": ["float64", "complex64"],
    "float64": ["complex128"],
    "c*": ["complex64"],
    "complex64": ["complex128"],
    "complex128": [],
}


def _upper_bounds(node: str) -> frozenset[str]:
    return frozenset({node}).union(*(_upper_bounds(wider) for wider in _EDGES[node]))


_UPPER = {node: _upper_bounds(node) for node in _EDGES}


def _join(nodes: frozenset[str]) -> str:
    """The least upper bound: the one common bound that all common bounds lie above."""
    first, *others = (_UPPER[node] for node in nodes)
    common = first.intersection(*others)
    return next(node for node in common if common <= _UPPER[node])


def kind(dtype: np.dtype[Any]) -> str:
    """'b', 'i', 'u', 'f' or 'c' (bfloat16 counts as 'f'); 'V' for float0."""
    return "f" if dtype == bfloat16 else dtype.kind


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether the dtype is real floating point."""
    return kind(dtype) == "f"


def is_complex(dtype: np.dtype[Any]) -> bool:
    """Whether the dtype is complex."""
    return dtype.kind == "c"


def is_inexact(dtype: np.dtype[Any]) -> bool:
    """Whether the dtype is floating point or complex: what can be differentiated."""
    return kind(dtype) in "fc"


def is_integer(dtype: np.dtype[Any]) -> bool:
    """Whether the dtype is a signed or unsigned integer."""
    return dtype.kind in "iu"


def complex_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The complex dtype whose parts hold values of `dtype`."""
    return np.dtype("complex128" if dtype.itemsize >= 8 else "complex64")


def real_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the parts of a complex dtype; a real dtype itself."""
    return np.dtype(f"float{dtype.itemsize * 4}") if dtype.kind == "c" else dtype


def accumulator(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype to sum or multiply up in: float32 for 16-bit floats, else the dtype itself.

    A running sum in 16 bits stops growing after a few hundred terms.
    """
    return np.dtype("float32") if is_float(dtype) and dtype.itemsize == 2 else dtype


def default_float() -> np.dtype[Any]:
    """The dtype of Python floats: float32 unless set otherwise."""
    return config.default_float


def default_int() -> np.dtype[Any]:
    """The dtype of Python ints: int32 unless set otherwise."""
    return config.default_int


def default_complex() -> np.dtype[Any]:
    """The dtype of Python complex numbers."""
    return complex_of(config.default_float)


_SCALARS = {
    bool: lambda: np.dtype(bool),
    int: default_int,
    float: default_float,
    complex: default_complex,
}


def scalar_dtype(scalar_type: Any) -> np.dtype[Any]:
    """The dtype that a Python scalar of this type has where nothing else decides."""
    return _SCALARS[scalar_type]()


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """`dtype` as a supported NumPy dtype.

    Takes dtypes, their names, NumPy's and funcflow's scalar types, and Python's `bool`, `int`,
    `float` and `complex`, which stand for the default dtype of their kind; None is `float`.
    """
    if dtype is None:  # which NumPy takes for its own default
        return default_float()
    if isinstance(dtype, type) and dtype in _SCALARS:
        return _SCALARS[dtype]()
    if dtype == "bfloat16":
        return bfloat16
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise DtypeError(
            f"{dtype!r} is no dtype", mend="pass a name such as 'float32', or fnp.float32"
        ) from None
    if found not in SHORT_NAME:
        raise DtypeError(
            f"the dtype {found} is not supported",
            mend=f"use one of {', '.join(_NAMES)}",
        )
    return found


def _node(dtype: np.dtype[Any], weak: bool) -> str:
    kind_ = kind(dtype)
    return f"{kind_}*" if weak and kind_ in "ifc" else dtype.name


@lru_cache(maxsize=4096)
def _promote(
    types: tuple[tuple[np.dtype[Any], bool], ...], floating: Any, integer: Any
) -> tuple[np.dtype[Any], bool]:
    if len(set(types)) == 1:
        return types[0]
    # weak types among themselves widen as arrays do, and the result is weak
    all_weak = all(weak for _, weak in types)
    node = _join(frozenset(_node(dtype, weak and not all_weak) for dtype, weak in types))
    if node.endswith("*"):
        return {"i*": integer, "f*": floating, "c*": complex_of(floating)}[node], True
    return bfloat16 if node == "bfloat16" else np.dtype(node), all_weak


def promote(*types: tuple[np.dtype[Any], bool]) -> tuple[np.dtype[Any], bool]:
    """The dtype and weak flag of a combination of (dtype, weak) pairs."""
    return _promote(types, config.default_float, config.default_int)
