"""What rules can rely on."""

import numpy as np

import funcflow as ff
from funcflow import lax
from funcflow.backends.passes.rewriter import rewrite
from funcflow.core.evaluate import eval_closed
from funcflow.core.typecheck import check_jaxpr
from funcflow.lax.arithmetic import abs_p, mul_p, neg_p, sub_p
from funcflow.lax.forms import add_p

X = np.array([1.0, -2.0], "f4")


def names(closed):
    return [eqn.primitive.name for eqn in closed.eqns]


def test_a_rule_is_applied_to_what_it_gives():
    def rule(rewriter, eqn):
        changed = {add_p: sub_p, sub_p: mul_p}.get(eqn.primitive)
        return None if changed is None else eqn.replace(primitive=changed)

    closed = rewrite(ff.make_jaxpr(lambda x: x + x)(X), rule)
    check_jaxpr(closed)
    assert names(closed) == ["mul"]


def test_what_replaces_a_result_is_read_by_later_equations_and_outputs():
    def rule(rewriter, eqn):
        return eqn.invars[0] if eqn.primitive is neg_p else None

    closed = rewrite(ff.make_jaxpr(lambda x: (lax.neg(lax.neg(x)), -x + 1.0))(X), rule)
    check_jaxpr(closed)
    assert names(closed) == ["add"]
    assert closed.jaxpr.outvars[0] is closed.jaxpr.invars[0]


def test_emitted_equations_come_before_and_have_the_source_line():
    def rule(rewriter, eqn):
        if eqn.primitive is not abs_p:
            return None
        (x,) = eqn.invars
        opposite = rewriter.emit(neg_p, [x], {}, x.aval, eqn)
        assert rewriter.maker(opposite, neg_p) is rewriter.eqns[-1]
        assert rewriter.maker(opposite, abs_p) is None
        assert rewriter.eqns[-1].source is eqn.source is not None
        return eqn.replace(primitive=mul_p, invars=[x, opposite])

    closed = rewrite(ff.make_jaxpr(lambda x: lax.abs(x))(X), rule)
    check_jaxpr(closed)
    assert names(closed) == ["neg", "mul"]
    assert np.asarray(eval_closed(closed, X)[0]).tolist() == [-1.0, -4.0]


def test_rules_see_no_effects_inner_jaxprs_or_equations_of_several_results():
    seen = []

    def f(x):
        ff.debug.print("{}", x)
        lax.cond(x[0] > 0, lambda: x, lambda: -x)
        return lax.split(x, [1, 1])

    rewrite(ff.make_jaxpr(f)(X), lambda rewriter, eqn: seen.append(eqn.primitive.name))
    assert not {"debug_callback", "cond", "split"} & set(seen)
    assert seen
