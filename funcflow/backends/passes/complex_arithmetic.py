"""Operations on complex numbers, by operations on their real and imaginary parts.

The formulas and what they do at infinities are those of NumPy. Sums, products and quotients of
parts are rounded each, where NumPy rounds some of them together, and where it does depends on the
machine. What is missing here is left to Python.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from funcflow.core import dtypes
from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import Atom, JaxprEqn, Literal
from funcflow.core.primitive import Primitive
from funcflow.lax.arithmetic import (
    abs_p,
    add_p,
    div_p,
    integer_pow_p,
    max_p,
    min_p,
    mul_p,
    neg_p,
    sign_p,
    sqrt_p,
    square_p,
    sub_p,
)
from funcflow.lax.bitwise import and_p, or_p
from funcflow.lax.casting import convert_element_type_p
from funcflow.lax.comparison import eq_p, ge_p, gt_p, ne_p, select_n_p
from funcflow.lax.complex import complex_p, conj_p, imag_p, real_p
from funcflow.lax.dot import Numbers, dot_general_p, free_axes
from funcflow.lax.rounding import is_finite_p
from funcflow.lax.shape import reduce_sum_p, reshape_p, transpose_p
from funcflow.lax.transcendental import cos_p, exp_p, sin_p


class Parts(NamedTuple):
    """A complex value."""

    re: Atom
    im: Atom


class Writer(Protocol):
    """Writes equations: `write(add_p, x, y)` is the sum."""

    def __call__(self, primitive: Primitive, *operands: Atom, **params: Any) -> Atom: ...


# By how much an exponent is reduced whose exponential might overflow.
_EXCESS = 16

# From operands, parts or real, and the equation's parameters to the result.
Operation: TypeAlias = Callable[..., Atom | Parts]


def number(value: Any, like: Atom) -> Literal:
    """A number of the real dtype of a value."""
    aval = like.aval
    dtype = dtypes.real_of(aval.dtype)
    return Literal(np.asarray(value, dtype), ShapedArray((), dtype, aval.weak_type))


# --- sums and products ----------------------------------------------------------------------------


def _partwise(primitive: Primitive) -> Operation:
    """The same operation on each of both parts."""

    def operation(write: Writer, *operands: Parts, **params: Any) -> Parts:
        re, im = (write(primitive, *parts, **params) for parts in zip(*operands, strict=True))
        return Parts(re, im)

    return operation


def _conj(write: Writer, x: Parts | Atom) -> Parts:
    if isinstance(x, Parts):
        return Parts(x.re, write(neg_p, x.im))
    return Parts(x, number(0, x))


def _mul(write: Writer, x: Parts, y: Parts) -> Parts:
    re = write(sub_p, write(mul_p, x.re, y.re), write(mul_p, x.im, y.im))
    im = write(add_p, write(mul_p, x.re, y.im), write(mul_p, x.im, y.re))
    return Parts(re, im)


def _square(write: Writer, x: Parts) -> Parts:
    return _mul(write, x, x)


def _div(write: Writer, x: Parts, y: Parts) -> Parts:
    """The quotient by R. L. Smith's formula (CACM 5, 1962), which divides by the larger part."""
    size_re, size_im = (write(abs_p, part) for part in y)
    real_is_larger = write(ge_p, size_re, size_im)

    def ordered(z: Parts) -> tuple[Atom, Atom]:
        """The part of `z` where `y` has its larger one, and the other."""
        larger = write(select_n_p, real_is_larger, z.im, z.re)
        return larger, write(select_n_p, real_is_larger, z.re, z.im)

    (larger, smaller), (first, second) = ordered(y), ordered(x)
    ratio = write(div_p, smaller, larger)
    scale = write(div_p, number(1, y.re), write(add_p, larger, write(mul_p, smaller, ratio)))
    re = write(add_p, first, write(mul_p, second, ratio))
    turned = write(mul_p, first, ratio)
    im = write(
        select_n_p, real_is_larger, write(sub_p, turned, second), write(sub_p, second, turned)
    )
    # a division by zero gives infinities, and NaNs where zero is divided
    is_zero = write(eq_p, write(max_p, size_re, size_im), number(0, y.re))
    found = (
        write(select_n_p, is_zero, write(mul_p, part, scale), write(div_p, whole, size_re))
        for part, whole in zip((re, im), x, strict=True)
    )
    return Parts(*found)


