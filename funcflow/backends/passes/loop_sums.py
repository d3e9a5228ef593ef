"""Sums of products leave loops.

The gradient of weights that a loop uses is a sum over its steps: the reverse loop carries it and
adds `a^T @ b` in each step, which reads and writes the whole sum. Where nothing else uses the sum
while the loop runs, the operands are stacked instead, and one product after the loop contracts over
the steps as well. Operands of derivatives are stacked already as a rule: they were saved for the
reverse loop, or are the cotangents of its inputs.

    scan: c' = c + dot_general(a, b)      =>      c + dot_general(stacked a, stacked b)

Sums along axes follow if what they add is in a stack. So sums are taken in another order.

Memory sets the limit. What must be stacked only for this takes, in each step, no more than the sum
that the step would read and write, and no more than what is in stacks without it: their memory
doubles at most.
"""

from funcflow.backends.passes.scans import Carry, Scan, nbytes
from funcflow.core import dtypes
from funcflow.core.jaxpr import Atom, ClosedJaxpr, JaxprEqn, Var
from funcflow.lax.arithmetic import add_p
from funcflow.lax.casting import convert_element_type_p
from funcflow.lax.dot import Axes, Numbers, dot_general_p
from funcflow.lax.scan import scan_p
from funcflow.lax.shape import reduce_sum_p, reshape_p, transpose_p


