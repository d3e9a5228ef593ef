"""Equality of jaxprs up to the names of their variables, for caches of compiled programs.

The key of a jaxpr is a flat tuple in which each variable is the number of its definition. Building
one costs a microsecond or two per equation, and its hash is taken once. Source lines do not count.
"""

from collections.abc import Callable
from typing import Any

from funcflow.core.array import as_buffer
from funcflow.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, Literal, Var
from funcflow.core.trace import Tracer
from funcflow.core.typing import is_tuple


class StructuralKey:
    """The structure of a jaxpr, as a key of a dictionary."""

    __slots__ = ("_hash", "items")

    def __init__(self, items: tuple[Any, ...]) -> None:
        self.items = items
        self._hash = hash(items)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is StructuralKey and self._hash == other._hash and self.items == other.items
        )


def structural_key(jaxpr: Jaxpr | ClosedJaxpr) -> StructuralKey:
    """A key that is equal for jaxprs that do the same, equation by equation.

    The values of the jaxpr's own constants do not count, only their types: compiled programs take
    them as arguments. Those of closed jaxprs among the parameters do.
    """
    return StructuralKey(_items(jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr))


def same_structure(a: Jaxpr | ClosedJaxpr, b: Jaxpr | ClosedJaxpr) -> bool:
    """Whether two jaxprs differ at most in their variables, source lines and own constants."""
    return structural_key(a) == structural_key(b)


def _items(jaxpr: Jaxpr) -> tuple[Any, ...]:
    numbers: dict[Var, int] = {}
    items: list[Any] = [len(jaxpr.constvars), len(jaxpr.invars), len(jaxpr.outvars)]

    def define(variables: tuple[Var, ...] | list[Var]) -> None:
        for var in variables:
            aval = var.aval
            numbers[var] = len(numbers)
            items.append(aval.shape)
            items.append(aval.dtype)
            items.append(aval.weak_type)

    def use(atoms: tuple[Atom, ...] | list[Atom]) -> None:
        for v in atoms:
            if isinstance(v, Literal):
                items.append((v.val.tobytes(), v.aval.dtype, v.aval.weak_type))
            else:
                # a variable that is defined nowhere (the type checker finds it) is its own key
                items.append(numbers.get(v, v))

    define(jaxpr.constvars)
    define(jaxpr.invars)
    for eqn in jaxpr.eqns:
        items.append(eqn.primitive)
        items.append(len(eqn.invars))
        use(eqn.invars)
        if eqn.params:
            items.append(tuple([(k, _param_key(v)) for k, v in sorted(eqn.params.items())]))
        items.append(len(eqn.outvars))
        define(eqn.outvars)
    use(jaxpr.outvars)
    return tuple(items)


def _param_key(value: Any) -> Any:
    """A hashable value that tells parameters apart, also those that Python takes for equal."""
    convert = _CONVERSIONS.get(type(value))
    if convert is not None:
        return convert(value)
    return (type(value), _tuple_key(value)) if is_tuple(value) else value


def _tuple_key(value: tuple[Any, ...]) -> Any:
    return tuple(map(_param_key, value))


def _closed_key(closed: ClosedJaxpr) -> Any:
    return "closed", _items(closed.jaxpr), tuple(map(_constant_key, closed.consts))


def _constant_key(x: Any) -> Any:
    if isinstance(x, Tracer):
        return _Identity(x)
    buffer = as_buffer(x)
    return buffer.shape, buffer.dtype, buffer.tobytes()


class _Identity:
    """A value that is equal to itself only."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return type(other) is _Identity and self.value is other.value


# -0.0 == 0.0 and True == 1 == 1.0, but nan != nan
_CONVERSIONS: dict[Any, Callable[[Any], Any]] = {
    bool: lambda value: (bool, value),
    float: lambda value: (float, value.hex()),
    complex: lambda value: (complex, value.real.hex(), value.imag.hex()),
    tuple: _tuple_key,
    Jaxpr: lambda value: ("open", _items(value)),
    ClosedJaxpr: _closed_key,
}
