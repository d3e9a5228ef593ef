"""Kernels as Python source that runs with and without Numba.

It is what users read of a compiled function, and what tests compare the native code with: the
loops run in order, each operation has the dtype that the IR says, and nothing is vectorised but
the lanes of reductions, which are part of the result.
"""

import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from funcflow.backends.loop_ir import (
    ANY,
    FIXED,
    UNIT,
    Guard,
    Kernel,
    Let,
    Load,
    Loop,
    Reduction,
    Statement,
    Store,
    Value,
    While,
    statements,
)
from funcflow.backends.numba.source_helpers import helpers, merging
from funcflow.backends.numba.source_ops import (
    PRODUCT,
    Expression,
    choice,
    literal,
    operation,
)

# Expressions up to this length are written where their value is used, if that is one place.
_INLINED = 60
_WIDTH = 80  # of a line of parameters

# How values are called that loops carry, by the way they are merged.
_CARRIED = {
    "add": "total",
    "mul": "product",
    "max": "largest",
    "min": "smallest",
    "and": "common",
    "or": "joined",
    "xor": "parity",
    "argmax": "largest",
    "argmin": "smallest",
    "sequence": "state",
}
_FREE = ("const", "scalar", "index")  # what costs nothing to write down again


def kernel_source(
    kernel: Kernel, name: str = "kernel", comments: Mapping[Value, str] | None = None
) -> str:
    """A kernel as a Python module with one function of that name; see its docstring for the call.

    Args:
        kernel: a legal kernel.
        name: how the function is called.
        comments: what to say at the ends of the lines that compute these values.

    Raises:
        CompileError: the kernel has an operation that neither NumPy nor `math` knows.
    """
    printer = _Printer(kernel, comments or {})
    printer.body(kernel.body, "    ")
    body = "\n".join(printer.lines) if printer.lines else "    pass"
    functions = helpers(body)
    code = "\n".join([*functions, body])
    imports = ["import math"] if "math." in code else []
    imports += ["import numpy as np"] if "np." in code else []
    extra = {t.dtype for t in kernel.operands} | {v.dtype for v in _values(kernel.body)}
    imports += sorted(f"from ml_dtypes import {t.name}" for t in extra if t.kind == "V")
    parts = ["\n".join(imports)] if imports else []
    parts += functions
    parts.append(f"{_head(kernel, name)}\n{_docstring(kernel)}\n{body}")
    return "\n\n\n".join(parts) + "\n"