def loop_sums(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The same jaxpr with sums of products taken after the loops that carried them."""
    eqns: list[JaxprEqn] = []
    for eqn in closed.eqns:
        eqns += _without_sums(eqn) if eqn.primitive is scan_p else [eqn]
    return ClosedJaxpr(closed.jaxpr.replace(eqns=eqns), closed.consts)


def _without_sums(eqn: JaxprEqn) -> list[JaxprEqn]:
    """A scan, and behind it what it need not do itself."""
    scan = Scan(eqn)
    after: list[JaxprEqn] = []
    # twice, since what is stacked for the products may be what other sums add
    for carry in scan.carry * 2:
        terms = _terms(scan, carry) if carry in scan.carry else []
        if terms and _pays(scan, carry, terms):
            scan.carry.remove(carry)
            after += _sums(scan, carry, terms)
    if not after:
        return [eqn]
    return [scan.equation(), *after] if scan.does_something() else after


def _terms(scan: Scan, carry: Carry) -> list[Var]:
    """What is added to a carried value in a step; nothing if more is done with it than that."""
    terms: list[Var] = []
    atoms, found = [carry.after], False
    while atoms:
        v = atoms.pop()
        eqn = scan.made.get(v) if isinstance(v, Var) else None
        if v is carry.before:
            found = True
        elif eqn is not None and _only_adds(scan, eqn):
            atoms += eqn.invars
        elif isinstance(v, Var) and scan.changes(v):
            terms.append(v)
        else:
            return []
    return terms if found and scan.uses[carry.before] == 1 else []


def _only_adds(scan: Scan, eqn: JaxprEqn) -> bool:
    """Whether an equation adds arrays of one shape, for one reader."""
    out = eqn.outvars[0]
    alike = all(v.aval.shape == out.aval.shape for v in eqn.invars)
    return eqn.primitive is add_p and alike and scan.uses[out] == 1


# --- when ---------------------------------------------------------------------------------------


def _pays(scan: Scan, carry: Carry, terms: list[Var]) -> bool:
    """Whether the sums of these terms should be taken after the loop."""
    missing: dict[Var, None] = {}
    for term in terms:
        needed = _needed(scan, term)
        if needed is None:
            return False
        missing |= dict.fromkeys(needed)
    added = sum(nbytes(v.aval) for v in missing)
    return scan.length > 1 and added <= min(nbytes(carry.before.aval), scan.row_bytes())


def _needed(scan: Scan, term: Var) -> list[Var] | None:
    """What must be stacked for the sum of a term; None if the loop should add it up."""
    source, _ = _taken_apart(scan, term)
    eqn = scan.made.get(source)
    if eqn is not None and eqn.primitive is dot_general_p:
        if not all(map(scan.changes, eqn.invars)):
            return None
        return [v for v in eqn.invars if isinstance(v, Var) and scan.stacked(v) is None]
    summed, _ = _summed(scan, source)
    return None if scan.stacked(summed) is None else []


def _taken_apart(scan: Scan, term: Var) -> tuple[Var, list[JaxprEqn]]:
    """What a term is a rearrangement of, and the equations that rearrange it, in order."""
    eqns: list[JaxprEqn] = []
    while (eqn := scan.made.get(term)) is not None and _rearranges(eqn):
        (v,) = eqn.invars
        if not isinstance(v, Var):
            break
        eqns.insert(0, eqn)
        term = v
    return term, eqns


def _rearranges(eqn: JaxprEqn) -> bool:
    """Whether an equation does to a sum what it does to its terms, but for rounding.

    Who adds in a wider dtype than that of the terms means the sum not to overflow in theirs.
    """
    if eqn.primitive is convert_element_type_p:
        before, after = (v.aval.dtype for v in (*eqn.invars, *eqn.outvars))
        are_floats = dtypes.is_float(before) and dtypes.is_float(after)
        return are_floats and (before.itemsize > after.itemsize or before == after)
    return eqn.primitive in (transpose_p, reshape_p)


def _summed(scan: Scan, v: Var) -> tuple[Var, Axes]:
    """What a value is a sum of, and along which axes."""
    eqn = scan.made.get(v)
    if eqn is not None and eqn.primitive is reduce_sum_p and isinstance(eqn.invars[0], Var):
        return eqn.invars[0], eqn.params["axes"]
    return v, ()


# --- how ----------------------------------------------------------------------------------------


def _sums(scan: Scan, carry: Carry, terms: list[Var]) -> list[JaxprEqn]:
    """The equations that sum the terms of all steps, and give what was carried in the end."""
    eqns: list[JaxprEqn] = []
    assert isinstance(carry.after, Var)
    source = scan.made[carry.after].source
    total = carry.start
    for i, term in enumerate(terms):
        found = _sum(scan, term, eqns)
        end = carry.end if i == len(terms) - 1 else Var(carry.end.aval)
        eqns.append(JaxprEqn([total, found], [end], add_p, {}, source=source))
        total = end
    return eqns


def _sum(scan: Scan, term: Var, eqns: list[JaxprEqn]) -> Var:
    """The sum of a term of the body over all steps."""
    source, rearrangements = _taken_apart(scan, term)
    total, eqn = Var(source.aval), scan.made.get(source)
    if eqn is not None and eqn.primitive is dot_general_p:
        stacks: list[Atom] = [scan.stack(v) for v in eqn.invars if isinstance(v, Var)]
        params = eqn.params | {"dimension_numbers": _over_steps(eqn.params["dimension_numbers"])}
        eqns.append(eqn.replace(invars=stacks, outvars=[total], params=params))
    else:
        v, axes = _summed(scan, source)
        params = {"axes": (0, *_behind(axes))}
        eqns.append(JaxprEqn([scan.stack(v)], [total], reduce_sum_p, params))
    for eqn in rearrangements:
        result = Var(eqn.outvars[0].aval)
        eqns.append(eqn.replace(invars=[total], outvars=[result]))
        total = result
    return total


def _over_steps(numbers: Numbers) -> Numbers:
    """The numbers of a product whose operands are stacked, contracted over the stacks too."""
    (lhs, rhs), (lhs_batch, rhs_batch) = numbers
    return ((0, *_behind(lhs)), (0, *_behind(rhs))), (_behind(lhs_batch), _behind(rhs_batch))


def _behind(axes: Axes) -> Axes:
    """Axes of a row as axes of the stack."""
    return tuple(a + 1 for a in axes)
