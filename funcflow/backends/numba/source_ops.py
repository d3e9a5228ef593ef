"""Operations of the loop IR as Python expressions over NumPy scalars.

An expression means the same to Python and to Numba. The two differ in the types of integers: Numba
computes all of them in 64 bits, so results that may overflow a narrower dtype are converted back.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from funcflow.backends.loop_ir import Let
from funcflow.core import dtypes
from funcflow.core.errors import CompileError

# How strongly the outermost operator of an expression binds, weakest first.
CHOICE, NOT, COMPARISON, OR, XOR, AND, SHIFT, SUM, PRODUCT, NEGATIVE, ATOM = range(11)


class Expression(NamedTuple):
    """A piece of Python, and the rank of its outermost operator."""

    text: str
    level: int = ATOM

    def within(self, level: int) -> str:
        """The text, in parentheses unless it binds at least as strongly as `level`."""
        return self.text if self.level >= level else f"({self.text})"


def operation(let: Let, args: list[Expression]) -> Expression:
    """The expression of an operation of given arguments.

    Raises:
        CompileError: there is none.
    """
    write = _WRITERS.get(let.op)
    if write is None:
        raise CompileError(f"kernel_source: there is no Python for the operation {let.op!r}")
    return write(let, args)


def scalar_type(dtype: np.dtype[Any]) -> str:
    """The name of a dtype's scalar type."""
    if dtype.kind == "b":
        return "np.bool_"
    return dtype.name if dtype.kind == "V" else f"np.{dtype.name}"


def literal(value: Any) -> Expression:
    """A number of a dtype, to the last bit."""
    dtype = value.dtype
    if dtype.kind == "b":
        return Expression(str(bool(value)))
    name = scalar_type(dtype)
    if dtype.kind in "iu":
        return Expression(f"{name}({int(value)})")
    if np.isnan(value):
        return Expression(f"{name}({'-' if np.signbit(value) else ''}np.nan)")
    if np.isinf(value):
        return Expression(f"{name}({'-' if value < 0 else ''}np.inf)")
    short = str(value) if dtype.kind == "f" else repr(float(value))
    exact = np.float64(short).astype(dtype) == value
    return Expression(f"{name}({short if exact else repr(float(value))})")


# --- the operators ----------------------------------------------------------------------------

Writer = Callable[[Let, list[Expression]], Expression]


def _converted(dtype: np.dtype[Any], text: str) -> Expression:
    return Expression(f"{scalar_type(dtype)}({text})")


def _wrapped(dtype: np.dtype[Any], expression: Expression) -> Expression:
    """A result that is brought back to its dtype, if Numba computes it in a wider one."""
    narrow = dtype.kind in "iu" and dtype.itemsize < 8
    return _converted(dtype, expression.text) if narrow else expression


def _binary(symbol: str, level: int) -> Writer:
    def write(let: Let, args: list[Expression]) -> Expression:
        x, y = args
        text = f"{x.within(level)} {symbol} {y.within(level + 1)}"
        return _wrapped(let.out.dtype, Expression(text, level))

    return write


def _lattice(of_bools: Writer, of_numbers: Writer) -> Writer:
    """A sum, product or extremum, which for bools is "or" or "and"."""

    def write(let: Let, args: list[Expression]) -> Expression:
        return (of_bools if let.out.dtype.kind == "b" else of_numbers)(let, args)

    return write


def _extremum(of_half: str, of_others: str) -> Writer:
    """Of two zeros NumPy returns the second, but of those in half precision the first."""

    def write(let: Let, args: list[Expression]) -> Expression:
        return _call(of_half if let.out.dtype == np.float16 else of_others)(let, args)

    return write


def _comparison(symbol: str) -> Writer:
    def write(let: Let, args: list[Expression]) -> Expression:
        x, y = (a.within(COMPARISON + 1) for a in args)
        return Expression(f"{x} {symbol} {y}", COMPARISON)

    return write


def _call(function: str) -> Writer:
    def write(let: Let, args: list[Expression]) -> Expression:
        text = f"{function}({', '.join(a.text for a in args)})"
        return _wrapped(let.out.dtype, Expression(text))

    return write


def _double_call(function: str) -> Writer:
    """A function that Python computes in double precision, rounded to the dtype."""

    def write(let: Let, args: list[Expression]) -> Expression:
        return _converted(let.out.dtype, f"{function}({', '.join(a.text for a in args)})")

    return write