def _integer_pow(write: Writer, x: Parts, *, y: int) -> Parts:
    """Multiply the squares that the bits of `y` name, as for real numbers."""
    one = Parts(number(1, x.re), number(0, x.re))
    if y < 0:
        return _div(write, one, _integer_pow(write, x, y=-y))
    out = None
    while y:
        if y & 1:
            out = x if out is None else _mul(write, out, x)
        y >>= 1
        if y:
            x = _mul(write, x, x)
    return one if out is None else out


# --- magnitudes -----------------------------------------------------------------------------------


def _abs(write: Writer, x: Parts) -> Atom:
    """`sqrt(re^2 + im^2)` without overflow; infinite if a part is, even if the other is NaN."""
    dtype = x.re.aval.dtype
    sizes = [write(abs_p, part) for part in x]
    if dtype == np.float32:
        parts = [_converted(write, size, np.dtype(np.float64)) for size in sizes]
        squares = [write(mul_p, part, part) for part in parts]
        size = _converted(write, write(sqrt_p, write(add_p, *squares)), dtype)
    else:
        larger, smaller = write(max_p, *sizes), write(min_p, *sizes)
        ratio = write(div_p, smaller, larger)
        below_one = write(add_p, write(mul_p, ratio, ratio), number(1, x.re))
        size = write(mul_p, larger, write(sqrt_p, below_one))
        size = _where(write, write(eq_p, larger, number(0, x.re)), larger, size)
    return _where(write, _is_infinite(write, sizes), number(np.inf, x.re), size)


def _sign(write: Writer, x: Parts) -> Parts:
    """`x / |x|`; 0 for 0, and for an infinite part its direction."""
    size = _abs(write, x)
    zero, one = number(0, x.re), number(1, x.re)
    vanishes = write(eq_p, size, zero)
    infinite = write(eq_p, size, number(np.inf, x.re))
    divisor = _where(write, vanishes, one, size)
    along_re, along_im = (_is_infinite(write, [write(abs_p, part)]) for part in x)
    nan = number(np.nan, x.re)
    both = write(and_p, along_re, along_im)
    far_re = _where(write, along_re, write(sign_p, x.re), zero)
    far_im = _where(write, along_re, zero, write(sign_p, x.im))
    parts = (
        _where(
            write,
            infinite,
            _where(write, both, nan, far),
            _where(write, vanishes, zero, write(div_p, part, divisor)),
        )
        for part, far in zip(x, (far_re, far_im), strict=True)
    )
    # a NaN of either part makes both parts NaN
    is_nan = write(ne_p, size, size)
    return Parts(*(_where(write, is_nan, nan, part) for part in parts))


def _is_infinite(write: Writer, sizes: Sequence[Atom]) -> Atom:
    """Whether a magnitude is infinite."""
    first, *rest = (write(eq_p, size, number(np.inf, size)) for size in sizes)
    return write(or_p, first, *rest) if rest else first


# --- functions ------------------------------------------------------------------------------------


def _exp(write: Writer, x: Parts) -> Parts:
    """`exp(re) (cos im + i sin im)`, where a great `exp(re)` is multiplied in two steps."""
    zero, one, infinity = (number(value, x.re) for value in (0, 1, np.inf))
    limit = number(np.log(np.finfo(x.re.aval.dtype).max) - _EXCESS, x.re)
    great = write(gt_p, x.re, limit)
    exponent = _where(write, great, write(sub_p, x.re, number(_EXCESS, x.re)), x.re)
    scale = write(exp_p, exponent)
    rest = _where(write, great, number(np.exp(_EXCESS), x.re), one)
    # what vanishes does so whatever the angle, and what is infinite is so
    has_angle = write(is_finite_p, x.im)
    vanishes = write(eq_p, x.re, number(-np.inf, x.re))
    angle = _where(write, has_angle, x.im, _where(write, vanishes, zero, x.im))
    re = write(mul_p, write(mul_p, scale, write(cos_p, angle)), rest)
    im = write(mul_p, write(mul_p, scale, write(sin_p, angle)), rest)
    grows = write(eq_p, x.re, infinity)
    re = _where(write, has_angle, re, _where(write, grows, infinity, re))
    return Parts(re, _where(write, write(eq_p, angle, zero), angle, im))


