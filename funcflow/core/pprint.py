"""Jaxprs as text.

    { lambda a:f32[3]; b:f32[3]. let
        c:f32[3] = add a b
        d:f32[] = reduce_sum[axes=(0,)] c
      in (d,) }

Constants stand before the semicolon, arguments behind it; `*` marks a weak type, `_` a result that
nothing reads. Variables are named in the order in which the text shows them, so equal jaxprs have
equal texts. `core.parse` reads the text; its grammar is given there.

A text to be saved starts with a line that tells the version of the format. It also holds what the
short form leaves out: parameters that are None, the values of constants (`where a = [1.0, 2.0]`),
and `open` before a jaxpr that is not closed.
"""

import dataclasses
import sys
from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import as_buffer
from funcflow.core.aval import ShapedArray, ShapeDtypeStruct
from funcflow.core.flatten import name_of
from funcflow.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, printer

FORMAT = "funcflow.jaxpr"
VERSION = 1
# Parameters that take more characters stand on lines of their own.
LONGEST = 80
# Words of the format, which are no names of variables.
KEYWORDS = frozenset({"lambda", "let", "in", "open", "where", "inf", "nan", "complex", "_"})


def jaxpr_to_text(
    jaxpr: Jaxpr | ClosedJaxpr, *, versioned: bool = False, source: bool = False
) -> str:
    """The text of a jaxpr.

    Args:
        jaxpr: open or closed.
        versioned: whether the text is to be saved: it then starts with the format's version and
            holds the values of constants and all parameters, also those that are None.
        source: whether each equation is followed by the user's line that asked for it.

    Raises:
        LeafTypeError: the text is to hold the value of a constant that is traced.
    """
    text = _Printer(versioned, source).jaxpr(jaxpr, "")
    return f"{FORMAT} {VERSION}\n{text}\n" if versioned else text


def equation_texts(jaxpr: Jaxpr) -> list[str]:
    """The text of each equation, as it stands in the text of the jaxpr."""
    names = _Printer(complete=False, source=False)
    names.header(jaxpr)
    read = _read_variables(jaxpr)
    return [names.equation(eqn, read, "") for eqn in jaxpr.eqns]


