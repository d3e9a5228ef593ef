"""Reading the text of a jaxpr, as `core.pprint` writes it.

    text     = ["funcflow.jaxpr" VERSION] jaxpr
    jaxpr    = ["open"] "{" "lambda" {binder} ";" {binder} "." "let" {equation}
               "in" "(" {atom ","} ")" "}" {"where" NAME "=" array}
    equation = [{binder} "="] NAME ["[" {NAME "=" value} "]"] {atom}     on a line of its own
    binder   = NAME ":" TYPE
    atom     = NAME | scalar ":" TYPE
    array    = scalar | "[" {array ","} "]"
    scalar   = NUMBER | "nan" "(" BITS ")" | "complex" "(" scalar "," scalar ")" | "True" | "False"
    value    = jaxpr | scalar | STRING | "None" | TYPE | "(" {value ","} ")" | "{" {value ","} "}"
             | DTYPE | DTYPE "(" scalar ")" | "ShapeDtypeStruct" "(" TYPE ")"
             | CLASS "(" {NAME "=" value ","} ")" | ENUMERATION "." NAME

A parameter that the text leaves out is None. Classes and enumerations are those of this package
that are loaded; the names of primitives are those that have rules. `#` starts a comment.
"""

import ast
import re
import sys
from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np

from funcflow.core import dtypes, rules
from funcflow.core.array import wrap
from funcflow.core.aval import ShapedArray, ShapeDtypeStruct
from funcflow.core.jaxpr import NO_EFFECTS, Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from funcflow.core.pprint import FORMAT, VERSION, is_record
from funcflow.core.primitive import Primitive
from funcflow.core.tokens import Token, TokenReader

_TYPE = re.compile(r"(\w+)\[([\d,]*)\](\*?)")
_PYTHON = {"True": bool, "False": bool, "complex": complex}
_DTYPES = {dtype.name: dtype for dtype in dtypes.ALL} | {"float0": dtypes.float0}


def parse_jaxpr(text: str) -> Jaxpr | ClosedJaxpr:
    """The jaxpr that a text stands for.

    Args:
        text: as `jaxpr_to_text` writes it, with or without the line that tells its version.

    Returns:
        A `ClosedJaxpr`; a `Jaxpr` if the text says `open`, or leaves out the values of constants.

    Raises:
        JaxprParseError: naming the line and column. Parameters that are Python functions, such as
            custom rules and callbacks, have no text and cannot be read.
    """
    return _Parser(text).text()