# --- comparisons and casts ------------------------------------------------------------------------


def _select(write: Writer, which: Atom, *cases: Parts) -> Parts:
    re, im = (write(select_n_p, which, *parts) for parts in zip(*cases, strict=True))
    return Parts(re, im)


def _eq(write: Writer, x: Parts, y: Parts) -> Atom:
    return write(and_p, write(eq_p, x.re, y.re), write(eq_p, x.im, y.im))


def _ne(write: Writer, x: Parts, y: Parts) -> Atom:
    return write(or_p, write(ne_p, x.re, y.re), write(ne_p, x.im, y.im))


def _convert(
    write: Writer, x: Atom | Parts, *, new_dtype: np.dtype[Any], weak_type: bool
) -> Atom | Parts:
    dtype = dtypes.real_of(new_dtype)
    parts = x if isinstance(x, Parts) else (x,)
    first, *rest = (
        write(convert_element_type_p, part, new_dtype=dtype, weak_type=weak_type) for part in parts
    )
    if not dtypes.is_complex(new_dtype):
        return first
    return Parts(first, *(rest or [number(0, first)]))


def _converted(write: Writer, x: Atom, dtype: np.dtype[Any]) -> Atom:
    return write(convert_element_type_p, x, new_dtype=dtype, weak_type=x.aval.weak_type)


def _where(write: Writer, condition: Atom, x: Atom, y: Atom) -> Atom:
    """`x` where the condition holds, else `y`."""
    return write(select_n_p, condition, y, x)


# --- products without sums ------------------------------------------------------------------------


def _outer(write: Writer, x: Parts, y: Parts, *, dimension_numbers: Numbers, **_: Any) -> Parts:
    """A `dot_general` that contracts nothing: products of all pairs of elements of a batch."""
    batch_x, batch_y = dimension_numbers[1]
    free_x, free_y = (
        free_axes(z.re.aval.ndim, (), batch) for z, batch in ((x, batch_x), (y, batch_y))
    )
    before_y = len(batch_y) + len(free_x)

    def arranged(part: Atom, order: Sequence[int], ones: int, place: int) -> Atom:
        """A part with its axes in some order and new ones of extent 1 at some place."""
        shape = [part.aval.shape[axis] for axis in order]
        shape[place:place] = [1] * ones
        turned = write(transpose_p, part, permutation=tuple(order))
        return write(reshape_p, turned, new_sizes=tuple(shape))

    order_x, order_y = (*batch_x, *free_x), (*batch_y, *free_y)
    left = Parts(*(arranged(part, order_x, len(free_y), before_y) for part in x))
    right = Parts(*(arranged(part, order_y, len(free_x), len(batch_y)) for part in y))
    return _mul(write, left, right)


def operation_of(eqn: JaxprEqn) -> Operation | None:
    """How an equation is computed on parts, or None where it is not."""
    if eqn.primitive is dot_general_p:
        (contracted, _), _ = eqn.params["dimension_numbers"]
        alike = len({v.aval.dtype for v in (*eqn.invars, *eqn.outvars)}) == 1
        return _outer if alike and not contracted else None
    return OPERATIONS.get(eqn.primitive)


OPERATIONS: Mapping[Primitive, Operation] = {
    abs_p: _abs,
    add_p: _partwise(add_p),
    complex_p: lambda write, re, im: Parts(re, im),
    conj_p: _conj,
    convert_element_type_p: _convert,
    div_p: _div,
    eq_p: _eq,
    exp_p: _exp,
    imag_p: lambda write, x: x.im,
    integer_pow_p: _integer_pow,
    mul_p: _mul,
    ne_p: _ne,
    neg_p: _partwise(neg_p),
    real_p: lambda write, x: x.re,
    reduce_sum_p: _partwise(reduce_sum_p),
    select_n_p: _select,
    sign_p: _sign,
    square_p: _square,
    sub_p: _partwise(sub_p),
}