class _Printer:
    """Names variables as they come. `pad` is the indentation of the line a text starts on."""

    def __init__(self, complete: bool, source: bool) -> None:
        self.complete = complete
        self.source = source
        self.names: dict[Var, str] = {}
        self.count = 0

    def jaxpr(self, jaxpr: Jaxpr | ClosedJaxpr, pad: str) -> str:
        # the text of a jaxpr that occurs twice must not tell whether it is one object or two
        outer, self.names = self.names, {}
        inner = jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr
        prefix = "open " if self.complete and inner is jaxpr else ""
        lines = [prefix + self.header(inner)]
        read = _read_variables(inner)
        for eqn in inner.eqns:
            comment = f"  # {eqn.source}" if self.source and eqn.source else ""
            lines.append(f"{pad}    {self.equation(eqn, read, pad + '    ')}{comment}")
        outs = _tuple([self.atom(v) for v in inner.outvars])
        last = f"{pad}  in {outs} }}"
        if isinstance(jaxpr, ClosedJaxpr) and self.complete:
            last += "".join(
                f" where {self.names[var]} = {_constant(as_buffer(value))}"
                for var, value in zip(inner.constvars, jaxpr.consts, strict=True)
            )
        self.names = outer
        if not inner.eqns:
            return f"{lines[0]} {last.lstrip()}"
        return "\n".join([*lines, last])

    def header(self, jaxpr: Jaxpr) -> str:
        consts = " ".join(map(self.binder, jaxpr.constvars))
        return f"{{ lambda {consts}; {' '.join(map(self.binder, jaxpr.invars))}. let"

    def equation(self, eqn: JaxprEqn, read: set[Var], pad: str) -> str:
        outs = " ".join(self.binder(v) if v in read else f"_:{_type(v.aval)}" for v in eqn.outvars)
        params = self.params(eqn.params, pad)
        ins = "".join(f" {self.atom(v)}" for v in eqn.invars)
        return f"{outs} = {eqn.primitive.name}{params}{ins}".removeprefix(" = ")

    def params(self, params: dict[str, Any], pad: str) -> str:
        shown = [k for k in sorted(params) if self.complete or params[k] is not None]
        if not shown:
            return ""
        items = [f"{k}={self.value(params[k], pad + '  ')}" for k in shown]
        line = f"[{' '.join(items)}]"
        if "\n" not in line and len(line) <= LONGEST:
            return line
        return "".join([f"[\n{pad}  ", f"\n{pad}  ".join(items), f"\n{pad}]"])

    def value(self, value: Any, pad: str) -> str:
        """The text of a parameter's value; one that has no text form gives `<name>`."""
        kind: Any = value.__class__
        if issubclass(kind, Jaxpr | ClosedJaxpr):
            return self.jaxpr(value, pad)
        if kind is tuple:
            return self.tuple(value, pad)
        if is_record(kind):
            return self.record(value, pad)
        if issubclass(kind, Enum):
            return f"{kind.__name__}.{value.name}"
        if issubclass(kind, frozenset):
            return f"{{{', '.join(sorted(self.value(item, pad) for item in value))}}}"
        if issubclass(kind, np.dtype):
            return "float0" if value == dtypes.float0 else value.name
        if issubclass(kind, np.generic):
            return f"{value.dtype.name}({_number(np.asarray(value))})"
        if issubclass(kind, ShapedArray):
            return _type(value)
        if issubclass(kind, ShapeDtypeStruct):
            struct = ShapedArray(value.shape, value.dtype, value.weak_type)
            return f"ShapeDtypeStruct({_type(struct)})"
        if issubclass(kind, float | complex):
            return _number(np.asarray(value))
        if value is None or issubclass(kind, bool | int | str):
            return repr(value)
        return f"<{name_of(value).strip('<>')}>"

    def tuple(self, value: tuple[Any, ...], pad: str) -> str:
        items = [self.value(item, pad + "  ") for item in value]
        if not any("\n" in item for item in items):
            return _tuple(items)
        return "".join(["(", *(f"\n{pad}  {item}," for item in items), f"\n{pad})"])

    def record(self, value: Any, pad: str) -> str:
        names = record_fields(type(value))
        items = [f"{name}={self.value(getattr(value, name), pad)}" for name in names]
        return f"{type(value).__name__}({', '.join(items)})"

    def binder(self, var: Var) -> str:
        return f"{self.name(var)}:{_type(var.aval)}"

    def atom(self, v: Atom) -> str:
        return f"{_number(v.val)}:{_type(v.aval)}" if isinstance(v, Literal) else self.name(v)

    def name(self, var: Var) -> str:
        found = self.names.get(var)
        while found is None:
            name = _letters(self.count)
            self.count += 1
            if name not in KEYWORDS:
                found = self.names[var] = name
        return found


def is_record(cls: Any) -> bool:
    """Whether parameters of this class are written as its name and fields."""
    return dataclasses.is_dataclass(cls) or (hasattr(cls, "_fields") and issubclass(cls, tuple))


def record_fields(cls: Any) -> tuple[str, ...]:
    """The fields of a named tuple or dataclass."""
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    return cls._fields


def _read_variables(jaxpr: Jaxpr) -> set[Var]:
    read = {v for eqn in jaxpr.eqns for v in eqn.invars if isinstance(v, Var)}
    return read.union(v for v in jaxpr.outvars if isinstance(v, Var))


def _letters(n: int) -> str:
    """a, b, ..., z, ba, bb, ...: `n` in base 26."""
    rest, digit = divmod(n, 26)
    return (_letters(rest) if rest else "") + chr(ord("a") + digit)


def _type(aval: ShapedArray) -> str:
    return f"{aval}*" if aval.weak_type else str(aval)


def _tuple(items: Sequence[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def _constant(value: np.ndarray[Any, Any]) -> str:
    """The values of an array as nested lists."""
    value = np.asarray(value)
    return f"[{', '.join(map(_constant, value))}]" if value.ndim else _number(value)


def _number(value: np.ndarray[Any, Any]) -> str:
    """The shortest text from which the scalar can be read back, bit by bit."""
    if value.dtype.kind == "c":
        return f"complex({_number(value.real)}, {_number(value.imag)})"
    if value.dtype.kind in "biu":
        return str(value.item())
    if np.isnan(value):
        bits = int.from_bytes(value.tobytes(), sys.byteorder)
        usual = np.asarray(np.nan, value.dtype)
        return "nan" if value.tobytes() == usual.tobytes() else f"nan({bits:#x})"
    return repr(float(value)) if value.dtype == dtypes.bfloat16 else str(value[()])


printer[0] = jaxpr_to_text
