"""Jaxprs: functions as lists of typed equations in static single assignment form."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from funcflow.core.aval import ShapedArray
from funcflow.core.dtypes import scalar_dtype
from funcflow.core.primitive import Primitive
from funcflow.core.source import Source
from funcflow.core.typing import is_tuple

# What an equation does besides computing its results. `axis_effect(name)` marks the use of a
# named axis; `INDEX_CHECK` that indices out of bounds are counted, which forbids to drop the
# equation or to move it out of a loop. All others (callbacks, prints) forbid to drop, repeat or
# reorder it.
Effects: TypeAlias = frozenset[str]
NO_EFFECTS: Effects = frozenset()
INDEX_CHECK = "index check"
_AXIS = "axis:"


def axis_effect(name: object) -> str:
    """The effect of using a named axis."""
    return f"{_AXIS}{name!r}"


def has_side_effects(effects: Effects) -> bool:
    """Whether an equation does something that is to be seen, once and in its order."""
    return any(not effect.startswith(_AXIS) and effect != INDEX_CHECK for effect in effects)


def must_stay(effects: Effects) -> bool:
    """Whether an equation must stay even if nothing reads its results."""
    return any(not effect.startswith(_AXIS) for effect in effects)


class Var:
    """A variable, assigned once. Two variables are the same only if they are the same object."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval

    def __repr__(self) -> str:
        return f"Var({self.aval})"


class Literal:
    """A scalar constant written into the jaxpr."""

    __slots__ = ("aval", "val")

    def __init__(self, val: Any, aval: ShapedArray) -> None:
        self.val = val  # a 0-d NumPy array
        self.aval = aval

    @property
    def value(self) -> Any:
        """What an evaluation is given: a Python scalar where the literal is a weak one."""
        if self.aval.weak_type:
            scalar = self.val.item()
            if scalar_dtype(type(scalar)) == self.aval.dtype:
                return scalar
        return self.val

    def __eq__(self, other: object) -> bool:
        # NaN literals equal themselves: compare bytes, not values
        return (
            isinstance(other, Literal)
            and self.aval == other.aval
            and self.val.tobytes() == other.val.tobytes()
        )

    def __hash__(self) -> int:
        return hash((self.aval, self.val.tobytes()))

    def __repr__(self) -> str:
        return f"Literal({self.val})"


Atom: TypeAlias = Var | Literal


class JaxprEqn:
    """`outvars = primitive[params] invars`, with the user's line that asked for it."""

    __slots__ = ("effects", "invars", "outvars", "params", "primitive", "source")

    def __init__(
        self,
        invars: list[Atom],
        outvars: list[Var],
        primitive: Primitive,
        params: dict[str, Any],
        effects: Effects = NO_EFFECTS,
        source: Source | None = None,
    ) -> None:
        self.invars = invars
        self.outvars = outvars
        self.primitive = primitive
        self.params = params
        self.effects = effects
        self.source = source

    def replace(
        self,
        *,
        invars: list[Atom] | None = None,
        outvars: list[Var] | None = None,
        primitive: Primitive | None = None,
        params: dict[str, Any] | None = None,
        effects: Effects | None = None,
        source: Source | None = None,
    ) -> "JaxprEqn":
        """A copy with the named parts replaced."""
        return JaxprEqn(
            self.invars if invars is None else invars,
            self.outvars if outvars is None else outvars,
            self.primitive if primitive is None else primitive,
            self.params if params is None else params,
            self.effects if effects is None else effects,
            self.source if source is None else source,
        )

    def __repr__(self) -> str:
        from_, to = (
            ", ".join(map(str, (v.aval for v in vs))) for vs in (self.invars, self.outvars)
        )
        return f"JaxprEqn({self.primitive.name}: {from_} -> {to})"


class Jaxpr:
    """`{ lambda constvars ; invars. let eqns in outvars }`. Immutable by convention."""

    __slots__ = ("constvars", "effects", "eqns", "invars", "outvars")

    def __init__(
        self,
        constvars: Sequence[Var],
        invars: Sequence[Var],
        outvars: Sequence[Atom],
        eqns: Sequence[JaxprEqn],
    ) -> None:
        self.constvars = tuple(constvars)
        self.invars = tuple(invars)
        self.outvars = tuple(outvars)
        self.eqns = tuple(eqns)
        found = {effect for eqn in eqns if eqn.effects for effect in eqn.effects}
        self.effects: Effects = frozenset(found) if found else NO_EFFECTS

    def replace(self, **changes: Any) -> "Jaxpr":
        """A copy with the named parts replaced."""
        parts = {name: getattr(self, name) for name in ("constvars", "invars", "outvars", "eqns")}
        return Jaxpr(**{**parts, **changes})

    def __str__(self) -> str:
        return printer[0](self)

    __repr__ = __str__


# How jaxprs print themselves; `core.pprint`, which knows their text format, puts it here.
printer: list[Any] = [object.__repr__]


class ClosedJaxpr:
    """A jaxpr with the values of its constvars."""

    __slots__ = ("consts", "jaxpr")

    def __init__(self, jaxpr: Jaxpr, consts: Sequence[Any] = ()) -> None:
        self.jaxpr = jaxpr
        self.consts = tuple(consts)

    @property
    def eqns(self) -> tuple[JaxprEqn, ...]:
        return self.jaxpr.eqns

    @property
    def effects(self) -> Effects:
        return self.jaxpr.effects

    @property
    def in_avals(self) -> list[ShapedArray]:
        return [v.aval for v in self.jaxpr.invars]

    @property
    def out_avals(self) -> list[ShapedArray]:
        return [v.aval for v in self.jaxpr.outvars]

    def __str__(self) -> str:
        return str(self.jaxpr)

    __repr__ = __str__


def subjaxprs(eqn: JaxprEqn) -> list[Jaxpr]:
    """The jaxprs among an equation's parameters."""
    found: list[Jaxpr] = []
    if not eqn.params:
        return found
    for value in eqn.params.values():
        for item in value if is_tuple(value) else (value,):
            if isinstance(item, ClosedJaxpr):
                found.append(item.jaxpr)
            elif isinstance(item, Jaxpr):
                found.append(item)
    return found