def _div(let: Let, args: list[Expression]) -> Expression:
    kind = let.out.dtype.kind
    if kind == "i":
        return _call("quotient")(let, args)
    return _binary("//" if kind == "u" else "/", PRODUCT)(let, args)


def _rem(let: Let, args: list[Expression]) -> Expression:
    kind = let.out.dtype.kind
    if kind == "u":
        return _binary("%", PRODUCT)(let, args)
    return _call("remainder" if kind == "i" else "np.fmod")(let, args)


def _neg(let: Let, args: list[Expression]) -> Expression:
    (x,) = args
    if let.out.dtype.kind == "u":  # minus an unsigned number is signed in Numba
        zero = literal(let.out.dtype.type(0))
        return _binary("-", SUM)(let, [zero, x])
    return _wrapped(let.out.dtype, Expression(f"-{x.within(NEGATIVE)}", NEGATIVE))


def _abs(let: Let, args: list[Expression]) -> Expression:
    return args[0] if let.out.dtype.kind == "u" else _call("abs")(let, args)


def _fma(let: Let, args: list[Expression]) -> Expression:
    if let.out.dtype == np.float64:
        return _call("fma")(let, args)
    return _double_call("narrow_fma")(let, args)


def _not(let: Let, args: list[Expression]) -> Expression:
    (x,) = args
    if let.out.dtype.kind == "b":
        return Expression(f"not {x.within(NOT)}", NOT)
    return _wrapped(let.out.dtype, Expression(f"~{x.within(NEGATIVE)}", NEGATIVE))


def _right_shift(kind: str) -> Writer:
    """A shift of signed ("int") or unsigned ("uint") numbers, whatever those of the operands."""

    def write(let: Let, args: list[Expression]) -> Expression:
        dtype = let.out.dtype
        of = np.dtype(f"{kind}{8 * dtype.itemsize}")
        if dtype != of:
            args = [_converted(of, a.text) for a in args]
        shifted = _binary(">>", SHIFT)(Let(let.out, let.op), args)
        return shifted if dtype == of else _converted(dtype, f"{shifted.text}")

    return write


def _bits(function: str) -> Writer:
    """A function of the bits, as an unsigned number of 64 bits."""

    def write(let: Let, args: list[Expression]) -> Expression:
        dtype = let.out.dtype
        of = np.dtype(f"uint{8 * dtype.itemsize}")
        bits = args[0].text if dtype == of else _converted(of, args[0].text).text
        wide = bits if of.itemsize == 8 else f"np.uint64({bits})"
        extra = f", {8 * dtype.itemsize}" if function == "clz" else ""
        return _converted(dtype, f"{function}({wide}{extra})")

    return write


def _select(let: Let, args: list[Expression]) -> Expression:
    return choice(*args)


def choice(condition: Expression, x: Expression, y: Expression) -> Expression:
    """`x if condition else y`."""
    above = CHOICE + 1
    text = f"{x.within(above)} if {condition.within(above)} else {y.within(above)}"
    return Expression(text, CHOICE)


def _convert(let: Let, args: list[Expression]) -> Expression:
    if let.out.dtype.kind == "b":
        zero = literal(let.args[0].dtype.type(0))
        return Expression(f"{args[0].within(COMPARISON + 1)} != {zero.text}", COMPARISON)
    return _converted(let.out.dtype, args[0].text)


def _bitcast(let: Let, args: list[Expression]) -> Expression:
    # Numba wants to see the conversion, even if the argument has that type
    argument = _converted(let.args[0].dtype, args[0].text)
    return Expression(f"{argument.text}.view({scalar_type(let.out.dtype)})")


def _const(let: Let, args: list[Expression]) -> Expression:
    return literal(let.params["value"])


def _scalar(let: Let, args: list[Expression]) -> Expression:
    return Expression(f"s{let.params['number']}")


def _index(let: Let, args: list[Expression]) -> Expression:
    return Expression(f"np.int64(i{let.params['axis']})")


# --- primitives that were not taken apart -----------------------------------------------------


def _one_over(text: str, let: Let) -> Expression:
    return Expression(f"{literal(let.out.dtype.type(1)).text} / {text}", PRODUCT)


def _rsqrt(let: Let, args: list[Expression]) -> Expression:
    return _one_over(f"np.sqrt({args[0].text})", let)


