"""Products that are read transposed are computed transposed.

`vmap` and differentiation leave products whose results are transposed before they are used, often
behind elementwise operations. The view costs nothing, but a kernel that reads it runs across
memory. So the factors change places, and the result lies as it is read:

    transpose(f(dot_general(a, b)))    =>    f(dot_general(b, a))

Reductions of `f(...)` take either. The sums of a product may be taken in another order then. What
only other products read stays as it is, since they take their factors either way.
"""

from math import prod

from funcflow.backends.passes.inline import inline
from funcflow.backends.passes.kinds import REDUCTIONS
from funcflow.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from funcflow.lax.casting import convert_element_type_p
from funcflow.lax.dot import Axes, dot_general_p
from funcflow.lax.forms import ELEMENTWISE
from funcflow.lax.scan import scan_p
from funcflow.lax.shape import transpose_p


def turned_products(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The same jaxpr with such products turned, in the bodies of scans as well."""
    jaxpr = closed.jaxpr
    eqns = [_with_turned_body(eqn) if eqn.primitive is scan_p else eqn for eqn in jaxpr.eqns]
    jaxpr = jaxpr.replace(eqns=eqns)
    orders = _Readers(jaxpr).orders()
    return ClosedJaxpr(_Turner(jaxpr, orders).turned() if orders else jaxpr, closed.consts)


def _with_turned_body(eqn: JaxprEqn) -> JaxprEqn:
    body = inline(eqn.params["jaxpr"])
    return eqn.replace(params=eqn.params | {"jaxpr": turned_products(body)})


class _Readers:
    """Finds the products to turn, by the equations that read what is made of them."""

    def __init__(self, jaxpr: Jaxpr) -> None:
        self._eqns = jaxpr.eqns
        self._outputs = {v for v in jaxpr.outvars if isinstance(v, Var)}
        self._of: dict[Var, list[JaxprEqn]] = {}
        for eqn in jaxpr.eqns:
            for v in eqn.invars:
                if isinstance(v, Var):
                    self._of.setdefault(v, []).append(eqn)

    def orders(self) -> dict[Var, Axes]:
        """How the axes of values are to be brought into another order: of products, and of more."""
        orders: dict[Var, Axes] = {}
        for eqn in self._eqns:
            order = _swapping(eqn) if eqn.primitive is dot_general_p else None
            if order is not None:
                found = dict.fromkeys(self._depending(eqn.outvars[0], order), order)
                if all(orders.get(v, order) == order for v in found):
                    orders |= found
        return orders

    def _depending(self, product: Var, order: Axes) -> set[Var]:
        """A product and what it makes elementwise, if transposes read that; else nothing."""
        found, left = {product}, [product]
        transposed: list[Var] = []
        while left:
            v = left.pop()
            if v in self._outputs:
                return set()
            for reader in self._of.get(v, ()):
                if _is_elementwise(reader):
                    (out,) = reader.outvars
                    left += [] if out in found else [out]
                    found.add(out)
                elif reader.primitive is transpose_p and reader.params["permutation"] == order:
                    transposed += reader.outvars
                elif not (_reduces(reader) and _is_indifferent(reader, order)):
                    return set()
        pays = len(found) > 1 or any(map(self._is_computed_with, transposed))
        return found if transposed and pays else set()

    def _is_computed_with(self, v: Var) -> bool:
        """Whether a value is a result, or more than products read it."""
        readers = self._of.get(v, ())
        return v in self._outputs or any(r.primitive is not dot_general_p for r in readers)


class _Turner:
    """Writes a jaxpr in which the axes of some values are in another order."""

    def __init__(self, jaxpr: Jaxpr, orders: dict[Var, Axes]) -> None:
        self._jaxpr = jaxpr
        self._orders = orders
        self._eqns: list[JaxprEqn] = []
        self._turned = {v: _transpose_of(v, order) for v, order in orders.items()}
        self._sides: dict[tuple[Var, Axes], Var] = {}  # other operands, and their transposes
        self._renamed: dict[Var, Var] = {}

    def turned(self) -> Jaxpr:
        """The jaxpr."""
        for eqn in self._jaxpr.eqns:
            self._add(eqn.replace(invars=[self._read(v) for v in eqn.invars]))
        outvars = [self._read(v) for v in self._jaxpr.outvars]
        return self._jaxpr.replace(eqns=self._eqns, outvars=outvars)

    def _read(self, v: Atom) -> Atom:
        return v if isinstance(v, Literal) else self._renamed.get(v, v)

    def _add(self, eqn: JaxprEqn) -> None:
        out, operand = eqn.outvars[0] if eqn.outvars else None, _first(eqn.invars)
        if out in self._turned:
            order = self._orders[out]
            eqn = (
                _swapped(eqn)
                if eqn.primitive is dot_general_p
                else eqn.replace(invars=[self._transposed(v, order, eqn) for v in eqn.invars])
            )
            self._eqns.append(eqn.replace(outvars=[self._turned[out]]))
        elif operand not in self._turned:
            self._eqns.append(eqn)
        elif eqn.primitive is transpose_p:
            assert out is not None
            self._renamed[out] = self._turned[operand]
        else:
            reduced = eqn.params["axes"]
            axes = tuple(i for i, a in enumerate(self._orders[operand]) if a in reduced)
            params = eqn.params | {"axes": axes}
            self._eqns.append(eqn.replace(invars=[self._turned[operand]], params=params))

    def _transposed(self, v: Atom, order: Axes, reader: JaxprEqn) -> Atom:
        """What an elementwise equation reads in the place of an operand."""
        if isinstance(v, Literal) or not v.aval.ndim:
            return v
        if v in self._turned:
            return self._turned[v]
        if (v, order) not in self._sides:
            out = self._sides[v, order] = _transpose_of(v, order)
            params = {"permutation": order}
            self._eqns.append(JaxprEqn([v], [out], transpose_p, params, source=reader.source))
        return self._sides[v, order]


def _first(atoms: list[Atom]) -> Var | None:
    return atoms[0] if atoms and isinstance(atoms[0], Var) else None


def _transpose_of(v: Var, order: Axes) -> Var:
    return Var(v.aval.update(shape=tuple(v.aval.shape[i] for i in order)))


def _swapping(product: JaxprEqn) -> Axes | None:
    """The order of the axes if the factors change places; None if one is no matrix."""
    (contracted, _), (batch, _) = product.params["dimension_numbers"]
    shape = product.outvars[0].aval.shape
    first, second = len(batch), product.invars[0].aval.ndim - len(contracted)
    if prod(shape[first:second]) == 1 or prod(shape[second:]) == 1:
        return None
    return (*range(first), *range(second, len(shape)), *range(first, second))


def _swapped(product: JaxprEqn) -> JaxprEqn:
    """A product with its factors in each other's place."""
    contracted, batch = product.params["dimension_numbers"]
    params = product.params | {"dimension_numbers": (contracted[::-1], batch[::-1])}
    if params["precision"] is not None:
        params["precision"] = params["precision"][::-1]
    return product.replace(invars=product.invars[::-1], params=params)


def _is_elementwise(eqn: JaxprEqn) -> bool:
    """Whether an equation computes one array element by element, from such and from scalars."""
    if eqn.effects or len(eqn.outvars) > 1:
        return False
    ndim = eqn.outvars[0].aval.ndim
    known = eqn.primitive in ELEMENTWISE or eqn.primitive is convert_element_type_p
    return known and all(v.aval.ndim in (0, ndim) for v in eqn.invars)


def _reduces(eqn: JaxprEqn) -> bool:
    """Whether an equation reduces axes to what does not depend on the order of elements."""
    return eqn.primitive.name in REDUCTIONS and eqn.primitive.name.startswith("reduce_")


def _is_indifferent(reduction: JaxprEqn, order: Axes) -> bool:
    """Whether a reduction gives the same of an array and of its transpose."""
    left = [axis for axis in order if axis not in reduction.params["axes"]]
    return left == sorted(left)
