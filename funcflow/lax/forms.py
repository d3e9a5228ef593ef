"""The few shapes that most primitives have, so that one is defined in about five lines.

Elementwise primitives broadcast as NumPy does and take arguments of one dtype; Python scalars
take the dtype of the array they meet.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import SCALARS, Array, aval_of, is_array_like, ndim_of
from funcflow.core.aval import ShapedArray, Zero, is_undefined
from funcflow.core.errors import DtypeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONDIFFERENTIABLE, NONLINEAR, Absent, Rule, define
from funcflow.lax.shape import (
    broadcast_shapes_of,
    broadcast_to,
    moveaxis,
    reshape,
    unbroadcast,
)

# What kinds of dtype an operation takes, by the letters of `dtypes.kind`.
FLOATS = "f"
INEXACT = "fc"
NUMBERS = "iufc"
INTEGERS = "iu"
BITS = "biu"
ANY = "biufc"
_KIND_NAMES = {"b": "bool", "i": "signed", "u": "unsigned", "f": "floating", "c": "complex"}

# tangent * d(out)/d(arg): called as partial(tangent, out, *primals, **params)
Partial = Callable[..., Any]


def check_dtype(name: str, aval: ShapedArray, kinds: str) -> None:
    """Refuse an argument whose dtype the operation does not take."""
    if dtypes.kind(aval.dtype) not in kinds:
        allowed = ", ".join(_KIND_NAMES[k] for k in kinds)
        raise DtypeError(
            f"{name}: takes {allowed} dtypes, got {aval}",
            mend="convert the argument with .astype(...)",
        )


def check_same_dtypes(name: str, avals: Sequence[ShapedArray]) -> None:
    """Refuse arguments of different dtypes."""
    first = avals[0].dtype
    for aval in avals:
        if aval.dtype != first:
            raise DtypeError(
                f"{name}: takes arguments of one dtype, got {', '.join(map(str, avals))}",
                mend="convert one argument with .astype(...), or use funcflow.numpy, "
                "which promotes",
            )


def same_dtype(*args: Any) -> tuple[Any, ...]:
    """Give Python scalars among the arguments the dtype of the arrays they meet."""
    dtype = None
    scalars = False
    for x in args:
        if type(x) in SCALARS:
            scalars = True
        elif dtype is None:
            if not is_array_like(x):
                return args  # refused by the primitive, which knows its name
            aval = aval_of(x)
            dtype, weak = aval.dtype, aval.weak_type
    if not scalars:
        return args
    if dtype is None:
        widest = max(map(type, args), key=SCALARS.index)
        return tuple(map(widest, args))
    return tuple(_scalar(x, dtype, weak) if type(x) in SCALARS else x for x in args)


_SCALAR_OF_KIND = {"i": int, "f": float, "c": complex}


def _scalar(x: Any, dtype: np.dtype[Any], weak: bool) -> Any:
    if weak:  # a Python scalar of the right kind keeps the result weak
        scalar_type = _SCALAR_OF_KIND.get(dtype.kind, bool)
        if dtypes.scalar_dtype(scalar_type) == dtype:
            return scalar_type(x)
    return np.asarray(x, dtype)


def elementwise(
    name: str,
    impl: Callable[..., Any],
    *,
    takes: str,
    partials: Sequence[Partial | None] | Absent = NONDIFFERENTIABLE,
    transpose: Rule | Absent = NONLINEAR,
    out_dtype: Callable[[np.dtype[Any]], np.dtype[Any]] | None = None,
) -> Primitive:
    """A primitive that works element by element.

    Args:
        name: the primitive's name.
        impl: `impl(xp, *buffers, **params)`.
        takes: the kinds of dtype it takes, e.g. `INEXACT`.
        partials: for each argument, the tangent times the partial derivative,
            `partial(tangent, out, *primals, **params)`, or None where that is zero.
        transpose: the rule, if the operation is linear.
        out_dtype: the result's dtype from the arguments'; the same by default.
    """
    primitive = Primitive(name)

    def abstract(*avals: ShapedArray, **params: Any) -> ShapedArray:
        first = avals[0]
        shape, dtype, weak = first.shape, first.dtype, first.weak_type
        check_dtype(name, first, takes)
        for other in avals[1:]:
            if other.dtype != dtype:
                check_same_dtypes(name, avals)
            if other.shape != shape:
                shape = broadcast_shapes_of(name, [a.shape for a in avals])
            weak = weak and other.weak_type
        return ShapedArray(shape, dtype if out_dtype is None else out_dtype(dtype), weak)

    define(
        primitive,
        abstract=abstract,
        impl=impl,
        jvp=partials if isinstance(partials, Absent) else partials_jvp(primitive, partials),
        transpose=transpose,
        batch=elementwise_batch(primitive),
    )
    return primitive


def partials_jvp(primitive: Primitive, partials: Sequence[Partial | None]) -> Rule:
    """The forward rule from the partial derivatives."""

    def rule(ctx: Any, primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        out = primitive.bind(*primals, **params)
        aval = out.aval
        total: Any = None
        for partial, tangent in zip(partials, tangents, strict=True):
            if partial is None or type(tangent) is Zero:
                continue
            term = partial(tangent, out, *primals, **params)
            if term.shape != aval.shape:
                term = broadcast_to(term, aval.shape)
            total = term if total is None else _sum(total, term)
        return out, Zero(aval) if total is None else total

    return rule


def _sum(x: Any, y: Any) -> Any:
    return add_p.bind(x, y)


# Primitives whose meaning on arrays is their meaning on scalars, at each position.
ELEMENTWISE: set[Primitive] = set()


def elementwise_batch(primitive: Primitive) -> Rule:
    """Map an elementwise primitive: align the mapped axes in front, let the rest broadcast."""
    ELEMENTWISE.add(primitive)

    def rule(ctx: Any, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
        mapped = {
            (d, ndim_of(x)) for x, d in zip(args, dims, strict=True) if d is not None or ndim_of(x)
        }
        if len(mapped) == 1:  # all at the same place and of the same rank, or scalars
            return primitive.bind(*args, **params), mapped.pop()[0]
        ndim = max(ndim_of(x) - (d is not None) for x, d in zip(args, dims, strict=True))
        aligned = [align(x, d, ndim) for x, d in zip(args, dims, strict=True)]
        return primitive.bind(*aligned, **params), 0

    return rule


def align(x: Any, d: int | None, ndim: int) -> Any:
    """`x` with its mapped axis in front, followed by `ndim` axes (new ones of extent 1 first)."""
    if d is None:
        return x
    x = moveaxis(x, d, 0)
    missing = ndim + 1 - ndim_of(x)
    return reshape(x, (x.shape[0], *[1] * missing, *x.shape[1:])) if missing else x


def unary(
    name: str,
    impl: Callable[..., Any],
    *,
    takes: str,
    derivative: Partial | Absent = NONDIFFERENTIABLE,
    transpose: Rule | Absent = NONLINEAR,
    out_dtype: Callable[[np.dtype[Any]], np.dtype[Any]] | None = None,
) -> Primitive:
    """An elementwise primitive of one argument; `derivative(tangent, out, x)`."""
    partials = derivative if isinstance(derivative, Absent) else [derivative]
    return elementwise(
        name, impl, takes=takes, partials=partials, transpose=transpose, out_dtype=out_dtype
    )


def to_bool(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The result dtype of comparisons."""
    return np.dtype(bool)


# Sums of tangents are the one arithmetic operation that the forms themselves need.


def _add_transpose(ctx: Any, ct: Any, x: Any, y: Any) -> Any:
    return [unbroadcast(ct, a.aval) if is_undefined(a) else None for a in (x, y)]


add_p = elementwise(
    "add",
    lambda xp, x, y: xp.add(x, y),
    takes=ANY,
    partials=[lambda t, out, x, y: t, lambda t, out, x, y: t],
    transpose=_add_transpose,
)


def add(x: Any, y: Any) -> Array:
    """The sum `x + y`, elementwise.

    The arguments have one dtype and shapes that broadcast; for booleans it is "or".

    Example:
        >>> ff.lax.add(fnp.array([1.0, 2.0]), 1.0)
        Array([2., 3.], dtype=float32)
    """
    return add_p.bind(*same_dtype(x, y))