def _head(kernel: Kernel, name: str) -> str:
    arguments = ", ".join(_arguments(kernel))
    if len(arguments) <= _WIDTH:
        return f"def {name}({arguments}):"
    lines = textwrap.wrap(arguments, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    return "\n".join([f"def {name}(", *lines, "):"])


def _arguments(kernel: Kernel) -> Iterator[str]:
    for number in range(len(kernel.operands)):
        yield f"p{number}"
    for axis in range(kernel.axes):
        yield f"n{axis}"
    if kernel.ragged:
        yield "tail"
    for number in sorted(flat_operands(kernel)):
        yield f"p{number}_start"
        yield from (f"p{number}_s{axis}" for axis in _strided(kernel, number))
    for number in range(len(kernel.scalars)):
        yield f"s{number}"


def _strided(kernel: Kernel, number: int) -> list[int]:
    """The axes along which an operand has strides that are given with each call."""
    return [axis for axis, s in enumerate(kernel.operands[number].strides) if s is ANY]


def flat_operands(kernel: Kernel) -> set[int]:
    """The operands that are addressed by offsets: they come as flat arrays."""
    accesses = (s for s in statements(kernel.body) if isinstance(s, Load | Store))
    return {s.operand for s in accesses if s.offset is not None}


def _docstring(kernel: Kernel) -> str:
    lines = ["Arrays first; what is written is changed in place.", ""]
    flat = flat_operands(kernel)
    for number, operand in enumerate(kernel.operands):
        written = ", written" if operand.written else ""
        if number in flat:
            place = _position(kernel, number)
            lines.append(f"p{number}: {operand.dtype}, flat, from p{number}[{place}] on{written}")
        else:
            sizes = ["1" if s == FIXED else f"n{axis}" for axis, s in enumerate(operand.strides)]
            shape = f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"
            lines.append(f"p{number}: {operand.dtype}, shape {shape}{written}")
    if kernel.ragged:
        lines.append("tail: how many elements of axis 1 the last block has")
    lines += [f"s{number}: {dtype}" for number, dtype in enumerate(kernel.scalars)]
    return "\n".join(f"    {line}".rstrip() for line in ['"""' + lines[0], *lines[1:], '"""'])


def _position(kernel: Kernel, number: int) -> str:
    """Where in a flat array the element at the loops' indices lies."""
    terms = [f"p{number}_start"]
    for axis, stride in enumerate(kernel.operands[number].strides):
        if stride != FIXED:
            factor = f"p{number}_s{axis}" if stride is ANY else str(stride)
            terms.append(f"i{axis}" if stride == UNIT else f"i{axis} * {factor}")
    return " + ".join(terms)


def _values(body: tuple[Statement, ...]) -> Iterator[Value]:
    for s in statements(body):
        if isinstance(s, Let | Load):
            yield s.out


# --- printing ---------------------------------------------------------------------------------


class _Uses(NamedTuple):
    """How often each value is used, and in which region last."""

    count: Counter[Value]
    region: dict[Value, int]


def _uses(body: tuple[Statement, ...]) -> _Uses:
    uses = _Uses(Counter(), {})

    def use(region: tuple[Statement, ...], *values: Value | None) -> None:
        for v in values:
            if v is not None:
                uses.count[v] += 1
                uses.region[v] = id(region)

    def walk(region: tuple[Statement, ...]) -> None:
        for s in region:
            if isinstance(s, Let):
                use(region, *s.args)
            elif isinstance(s, Load):
                use(region, s.offset, s.mask)
            elif isinstance(s, Store):
                use(region, s.value, s.offset, s.mask)
            elif isinstance(s, Guard):
                walk(s.body)
                use(region, s.mask, *s.others)
                use(s.body, *s.values)
            elif isinstance(s, While):
                use(region, *s.starts)
                walk(s.test)
                use(s.test, s.goes_on)
                walk(s.body)
                use(s.body, *s.nexts)
            else:
                walk(s.body)
                for r in s.reductions:
                    use(region, *r.starts)
                    use(s.body, *r.nexts)

    walk(body)
    return uses


class _Delayed(NamedTuple):
    """A value that is not computed yet: it will be where it is used."""

    expression: Expression
    comments: tuple[str, ...]
    base: str


class _Printer:
    """Writes the lines of the function's body.

    A value that is used once, in the region that defines it, becomes part of the expression that
    uses it. It must not move past a store, which may change what it loads, or into a loop.
    """

    def __init__(self, kernel: Kernel, comments: Mapping[Value, str]) -> None:
        self.lines: list[str] = []
        self._kernel = kernel
        self._flat = flat_operands(kernel)
        self._comments = comments
        self._uses = _uses(kernel.body)
        self._known: dict[Value, Expression] = {}
        self._delayed: dict[Value, _Delayed] = {}
        self._names = Counter[str]()
        self._said: list[str] = []  # comments of what has become part of the current line

    def body(self, body: tuple[Statement, ...], indent: str) -> None:
        """The statements of a region."""
        for s in body:
            if isinstance(s, Let):
                self._let(s, body, indent)
            elif isinstance(s, Load):
                self._load(s, body, indent)
            elif isinstance(s, Store):
                self._store(s, indent)
            elif isinstance(s, Guard):
                self._guard(s, indent)
            elif isinstance(s, While):
                self._while(s, indent)
            else:
                self._loop(s, indent)

    # --- values

    def _name(self, base: str) -> str:
        """A name that is not taken: the base, and a number from the second one on."""
        self._names[base] += 1
        count = self._names[base]
        return base if count == 1 else f"{base}_{count}"

    def _use(self, value: Value) -> Expression:
        delayed = self._delayed.pop(value, None)
        if delayed is None:
            return self._known[value]
        self._said += delayed.comments
        return delayed.expression

    def _define(
        self, value: Value, base: str, expression: Expression, body: Any, indent: str
    ) -> None:
        if value in self._comments:
            self._said.append(" ".join(self._comments[value].split()))
        once = self._uses.count[value] == 1 and self._uses.region[value] == id(body)
        delayed = _Delayed(expression, tuple(self._said), base)
        self._said.clear()
        if once and len(expression.text) <= _INLINED:
            self._delayed[value] = delayed
        else:
            self._assign(value, delayed, indent)

    def _assign(self, value: Value, delayed: _Delayed, indent: str) -> None:
        name = self._name(delayed.base)
        self._known[value] = Expression(name)
        self._line(f"{indent}{name} = {delayed.expression.text}", delayed.comments)

    def _flush(self, indent: str) -> None:
        """Compute what was put off."""
        for value, delayed in list(self._delayed.items()):
            del self._delayed[value]
            self._assign(value, delayed, indent)

    def _line(self, text: str, comments: Sequence[str] = ()) -> None:
        said = "; ".join(dict.fromkeys(comments))
        self.lines.append(f"{text}  # {said}" if said else text)

    def _take_comments(self) -> tuple[str, ...]:
        said = tuple(self._said)
        self._said.clear()
        return said

    # --- statements

    def _let(self, s: Let, body: Any, indent: str) -> None:
        expression = operation(s, [self._use(v) for v in s.args])
        if s.op in _FREE:
            self._known[s.out] = expression
        else:
            self._define(s.out, "t", expression, body, indent)

    def _load(self, s: Load, body: Any, indent: str) -> None:
        element = self._element(s)
        if s.mask is not None:
            element = choice(self._use(s.mask), element, literal(s.out.dtype.type(0)))
        self._define(s.out, f"x{s.operand}", element, body, indent)

    def _element(self, s: Load | Store) -> Expression:
        if s.operand in self._flat:
            index = _position(self._kernel, s.operand)
            if s.offset is not None:
                index += f" + {self._use(s.offset).within(PRODUCT)}"
        else:
            strides = self._kernel.operands[s.operand].strides
            index = ", ".join("0" if k == FIXED else f"i{axis}" for axis, k in enumerate(strides))
        return Expression(f"p{s.operand}[{index or '()'}]")

    def _store(self, s: Store, indent: str) -> None:
        value, element = self._use(s.value), self._element(s)
        mask = self._use(s.mask) if s.mask is not None else None
        said = self._take_comments()
        self._flush(indent)
        if mask is not None:
            self._line(f"{indent}if {mask.text}:")
            indent += "    "
        self._line(f"{indent}{element.text} = {value.text}", said)

    # --- guards

    def _guard(self, s: Guard, indent: str) -> None:
        mask, others = self._use(s.mask), [self._use(v) for v in s.others]
        said = self._take_comments()
        self._flush(indent)
        self._line(f"{indent}if {mask.text}:", said)
        self.body(s.body, indent + "    ")
        values = [self._use(v) for v in s.values]
        said = self._take_comments()
        self._flush(indent + "    ")
        names = [self._name("t") for _ in s.results]
        self._line(_assignment(indent + "    ", names, values), said)
        self._line(f"{indent}else:")
        self._line(_assignment(indent + "    ", names, others))
        for result, name in zip(s.results, names, strict=True):
            self._known[result] = Expression(name)

    # --- loops

    def _while(self, s: While, indent: str) -> None:
        starts = [self._use(v) for v in s.starts]
        said = self._take_comments()
        self._flush(indent)
        names = [self._name(_CARRIED["sequence"]) for _ in s.inside]
        self._line(_assignment(indent, names, starts), said)
        self._line(f"{indent}while True:")
        self._known |= {v: Expression(name) for v, name in zip(s.inside, names, strict=True)}
        self.body(s.test, indent + "    ")
        goes_on = self._use(s.goes_on)
        said = self._take_comments()
        self._flush(indent + "    ")
        self._line(f"{indent}    if not ({goes_on.text}):", said)
        self._line(f"{indent}        break")
        self.body(s.body, indent + "    ")
        nexts = [self._use(v) for v in s.nexts]
        said = self._take_comments()
        self._flush(indent + "    ")
        self._line(_assignment(indent + "    ", names, nexts), said)
        self._known |= {v: Expression(name) for v, name in zip(s.results, names, strict=True)}

    def _loop(self, s: Loop, indent: str) -> None:
        starts = [[self._use(v) for v in r.starts] for r in s.reductions]
        said = self._take_comments()
        self._flush(indent)
        carried = [_Carried(s, r, [self._name(b) for b in _bases(r)]) for r in s.reductions]
        for c, values in zip(carried, starts, strict=True):
            for target, value in zip(c.names, values, strict=True):
                self._line(f"{indent}{c.start(target, value)}", said)
        self._line(f"{indent}for i{s.axis} in range({self._extent(s)}):")
        self._iteration(s, carried, indent + "    ")
        for c in carried:
            if s.lanes > 1:
                for line in c.merge():
                    self._line(indent + line)
            for v, name in zip(c.reduction.results, c.names, strict=True):
                self._known[v] = Expression(name)

    def _extent(self, s: Loop) -> str:
        if self._kernel.ragged and s.axis == 1:
            return "tail if i0 == n0 - 1 else n1"
        return f"n{s.axis}"

    def _iteration(self, s: Loop, carried: "list[_Carried]", indent: str) -> None:
        before = len(self.lines)
        if s.lanes > 1 and carried:
            self._line(f"{indent}lane = i{s.axis} % {s.lanes}")
        for c in carried:
            for v, name in zip(c.reduction.inside, c.names, strict=True):
                target = c.current(name)
                if target != name and self._uses.count[v] > 1:
                    self._line(f"{indent}{name} = {target}")
                    target = name
                self._known[v] = Expression(target)
        self.body(s.body, indent)
        self._next(carried, indent)
        if len(self.lines) == before:
            self._line(f"{indent}pass")

    def _next(self, carried: "list[_Carried]", indent: str) -> None:
        """Bring the carried values forward, all at once if one needs another's old value."""
        changes: list[tuple[str, str, tuple[str, ...]]] = []
        for c in carried:
            for v, name in zip(c.reduction.nexts, c.names, strict=True):
                text = self._use(v).text
                changes.append((c.current(name), text, self._take_comments()))
        self._flush(indent)
        changes = [change for change in changes if change[0] != change[1]]
        names = [re.split(r"\W", target)[0] for target, _, _ in changes]
        if any(
            re.search(rf"\b{name}\b", text)
            for place, name in enumerate(names)
            for _, text, _ in changes[place + 1 :]
        ):
            said = tuple(comment for _, _, comments in changes for comment in comments)
            targets = ", ".join(target for target, _, _ in changes)
            self._line(f"{indent}{targets} = {', '.join(text for _, text, _ in changes)}", said)
        else:
            for target, text, said in changes:
                self._line(f"{indent}{target} = {text}", said)


def _assignment(indent: str, names: list[str], values: list[Expression]) -> str:
    if not names:
        return f"{indent}pass"
    return f"{indent}{', '.join(names)} = {', '.join(value.text for value in values)}"


def _bases(r: Reduction) -> list[str]:
    first = _CARRIED[r.merge]
    return [first, "position"] if r.merge.startswith("arg") else [first] * len(r.starts)


def _lanes_of(name: str) -> str:
    return f"{name}_lanes"


@dataclass
class _Carried:
    """The variables of a reduction: one for each value, and in vector loops an array of lanes."""

    loop: Loop
    reduction: Reduction
    names: list[str]

    def start(self, name: str, value: Expression) -> str:
        if self.loop.lanes == 1:
            return f"{name} = {value.text}"
        return f"{_lanes_of(name)} = np.full({self.loop.lanes}, {value.text})"

    def merge(self) -> Iterator[str]:
        merge, values = self.reduction.merge, self.reduction.starts
        if merge.startswith("arg"):
            lanes = ", ".join(map(_lanes_of, self.names))
            yield f"{', '.join(self.names)} = merge_{merge}({lanes})"
        else:
            for name, v in zip(self.names, values, strict=True):
                yield f"{name} = {merging(merge, v.dtype)}({_lanes_of(name)})"

    def current(self, name: str) -> str:
        return name if self.loop.lanes == 1 else f"{_lanes_of(name)}[lane]"
