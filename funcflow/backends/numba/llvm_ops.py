"""Instruction selection: each operation of `MACHINE_OPS`, per dtype, as LLVM instructions.

A value lives in a register of one scalar or of `lanes` of them. Registers differ from memory for
two dtypes: booleans are `i1` (a byte in memory), and bfloat16 is a `float` that holds a bfloat16
number (LLVM's own bfloat type compiles to calls of foreign functions on many targets). Each
operation on bfloat16 rounds its result, which for `add sub mul div sqrt` is the correctly rounded
one, since float has more than twice its bits.

Some processors have an instruction for one of `SPECIAL_OPS`; `machine_ops` knows.

Where IEEE 754 leaves a choice: of two zeros, max and min return the second, but for float16 the
first. That is what NumPy does on x86-64, and one instruction there; its arm64 build orders zeros.
The payloads of NaNs are not specified, nor are integers converted from floats that are out of
their range.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from funcflow.backends.loop_ir import MACHINE_OPS, SPECIAL_OPS
from funcflow.backends.numba import runtime
from funcflow.core import dtypes

_MEMORY = {
    "bool": "i8", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint8": "i8", "uint16": "i16", "uint32": "i32", "uint64": "i64",
    "float16": "half", "bfloat16": "i16", "float32": "float", "float64": "double",
}  # fmt: skip
_REGISTER = _MEMORY | {"bool": "i1", "bfloat16": "float"}
_LINE = 64  # bytes of a register of AVX-512
_MANGLED = {"half": "f16", "float": "f32", "double": "f64"}


@cache
def memory_type(dtype: np.dtype[Any], lanes: int = 1) -> str:
    """The LLVM type of an element in memory, or of a vector of them."""
    return vector(_MEMORY[dtype.name], lanes)


@cache
def register_type(dtype: np.dtype[Any], lanes: int = 1) -> str:
    """The LLVM type of a value, or of a vector of them."""
    return vector(_REGISTER[dtype.name], lanes)


def vector(element: str, lanes: int) -> str:
    """The type of `lanes` elements; one lane is the element itself."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


def mangled(element: str, lanes: int) -> str:
    """A type as it stands in the names of intrinsics: `v16f32`."""
    name = _MANGLED.get(element, element)
    return name if lanes == 1 else f"v{lanes}{name}"


def literal(dtype: np.dtype[Any], value: Any) -> str:
    """A number as LLVM writes it, bit for bit."""
    kind = dtypes.kind(dtype)
    if kind == "b":
        return "true" if value else "false"
    if kind != "f":
        return str(int(value))
    if dtype.itemsize == 2 and dtype.kind == "f":
        return f"0xH{int(np.float16(value).view(np.uint16)):04X}"
    if np.isnan(value):
        return "0xFFF8000000000000" if np.signbit(value) else "0x7FF8000000000000"
    return f"0x{int(np.float64(value).view(np.uint64)):016X}"


def splat(element: str, number: str, lanes: int) -> str:
    """A constant with the same number in each lane (LLVM below 19 has no shorter form)."""
    if lanes == 1:
        return number
    if number in ("0", "0x0000000000000000", "0xH0000", "false"):
        return "zeroinitializer"
    one = f"insertelement (<{lanes} x {element}> poison, {element} {number}, i64 0)"
    zeros = f"<{lanes} x i32> zeroinitializer"
    return f"shufflevector (<{lanes} x {element}> {one}, <{lanes} x {element}> poison, {zeros})"


class Instruction(NamedTuple):
    """Instructions as a format string: `text.format(*arguments, r=name)`.

    Attributes:
        text: the lines; empty if the result is the first argument as it is.
        suffixes: what is appended to `r` to name the results.
        declares: the functions they call, as declarations.
    """

    text: str
    suffixes: tuple[str, ...]
    declares: tuple[str, ...]