class _Parser(TokenReader):
    """Recursive descent: one method for each rule of the grammar."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.variables: dict[str, Var] = {}
        self.primitives: dict[str, list[Primitive]] = {}
        for primitive in rules.abstract:
            self.primitives.setdefault(primitive.name, []).append(primitive)

    # --- jaxprs ---

    def text(self) -> Jaxpr | ClosedJaxpr:
        if self.next.text == FORMAT.partition(".")[0]:
            self.version()
        jaxpr = self.jaxpr()
        self.take("end", "the end of the text")
        return jaxpr

    def version(self) -> None:
        for word in FORMAT.split("."):
            self.accept(".")
            self.expect(word)
        token = self.take("number", "the version of the format")
        if token.text != str(VERSION):
            self.fail(
                f"the text is of version {token.text} of the format, this funcflow reads {VERSION}",
                token,
                mend="write the text again with this version of funcflow",
            )

    def jaxpr(self) -> Jaxpr | ClosedJaxpr:
        outer, self.variables = self.variables, {}
        is_open = self.accept("open")
        self.expect("{")
        self.expect("lambda")
        constvars = self.binders(";")
        invars = self.binders(".")
        self.expect("let")
        eqns: list[JaxprEqn] = []
        while not self.accept("in"):
            eqns.append(self.equation())
        self.expect("(")
        outvars = self.items(")", self.atom)
        self.expect("}")
        jaxpr = Jaxpr(constvars, invars, outvars, eqns)
        values = self.constants(constvars)
        self.variables = outer
        if is_open or len(values) < len(constvars):
            return jaxpr
        return ClosedJaxpr(jaxpr, values)

    def binders(self, closing: str) -> list[Var]:
        found: list[Var] = []
        while not self.accept(closing):
            found.append(self.binder())
        return found

    def binder(self) -> Var:
        name = self.take("name", "a variable")
        self.expect(":")
        var = Var(self.type())
        if name.text in self.variables:
            self.fail(f"the variable {name.text!r} is assigned twice", name)
        if name.text != "_":
            self.variables[name.text] = var
        return var

    def equation(self) -> JaxprEqn:
        outvars: list[Var] = []
        while self.peek() == ":":
            outvars.append(self.binder())
        if outvars:
            self.expect("=")
        token = self.take("name", "a primitive")
        primitive = self.primitive(token)
        params: dict[str, Any] = dict.fromkeys(rules.parameters(primitive))
        params |= self.params() if self.accept("[") else []
        line = self.tokens[self.place - 1].line
        invars: list[Atom] = []
        while self.next.line == line and self.next.text not in ("in", "}"):
            invars.append(self.atom())
        effects = rules.effects[primitive](**params) if primitive in rules.effects else NO_EFFECTS
        return JaxprEqn(invars, outvars, primitive, params, effects)

    def primitive(self, token: Token) -> Primitive:
        found = self.primitives.get(token.text, [])
        if len(found) != 1:
            reason = "there are several primitives" if found else "there is no primitive"
            self.fail(f"{reason} named {token.text!r}", token)
        return found[0]

    def params(self) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        while not self.accept("]"):
            name = self.take("name", "a parameter").text
            self.expect("=")
            found.append((name, self.value()))
        return found

    def atom(self) -> Atom:
        token = self.next
        if not self.at_scalar():
            self.take("name", "a variable or a literal")
            if token.text not in self.variables:
                self.fail(f"the variable {token.text!r} is not defined", token)
            return self.variables[token.text]
        read = self.scalar()
        self.expect(":")
        aval = self.type()
        return Literal(read(aval.dtype), aval)

    def type(self) -> ShapedArray:
        token = self.take("type", "a type such as f32[3]")
        match = _TYPE.fullmatch(token.text)
        assert match is not None
        name, extents, weak = match.groups()
        dtype = dtypes.float0 if name == "float0" else dtypes.FROM_SHORT_NAME.get(name)
        if dtype is None:
            self.fail(f"there is no dtype {name!r}", token)
        return ShapedArray(tuple(int(e) for e in extents.split(",") if e), dtype, bool(weak))

    def constants(self, constvars: list[Var]) -> list[Any]:
        """The values that follow a closed jaxpr, one for each of its constants."""
        values: list[Any] = []
        for var in constvars:
            if not self.accept("where"):
                return []
            name = self.take("name", "a constant")
            if self.variables.get(name.text) is not var:
                self.fail(f"expected the value of another constant, got {name.text!r}", name)
            self.expect("=")
            values.append(self.array(var.aval))
        return values

    def array(self, aval: ShapedArray) -> Any:
        token = self.next
        elements = [read(aval.dtype) for read in self.elements()]
        if len(elements) != aval.size:
            self.fail(f"expected {aval.size} values for {aval}, got {len(elements)}", token)
        value = np.array(elements, aval.dtype).reshape(aval.shape)
        return wrap(value, aval.weak_type)

    def elements(self) -> list["Scalar"]:
        if self.accept("["):
            return [read for row in self.items("]", self.elements) for read in row]
        return [self.scalar()]

    # --- values ---

    def at_scalar(self) -> bool:
        token = self.next
        return token.kind == "number" or token.text in ("True", "False", "complex")

    def scalar(self) -> "Scalar":
        """A number, whose dtype is known only later."""
        token = self.take()
        if token.text == "complex":
            self.expect("(")
            real = self.scalar()
            self.expect(",")
            imag = self.scalar()
            self.expect(")")
            return lambda dtype: _complex(real, imag, dtype)
        text = token.text
        if text == "nan" and self.accept("("):
            text = self.take("number", "the bits of the number").text
            self.expect(")")
        elif token.kind != "number" and text not in ("True", "False"):
            self.fail(f"expected a number, got {text!r}", token)

        def read(dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
            try:
                return _read(text, dtype)
            except (ValueError, OverflowError):
                self.fail(f"{text} is no {dtype.name}", token)

        return read

    def value(self) -> Any:
        """The value of a parameter."""
        token = self.next
        if token.text == "open" or (token.text == "{" and self.peek() == "lambda"):
            return self.jaxpr()
        if self.at_scalar():
            if re.fullmatch(r"[+-]?\d+", token.text):
                return int(self.take().text)
            return self.scalar()(np.dtype(_PYTHON.get(token.text, float))).item()
        if token.kind == "type":
            return self.type()
        self.take()
        if token.kind == "string":
            return ast.literal_eval(token.text)
        if token.kind == "name":
            return self.named(token)
        if token.text == "(":
            return tuple(self.items(")", self.value))
        if token.text == "{":
            return frozenset(self.items("}", self.value))
        if token.kind == "opaque":
            self.fail(
                f"{token.text} stands for a Python object that has no text, such as a custom rule "
                "or a callback",
                token,
                mend="trace the function again instead of reading its jaxpr",
            )
        self.fail(f"expected a value, got {token.text!r}", token)

    def named(self, token: Token) -> Any:
        """What begins with a name: None, a dtype or its scalar, a record, or an enumeration."""
        name = token.text
        if name == "None":
            return None
        if name in _DTYPES:
            if not self.accept("("):
                return _DTYPES[name]
            read = self.scalar()
            self.expect(")")
            return read(_DTYPES[name])[()]
        if name == "ShapeDtypeStruct":
            self.expect("(")
            aval = self.type()
            self.expect(")")
            return ShapeDtypeStruct(aval.shape, aval.dtype, aval.weak_type)
        cls = self.named_class(token)
        if self.accept("."):
            member = self.take("name", f"a member of {name}")
            if not issubclass(cls, Enum) or member.text not in cls.__members__:
                self.fail(f"{name} has no member {member.text!r}", member)
            return cls[member.text]
        self.expect("(")
        fields = dict(self.items(")", self.field))
        try:
            return cls(**fields)
        except TypeError as error:
            self.fail(str(error), token)

    def field(self) -> tuple[str, Any]:
        name = self.take("name", "a field").text
        self.expect("=")
        return name, self.value()

    def named_class(self, token: Token) -> Any:
        found = {
            cls
            for module_name, module in list(sys.modules.items())
            if module_name.startswith("funcflow.")
            for cls in vars(module).values()
            if isinstance(cls, type) and cls.__name__ == token.text
            if cls.__module__.startswith("funcflow.") and (is_record(cls) or issubclass(cls, Enum))
        }
        if len(found) != 1:
            reason = "there are several classes" if found else "there is no class"
            self.fail(f"{reason} named {token.text!r}", token)
        return found.pop()


# A number as a function of the dtype it is to have; gives an array of no dimension.
Scalar = Callable[[np.dtype[Any]], np.ndarray[Any, Any]]


def _read(text: str, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    kind = dtypes.kind(dtype)
    if kind == "b":
        return np.asarray({"True": True, "False": False}[text])
    if kind in "iu":
        return np.asarray(int(text), dtype)
    if text.startswith("0x"):
        bits = int(text, 16).to_bytes(dtype.itemsize, sys.byteorder)
        return np.frombuffer(bits, dtype).reshape(())
    with np.errstate(over="ignore"):
        return np.asarray(float(text)).astype(dtype)


def _complex(real: Scalar, imag: Scalar, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    part = dtypes.real_of(dtype)
    return np.array([real(part), imag(part)], part).view(dtype).reshape(())