def _logistic(let: Let, args: list[Expression]) -> Expression:
    one = literal(let.out.dtype.type(1)).text
    return _one_over(f"(np.exp(-{args[0].within(NEGATIVE)}) + {one})", let)


def _pow(let: Let, args: list[Expression]) -> Expression:
    x, y = args
    if let.args[1].dtype != let.out.dtype:
        y = _converted(let.out.dtype, y.text)
    return _call("np.power")(let, [x, y])


def _integer_pow(let: Let, args: list[Expression]) -> Expression:
    y = let.params["y"]
    one = literal(let.out.dtype.type(1)).text
    power = f"integer_power({args[0].text}, {abs(y)}, {one})"
    return _wrapped(let.out.dtype, Expression(power)) if y >= 0 else _one_over(power, let)


def _round(let: Let, args: list[Expression]) -> Expression:
    if let.params["rounding_method"] == 1:  # halves to the even neighbour
        return _call("np.rint")(let, args)
    return _call("rounded_away")(let, [*args, literal(let.out.dtype.type(1))])


def _clamp(let: Let, args: list[Expression]) -> Expression:
    low, x, high = args
    return _MINIMUM(let, [_MAXIMUM(let, [x, low]), high])


_AND, _OR = _binary("&", AND), _binary("|", OR)


def _select_n(let: Let, args: list[Expression]) -> Expression:
    which, *cases = args
    if let.args[0].dtype.kind == "b":
        return choice(which, cases[1], cases[0])
    found = cases[-1]
    for number, case in reversed(list(enumerate(cases[:-1]))):
        found = choice(Expression(f"{which.within(COMPARISON + 1)} == {number}"), case, found)
    return found


_MAXIMUM = _extremum("np.maximum", "maximum")
_MINIMUM = _extremum("np.minimum", "minimum")

# The name of a primitive, and of the function of NumPy that computes it.
_OF_NUMPY = {
    **{
        name: name
        for name in ("exp", "exp2", "expm1", "log", "log1p", "sin", "cos", "tan", "sinh", "cosh")
    },
    **{name: name for name in ("tanh", "cbrt", "sign", "square", "nextafter")},
    **{name: name for name in ("sqrt", "floor", "ceil", "trunc", "rint", "copysign")},
    **{f"a{name}": f"arc{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "tan2")},
    "is_finite": "isfinite",
}

_WRITERS: dict[str, Writer] = {
    "add": _lattice(_OR, _binary("+", SUM)),
    "sub": _binary("-", SUM),
    "mul": _lattice(_AND, _binary("*", PRODUCT)),
    "div": _div,
    "rem": _rem,
    "neg": _neg,
    "abs": _abs,
    "max": _lattice(_OR, _MAXIMUM),
    "min": _lattice(_AND, _MINIMUM),
    "fast_max": _lattice(_OR, _call("max")),
    "fast_min": _lattice(_AND, _call("min")),
    "fma": _fma,
    "and": _AND,
    "or": _OR,
    "xor": _binary("^", XOR),
    "not": _not,
    "shift_left": _binary("<<", SHIFT),
    "shift_right_arithmetic": _right_shift("int"),
    "shift_right_logical": _right_shift("uint"),
    "population_count": _bits("population_count"),
    "clz": _bits("clz"),
    "eq": _comparison("=="),
    "ne": _comparison("!="),
    "lt": _comparison("<"),
    "le": _comparison("<="),
    "gt": _comparison(">"),
    "ge": _comparison(">="),
    "select": _select,
    "convert": _convert,
    "bitcast": _bitcast,
    "const": _const,
    "scalar": _scalar,
    "index": _index,
    **{name: _call(f"np.{function}") for name, function in _OF_NUMPY.items()},
    **{name: _double_call(f"math.{name}") for name in ("erf", "erfc")},
    "lgamma": _double_call("log_gamma"),
    "rsqrt": _rsqrt,
    "logistic": _logistic,
    "pow": _pow,
    "integer_pow": _integer_pow,
    "round": _round,
    "clamp": _clamp,
    "select_n": _select_n,
    "convert_element_type": _convert,
    "bitcast_convert_type": _bitcast,
}


def is_compilable(dtype: np.dtype[Any]) -> bool:
    """Whether Numba has arithmetic of a dtype; it has none of 16-bit floats."""
    return not (dtypes.is_float(dtype) and dtype.itemsize < 4)
