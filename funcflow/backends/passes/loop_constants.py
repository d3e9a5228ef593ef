"""Matrices that a loop multiplies by, brought into order before it.

A product with a transposed matrix first copies it into order, in each step of a loop. A constant of
the loop is transposed once instead: the loop is given the transposed array, which is written out
where the loop begins.

    scan: dot_general(x, w), over the last axis of w    =>    the same over the first axis of w^T

The reverse of a recurrence is of this kind, with the weights of the recurrence. Vectors are left
alone, since their products read a matrix either way.
"""

from math import prod

from funcflow.backends.passes.scans import Scan
from funcflow.core.jaxpr import ClosedJaxpr, JaxprEqn, Var
from funcflow.lax.dot import Axes, Numbers, dot_general_p, free_axes
from funcflow.lax.scan import scan_p
from funcflow.lax.shape import transpose_p


def loop_constants(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The same jaxpr with the constant factors of products in loops in order."""
    eqns: list[JaxprEqn] = []
    for eqn in closed.eqns:
        eqns += _Loop(eqn).equations() if eqn.primitive is scan_p else [eqn]
    return ClosedJaxpr(closed.jaxpr.replace(eqns=eqns), closed.consts)


class _Loop:
    """A scan whose products get their constant factors in order."""

    def __init__(self, eqn: JaxprEqn) -> None:
        self._eqn = eqn
        self._scan = Scan(eqn)
        self._outside = dict(self._scan.consts)
        self._before: dict[tuple[Var, Axes], JaxprEqn] = {}
        self._given: dict[tuple[Var, Axes], Var] = {}

    def equations(self) -> list[JaxprEqn]:
        """The scan, and in front of it the transposed constants that it is given."""
        self._scan.eqns = [
            self._in_order(self._in_order(e, 0), 1) if _is_of_matrices(e) else e
            for e in self._scan.eqns
        ]
        if not self._before:
            return [self._eqn]
        return [*self._before.values(), self._scan.equation()]

    def _in_order(self, eqn: JaxprEqn, place: int) -> JaxprEqn:
        """A product, one of its operands being transposed outside if that is a constant."""
        v, order = eqn.invars[place], _order(eqn, place)
        if not isinstance(v, Var) or v not in self._outside or order == tuple(range(len(order))):
            return eqn
        if (v, order) not in self._given:
            self._transpose(v, order, eqn)
        invars = list(eqn.invars)
        invars[place] = self._given[v, order]
        numbers = _numbers_in_order(eqn.params["dimension_numbers"], place, len(order))
        return eqn.replace(invars=invars, params=eqn.params | {"dimension_numbers": numbers})

    def _transpose(self, v: Var, order: Axes, like: JaxprEqn) -> None:
        """Give the loop a constant more, another one transposed."""
        aval = v.aval.update(shape=tuple(v.aval.shape[i] for i in order))
        inside, outside = Var(aval), Var(aval)
        self._given[v, order] = inside
        self._scan.consts.append((inside, outside))
        params = {"permutation": order}
        self._before[v, order] = JaxprEqn(
            [self._outside[v]], [outside], transpose_p, params, source=like.source
        )


def _is_of_matrices(eqn: JaxprEqn) -> bool:
    """Whether an equation is a product, of operands that have more than one row and column."""
    return eqn.primitive is dot_general_p and all(
        prod(v.aval.shape[i] for i in axes) > 1
        for v, place in zip(eqn.invars, (0, 1), strict=True)
        for axes in _parts(eqn.params["dimension_numbers"], place, v.aval.ndim)[1:]
    )


def _order(eqn: JaxprEqn, place: int) -> Axes:
    """The axes of an operand as a product reads them without a copy."""
    v = eqn.invars[place]
    batch, free, contracted = _parts(eqn.params["dimension_numbers"], place, v.aval.ndim)
    return (*batch, *free, *contracted) if place == 0 else (*batch, *contracted, *free)


def _parts(numbers: Numbers, place: int, ndim: int) -> tuple[Axes, Axes, Axes]:
    """The batch, free and contracted axes of an operand."""
    contracted, batch = (pair[place] for pair in numbers)
    return batch, free_axes(ndim, contracted, batch), contracted


def _numbers_in_order(numbers: Numbers, place: int, ndim: int) -> Numbers:
    """The numbers for an operand whose axes have been brought into order."""
    batch, free, contracted = map(len, _parts(numbers, place, ndim))
    first = batch + free if place == 0 else batch
    contracting, batches = list(numbers[0]), list(numbers[1])
    contracting[place] = tuple(range(first, first + contracted))
    batches[place] = tuple(range(batch))
    return (contracting[0], contracting[1]), (batches[0], batches[1])