class _Code:
    """Collects instructions on values of some lanes."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.lines: list[str] = []
        self.declares: dict[str, None] = {}

    def add(self, right: str) -> str:
        """An instruction; returns the name of its result."""
        name = f"{{r}}.{len(self.lines)}" if self.lines else "{r}"
        self.lines.append(f"  {name} = {right}")
        return name

    def type(self, element: str) -> str:
        return vector(element, self.lanes)

    def const(self, element: str, number: str) -> str:
        return splat(element, number, self.lanes)

    def binary(self, op: str, element: str, x: str, y: str) -> str:
        return self.add(f"{op} {self.type(element)} {x}, {y}")

    def cast(self, op: str, source: str, x: str, target: str) -> str:
        return self.add(f"{op} {self.type(source)} {x} to {self.type(target)}")

    def select(self, condition: str, element: str, x: str, y: str) -> str:
        t = self.type(element)
        return self.add(f"select {self.type('i1')} {condition}, {t} {x}, {t} {y}")

    def call(self, name: str, element: str, *args: str, flag: str = "") -> str:
        """An intrinsic whose arguments and result have one type, but for a last flag."""
        t = self.type(element)
        symbol = f"@llvm.{name}.{mangled(element, self.lanes)}"
        types = [t] * len(args) + (["i1"] if flag else [])
        self.declares[f"declare {t} {symbol}({', '.join(types)})"] = None
        passed = [f"{t} {x}" for x in args] + ([f"i1 {flag}"] if flag else [])
        return self.add(f"call {t} {symbol}({', '.join(passed)})")

    def cut(self, element: str, x: str, first: int, size: int) -> str:
        """A vector of `size` lanes with those of a value from the given one on."""
        if self.lanes == size:
            return x
        if self.lanes == 1:
            return self.add(f"insertelement {vector(element, size)} poison, {element} {x}, i64 0")
        places = [k if k < self.lanes else None for k in range(first, first + size)]
        return self.shuffled(element, self.lanes, (x, "poison"), places)

    def joined(self, element: str, parts: list[str], size: int) -> str:
        """The value whose lanes are those of vectors of `size` lanes, one after the other."""
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [self.shuffled(element, size, pair, range(2 * size)) for pair in pairs]
            size *= 2
        if self.lanes == size:
            return parts[0]
        if self.lanes == 1:
            return self.add(f"extractelement {vector(element, size)} {parts[0]}, i64 0")
        return self.shuffled(element, size, (parts[0], "poison"), range(self.lanes))

    def shuffled(
        self, element: str, lanes: int, pair: tuple[str, str], places: Iterable[int | None]
    ) -> str:
        """Lanes of two vectors; any number for None."""
        t = vector(element, lanes)
        which = ["poison" if place is None else str(place) for place in places]
        mask = f"<{len(which)} x i32> <{', '.join(f'i32 {place}' for place in which)}>"
        return self.add(f"shufflevector {t} {pair[0]}, {t} {pair[1]}, {mask}")

    def done(self, *results: str) -> Instruction:
        suffixes = tuple(r.removeprefix("{r}") for r in results)
        return Instruction("\n".join(self.lines), suffixes, tuple(self.declares))


def has_avx512() -> bool:
    """Whether this processor is one of x86-64 with registers of 64 bytes."""
    return runtime.vector_registers() == (32, _LINE)


def machine_ops() -> frozenset[str]:
    """The operations that there are instructions for, on this processor."""
    return MACHINE_OPS | SPECIAL_OPS if has_avx512() else MACHINE_OPS


@cache
def instruction(
    op: str, out: np.dtype[Any], args: tuple[np.dtype[Any], ...], lanes: int
) -> Instruction:
    """The instructions of an operation, from the dtypes of its result and arguments.

    Raises:
        KeyError: there is no such operation on these dtypes.
    """
    code = _Code(lanes)
    selector = _SELECTORS.get((op, dtypes.kind(args[-1]))) or _SELECTORS[op, "any"]
    return code.done(selector(code, op, out, args))


@cache
def merging(merge: str, types: tuple[np.dtype[Any], ...], lanes: int) -> Instruction:
    """The instructions that merge lanes: arguments are the lower half's, then the upper's."""
    code = _Code(lanes)
    if merge in ("argmax", "argmin"):
        return code.done(*_merge_extremum(code, merge, *types))
    return instruction(merge, types[0], types * 2, lanes)


def round_bfloat16(code: _Code, x: str) -> str:
    """A float rounded to the nearest bfloat16, ties to even; NaN becomes the quiet NaN."""
    bits = code.cast("bitcast", "float", x, "i32")
    last = code.binary("lshr", "i32", bits, code.const("i32", "16"))
    odd = code.binary("and", "i32", last, code.const("i32", "1"))
    half = code.binary("add", "i32", odd, code.const("i32", "32767"))
    up = code.binary("add", "i32", bits, half)
    kept = code.binary("and", "i32", up, code.const("i32", "-65536"))
    sign = code.binary("and", "i32", bits, code.const("i32", "-2147483648"))
    quiet = code.binary("or", "i32", sign, code.const("i32", "2143289344"))
    nan = code.binary("fcmp uno", "float", x, x)
    return code.cast("bitcast", "i32", code.select(nan, "i32", quiet, kept), "float")


def _rounded(code: _Code, dtype: np.dtype[Any], x: str) -> str:
    return round_bfloat16(code, x) if dtype == dtypes.bfloat16 else x


# --- arithmetic -----------------------------------------------------------------------------

_Dtypes: TypeAlias = tuple[np.dtype[Any], ...]


def _float_arithmetic(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    return _rounded(code, out, code.binary(f"f{op}", _REGISTER[out.name], "{0}", "{1}"))


_INTEGER = {
    "shift_left": "shl", "shift_right_arithmetic": "ashr", "shift_right_logical": "lshr",
    "div": "sdiv", "rem": "srem",
}  # fmt: skip
_UNSIGNED = {"div": "udiv", "rem": "urem"}
_BOOLEAN = {"add": "or", "mul": "and", "max": "or", "min": "and"}


def _signed_arithmetic(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    return code.binary(_INTEGER.get(op, op), _REGISTER[out.name], "{0}", "{1}")


def _unsigned_arithmetic(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    name = _UNSIGNED.get(op) or _INTEGER.get(op, op)
    return code.binary(name, _REGISTER[out.name], "{0}", "{1}")


def _boolean_arithmetic(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    return code.binary(_BOOLEAN.get(op.removeprefix("fast_"), op), "i1", "{0}", "{1}")


def _negate(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    element = _REGISTER[out.name]
    if dtypes.is_float(out):
        return code.add(f"fneg {code.type(element)} {{0}}")
    return code.binary("sub", element, code.const(element, "0"), "{0}")


def _invert(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    element = _REGISTER[out.name]
    ones = "true" if element == "i1" else "-1"
    return code.binary("xor", element, "{0}", code.const(element, ones))


_INTRINSIC = {"abs": "fabs", "population_count": "ctpop", "clz": "ctlz"}


def _float_function(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    arguments = [f"{{{number}}}" for number in range(len(args))]
    return code.call(_INTRINSIC.get(op, op), _REGISTER[out.name], *arguments)


def _square_root(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    return _rounded(code, out, _float_function(code, op, out, args))


def _fused(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    if out.itemsize > 2:
        return _float_function(code, op, out, args)
    # the product is exact in double precision; the sum keeps what the last rounding must know
    element = _REGISTER[out.name]
    x, y, z = (code.cast("fpext", element, a, "double") for a in ("{0}", "{1}", "{2}"))
    near = _odd_float(code, _odd_sum(code, code.binary("fmul", "double", x, y), z))
    if element == "half":
        return code.cast("fptrunc", "float", near, element)
    return round_bfloat16(code, near)


def _scale(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    """One instruction for each register of 64 bytes; a value of fewer lanes is put into one.

    Lanes whose result is 0 by far are masked: what underflows takes Intel's processors a hundred
    times as long.
    """
    element, size = _REGISTER[out.name], _LINE // out.itemsize
    form = np.finfo(out)
    least = literal(out, form.minexp - form.nmant - 1)
    t, flags = vector(element, size), f"i{size}"
    kind = "ps" if element == "float" else "pd"
    symbol = f"@llvm.x86.avx512.mask.scalef.{kind}.512"
    code.declares[f"declare {t} {symbol}({t}, {t}, {t}, {flags}, i32)"] = None
    parts = []
    for first in range(0, code.lanes, size):
        x, n = (code.cut(element, name, first, size) for name in ("{2}", "{0}"))
        bits = code.add(f"fcmp uge {t} {n}, {splat(element, least, size)}")
        mask = code.add(f"bitcast <{size} x i1> {bits} to {flags}")
        # 0 elsewhere, and the rounding that is in force
        passed = f"{t} {x}, {t} {n}, {t} zeroinitializer, {flags} {mask}, i32 4"
        parts.append(code.add(f"call {t} {symbol}({passed})"))
    return code.joined(element, parts, size)


def _odd_sum(code: _Code, x: str, y: str) -> str:
    """The sum of doubles, rounded "to odd": see `_odd_float`. The error is D. Knuth's two-sum."""
    total = code.binary("fadd", "double", x, y)
    added = code.binary("fsub", "double", total, x)
    rest = code.binary("fsub", "double", x, code.binary("fsub", "double", total, added))
    error = code.binary("fadd", "double", rest, code.binary("fsub", "double", y, added))
    inexact = code.binary(
        "fcmp one", "double", error, code.const("double", literal(np.dtype(np.float64), 0))
    )
    bits = code.cast("bitcast", "double", total, "i64")
    signs = code.binary("xor", "i64", bits, code.cast("bitcast", "double", error, "i64"))
    opposite = code.binary("icmp slt", "i64", signs, code.const("i64", "0"))
    beyond = code.binary("and", "i1", inexact, opposite)
    truncated = code.binary("sub", "i64", bits, code.cast("zext", "i1", beyond, "i64"))
    odd = code.binary("or", "i64", truncated, code.cast("zext", "i1", inexact, "i64"))
    return code.cast("bitcast", "i64", odd, "double")


