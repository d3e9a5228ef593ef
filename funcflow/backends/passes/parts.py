"""Complex arithmetic as arithmetic on real and imaginary parts, which kernels can compute.

A complex value is known as a whole, as its two parts, or as both. Arguments and results of library
calls are wholes; their parts are views (`real`, `imag`). Arithmetic is done on parts, and a whole
is put together (`complex`) only where something needs it: an output, a library call, a step that
Python runs, a view that is more than a renaming of axes and would keep both parts from being used
in one kernel. What is needed of a view is known only when it is used, so it is made then.

How operations are done on parts is in `complex_arithmetic.py`.
"""

from typing import Any

from funcflow.backends.passes.complex_arithmetic import Parts, number, operation_of
from funcflow.backends.passes.kinds import only_adds_ones
from funcflow.core import dtypes, rules
from funcflow.core.jaxpr import Atom, ClosedJaxpr, JaxprEqn, Literal, Var
from funcflow.core.primitive import Primitive
from funcflow.lax.casting import copy_p, stop_gradient_p
from funcflow.lax.complex import complex_p, imag_p, real_p
from funcflow.lax.shape import broadcast_in_dim_p, reshape_p, transpose_p
from funcflow.lax.slicing import rev_p, slice_p

_VIEWS = frozenset([broadcast_in_dim_p, reshape_p, transpose_p, slice_p, rev_p])
_IDENTITIES = frozenset([copy_p, stop_gradient_p])


def split_complex(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The same jaxpr with complex arithmetic on parts."""
    if not any(map(_has_complex, closed.eqns)):
        return closed
    jaxpr = closed.jaxpr
    splitter = _Splitter([*jaxpr.constvars, *jaxpr.invars])
    for eqn in closed.eqns:
        splitter.add(eqn)
    outvars = [splitter.whole(v) for v in jaxpr.outvars]
    return ClosedJaxpr(jaxpr.replace(eqns=splitter.eqns, outvars=outvars), closed.consts)


def _has_complex(eqn: JaxprEqn) -> bool:
    return any(dtypes.is_complex(v.aval.dtype) for v in (*eqn.invars, *eqn.outvars))


def _renames(view: JaxprEqn) -> bool:
    """Whether a view only renames axes, or repeats values along new ones."""
    renaming = view.primitive in (transpose_p, broadcast_in_dim_p)
    return renaming or (view.primitive is reshape_p and only_adds_ones(view))


class _Splitter:
    """Equations that are added one by one, those of complex numbers as others on their parts.

    Attributes:
        eqns: the equations that are left.
    """

    def __init__(self, given: list[Var]) -> None:
        self.eqns: list[JaxprEqn] = []
        self._wholes: set[Var] = set(given)
        self._parts: dict[Var, Parts] = {}
        self._views: dict[Var, JaxprEqn] = {}  # not made yet
        self._known: dict[Var, Atom] = {}
        self._like: JaxprEqn | None = None  # whose source line new equations have

    def add(self, eqn: JaxprEqn) -> None:
        """Add an equation."""
        self._like = eqn
        eqn = eqn.replace(invars=[self._read(v) for v in eqn.invars])
        operation = operation_of(eqn)
        if not _has_complex(eqn):
            self._append(eqn)
        elif eqn.primitive in _VIEWS:
            self._views[eqn.outvars[0]] = eqn
        elif eqn.primitive in _IDENTITIES:
            self._known[eqn.outvars[0]] = eqn.invars[0]
        elif operation is not None:
            operands = [self._operand(v) for v in eqn.invars]
            self._define(eqn.outvars[0], operation(self, *operands, **eqn.params))
        else:
            self._append(eqn.replace(invars=[self.whole(v) for v in eqn.invars]))

    def whole(self, v: Atom) -> Atom:
        """The atom of a value as a whole, which is put together if it is not there yet."""
        v = self._read(v)
        if isinstance(v, Literal) or v in self._wholes:
            return v
        if v in self._views:
            view = self._views[v]
            self._append(view.replace(invars=[self.whole(view.invars[0])]))
        else:
            self._append(self._equation(complex_p, self._parts[v], v, {}))
        return v

    def __call__(self, primitive: Primitive, *operands: Atom, **params: Any) -> Atom:
        abstract = rules.abstract[primitive]
        assert not isinstance(abstract, rules.Absent)
        out = Var(abstract(*(v.aval for v in operands), **params))
        self._append(self._equation(primitive, operands, out, params))
        return out

    def _equation(
        self, primitive: Primitive, operands: Any, out: Var, params: dict[str, Any]
    ) -> JaxprEqn:
        assert self._like is not None
        return JaxprEqn(list(operands), [out], primitive, params, source=self._like.source)

    def _append(self, eqn: JaxprEqn) -> None:
        self.eqns.append(eqn)
        self._wholes.update(eqn.outvars)

    def _read(self, v: Atom) -> Atom:
        return self._known.get(v, v) if isinstance(v, Var) else v

    def _operand(self, v: Atom) -> Atom | Parts:
        """What an operation takes."""
        return self._parts_of(v) if dtypes.is_complex(v.aval.dtype) else v

    def _parts_of(self, v: Atom) -> Parts:
        """The parts of a value."""
        if isinstance(v, Literal):
            return Parts(*(number(part, v) for part in (v.val.real, v.val.imag)))
        if v not in self._parts:
            if self._lies_in_parts(v):
                view = self._views[v]
                parts = self._parts_of(view.invars[0])
                found = [self(view.primitive, part, **view.params) for part in parts]
            else:
                found = [self(part, self.whole(v)) for part in (real_p, imag_p)]
            self._parts[v] = Parts(*found)
        return self._parts[v]

    def _lies_in_parts(self, v: Atom) -> bool:
        """Whether a value is computed in parts, or is a view of such a value that renames axes."""
        if isinstance(v, Literal) or v in self._wholes:
            return False
        view = self._views.get(v)
        return view is None or (_renames(view) and self._lies_in_parts(view.invars[0]))

    def _define(self, out: Var, result: Atom | Parts) -> None:
        if isinstance(result, Parts):
            self._parts[out] = Parts(*(self._broadcast(part, out.aval.shape) for part in result))
        else:
            self._known[out] = result

    def _broadcast(self, v: Atom, shape: tuple[int, ...]) -> Atom:
        if v.aval.shape == shape:
            return v
        axes = tuple(range(len(shape) - v.aval.ndim, len(shape)))
        return self(broadcast_in_dim_p, v, shape=shape, broadcast_dimensions=axes)