def _integer_function(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    # the flag: whether the result is undefined for the smallest number (abs), for zero (ctlz)
    flag = "" if op == "population_count" else "false"
    return code.call(_INTRINSIC[op] if op != "abs" else op, _REGISTER[out.name], "{0}", flag=flag)


def _same(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    return "{0}"


# --- comparing ------------------------------------------------------------------------------

_ORDERS = ("lt", "le", "gt", "ge")


def _comparison(op: str, dtype: np.dtype[Any]) -> str:
    """The instruction of a comparison: ordered, so false for NaN, but for `ne`."""
    if dtypes.is_float(dtype):
        return "fcmp une" if op == "ne" else f"fcmp o{op}"
    if op not in _ORDERS:
        return f"icmp {op}"
    return f"icmp {'s' if dtype.kind == 'i' else 'u'}{op}"


def _compare(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    return code.binary(_comparison(op, args[0]), _REGISTER[args[0].name], "{0}", "{1}")


def _select(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    return code.select("{0}", _REGISTER[out.name], "{1}", "{2}")


def _integer_extremum(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    sign = "s" if out.kind == "i" else "u"
    return code.call(sign + op.removeprefix("fast_"), _REGISTER[out.name], "{0}", "{1}")


def _fast_extremum(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    element = _REGISTER[out.name]
    better = code.binary("fcmp ogt" if "max" in op else "fcmp olt", element, "{0}", "{1}")
    return code.select(better, element, "{0}", "{1}")


def _float_extremum(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    element = _REGISTER[out.name]
    order = "g" if op == "max" else "l"
    strict = "e" if element == "half" else "t"
    better = code.binary(f"fcmp o{order}{strict}", element, "{0}", "{1}")
    number = code.select(better, element, "{0}", "{1}")  # the second, where it is NaN
    nan = code.binary("fcmp uno", element, "{0}", "{0}")
    return code.select(nan, element, "{0}", number)


def _merge_extremum(
    code: _Code, merge: str, dtype: np.dtype[Any], index: np.dtype[Any]
) -> tuple[str, str]:
    """The upper pair replaces the lower if its value is better, or as good and further left."""
    element, place = _REGISTER[dtype.name], _REGISTER[index.name]
    order = "gt" if merge == "argmax" else "lt"
    better = code.binary(_comparison(order, dtype), element, "{2}", "{0}")
    tie = code.binary(_comparison("eq", dtype), element, "{2}", "{0}")
    if dtypes.is_float(dtype):
        upper = code.binary("fcmp uno", element, "{2}", "{2}")
        lower = code.binary("fcmp uno", element, "{0}", "{0}")
        number = code.binary("xor", "i1", lower, code.const("i1", "true"))
        first = code.binary("and", "i1", upper, number)
        both = code.binary("and", "i1", upper, lower)
        better = code.binary("or", "i1", better, first)
        tie = code.binary("or", "i1", tie, both)
    earlier = code.binary(_comparison("lt", index), place, "{3}", "{1}")
    won = code.binary("or", "i1", better, code.binary("and", "i1", tie, earlier))
    return code.select(won, element, "{2}", "{0}"), code.select(won, place, "{3}", "{1}")


# --- conversions ----------------------------------------------------------------------------


def _convert(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    (source,) = args
    if source == out:
        return "{0}"
    if out.kind == "b":
        return _truth(code, source)
    if dtypes.is_float(out):
        return _to_float(code, source, out)
    if dtypes.is_float(source):
        return _float_to_integer(code, source, out)
    old, new = _REGISTER[source.name], _REGISTER[out.name]
    if source.kind != "b" and source.itemsize == out.itemsize:
        return "{0}"
    if source.kind != "b" and source.itemsize > out.itemsize:
        return code.cast("trunc", old, "{0}", new)
    return code.cast("sext" if source.kind == "i" else "zext", old, "{0}", new)


def _truth(code: _Code, source: np.dtype[Any]) -> str:
    element = _REGISTER[source.name]
    zero = code.const(element, literal(source, 0))
    return code.binary(_comparison("ne", source), element, "{0}", zero)


def _to_float(code: _Code, source: np.dtype[Any], out: np.dtype[Any]) -> str:
    old, new = _REGISTER[source.name], _REGISTER[out.name]
    if not dtypes.is_float(source):
        # 16-bit formats are reached through float, as in NumPy
        middle = "float" if out.itemsize == 2 else new
        x = code.cast("sitofp" if source.kind == "i" else "uitofp", old, "{0}", middle)
    elif old == "double" and new == "half":
        middle, x = "float", _odd_float(code, "{0}")
    elif old == "double":
        middle, x = "float", code.cast("fptrunc", old, "{0}", "float")
    elif old == "half" or new == "double":
        middle, x = new, code.cast("fpext", old, "{0}", new)
    else:
        middle, x = "float", "{0}"
    if new == "half":
        return code.cast("fptrunc", middle, x, new)
    # a bfloat16 is a float already, all others may have more bits
    return x if source == dtypes.bfloat16 else _rounded(code, out, x)


def _odd_float(code: _Code, x: str) -> str:
    """A double rounded to float "to odd", so that rounding on to half is as if done at once.

    See Boldo and Melquiond, "When double rounding is odd" (2004). (LLVM rounds double to half
    by a foreign function on most targets.)
    """
    near = code.cast("fptrunc", "double", x, "float")
    back = code.cast("fpext", "float", near, "double")
    bits = code.cast("bitcast", "float", near, "i32")
    inexact = code.cast("zext", "i1", code.binary("fcmp one", "double", back, x), "i32")
    sizes = [code.call("fabs", "double", number) for number in (back, x)]
    beyond = code.cast("zext", "i1", code.binary("fcmp ogt", "double", *sizes), "i32")
    truncated = code.binary("sub", "i32", bits, beyond)
    return code.cast("bitcast", "i32", code.binary("or", "i32", truncated, inexact), "float")


def _float_to_integer(code: _Code, source: np.dtype[Any], out: np.dtype[Any]) -> str:
    """Towards zero. What is out of range, or NaN, becomes some integer."""
    old, new, x = _REGISTER[source.name], _REGISTER[out.name], "{0}"
    if old == "half":
        old, x = "float", code.cast("fpext", old, x, "float")
    # freeze: some one integer. (The saturating intrinsic is taken apart lane by lane on x86.)
    found = code.cast("fptosi" if out.kind == "i" else "fptoui", old, x, new)
    return code.add(f"freeze {code.type(new)} {found}")


def _bitcast(code: _Code, op: str, out: np.dtype[Any], args: _Dtypes) -> str:
    (source,) = args
    old, x = _REGISTER[source.name], "{0}"
    if source == out:
        return x
    if source == dtypes.bfloat16:
        old, x = "i16", pack_bfloat16(code, x)
    new = "i16" if out == dtypes.bfloat16 else _REGISTER[out.name]
    if old != new:
        x = code.cast("bitcast", old, x, new)
    return unpack_bfloat16(code, x) if out == dtypes.bfloat16 else x


def pack_bfloat16(code: _Code, x: str) -> str:
    """The 16 bits of a bfloat16."""
    bits = code.cast("bitcast", "float", x, "i32")
    upper = code.binary("lshr", "i32", bits, code.const("i32", "16"))
    return code.cast("trunc", "i32", upper, "i16")


def unpack_bfloat16(code: _Code, x: str) -> str:
    """A bfloat16 from its 16 bits."""
    wide = code.cast("zext", "i16", x, "i32")
    bits = code.binary("shl", "i32", wide, code.const("i32", "16"))
    return code.cast("bitcast", "i32", bits, "float")


@cache
def from_memory(dtype: np.dtype[Any], lanes: int) -> Instruction:
    """The instructions from an element as it was loaded to a value."""
    code = _Code(lanes)
    if dtype == dtypes.bfloat16:
        return code.done(unpack_bfloat16(code, "{0}"))
    if dtype.kind == "b":
        return code.done(code.binary("icmp ne", "i8", "{0}", code.const("i8", "0")))
    return code.done("{0}")


@cache
def to_memory(dtype: np.dtype[Any], lanes: int) -> Instruction:
    """The instructions from a value to an element as it is stored."""
    code = _Code(lanes)
    if dtype == dtypes.bfloat16:
        return code.done(pack_bfloat16(code, "{0}"))
    if dtype.kind == "b":
        return code.done(code.cast("zext", "i1", "{0}", "i8"))
    return code.done("{0}")


# --- the table ------------------------------------------------------------------------------

Selector: TypeAlias = Callable[[_Code, str, np.dtype[Any], _Dtypes], Any]

# Operation and kind of its last argument ("any" for the kinds not given) -> its selector.
_SELECTORS: dict[tuple[str, str], Selector] = {
    (op, kind): selector
    for ops, kinds, selector in [
        ("add sub mul div rem", "f", _float_arithmetic),
        ("add sub mul div rem", "i", _signed_arithmetic),
        ("add sub mul div rem", "u", _unsigned_arithmetic),
        ("add mul max min fast_max fast_min", "b", _boolean_arithmetic),
        (
            "and or xor shift_left shift_right_arithmetic shift_right_logical",
            "iu",
            _signed_arithmetic,
        ),
        ("and or xor", "b", _boolean_arithmetic),
        ("neg", "fiu", _negate),
        ("not", "biu", _invert),
        ("abs", "bu", _same),
        ("abs floor ceil trunc rint copysign", "f", _float_function),
        ("sqrt", "f", _square_root),
        ("fma", "f", _fused),
        ("scale", "f", _scale),
        ("abs", "i", _integer_function),
        ("population_count clz", "iu", _integer_function),
        ("max min", "f", _float_extremum),
        ("fast_max fast_min", "f", _fast_extremum),
        ("max min fast_max fast_min", "iu", _integer_extremum),
        ("eq ne lt le gt ge", ["any"], _compare),
        ("select", ["any"], _select),
        ("convert", ["any"], _convert),
        ("bitcast", ["any"], _bitcast),
    ]
    for op in ops.split()
    for kind in kinds
}
