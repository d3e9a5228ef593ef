"""cond and switch: meaning, laws, errors."""

import numpy as np
import pytest

import funcflow as ff
from funcflow import errors, lax
from funcflow.core.jaxpr import subjaxprs
from funcflow.testing import check_grads, check_laws

F = np.float32
C = F(0.5)
W = F(0.7)
V = np.array([0.3, 0.6, 0.9], F)
YES, NO = np.bool_(True), np.bool_(False)


# --- meaning ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pred", [True, False, YES, NO, 1, 0, 2.5, 0.0, np.int8(-1), np.float64(0), float("nan")]
)
def test_cond_takes_the_branch_that_python_takes(pred):
    def f(pred):
        return lax.cond(pred, lambda x, y: lax.mul(x, y), lambda x, y: lax.sub(x, y), C, W)

    expected = C * W if pred else C - W
    np.testing.assert_allclose(f(pred), expected)
    np.testing.assert_allclose(ff.jit(f)(pred), expected)


def test_operands_by_keyword():
    assert lax.cond(True, lambda x: lax.add(x, 1), lambda x: x, operand=2).item() == 3
    assert lax.cond(False, lambda x: 1.0, lambda x: 2.0, operand=None).item() == 2
    assert lax.switch(1, [lambda x: x, lambda x: lax.mul(2, x)], operand=4).item() == 8
    with pytest.raises(errors.ArgumentError, match="1 operands and operand="):
        lax.cond(True, lambda x: x, lambda x: x, 1, operand=2)


def test_no_operands_and_trees():
    assert lax.cond(True, lambda: 1, lambda: 2).item() == 1
    out = lax.cond(
        False,
        lambda t: {"a": (t["x"], None), "b": []},
        lambda t: {"a": (lax.neg(t["x"]), None), "b": []},
        {"x": V, "y": None},
    )
    np.testing.assert_array_equal(out["a"][0], -V)
    assert out["a"][1] is None and out["b"] == []


@pytest.mark.parametrize(
    "index", [-5, -1, 0, 1, 2, 3, 100, np.int64(2**40), np.int64(-(2**40)), np.uint64(2**63)]
)
def test_switch_clamps_its_index(index):
    branches = [lambda x: x, lax.neg, lambda x: lax.mul(x, x)]
    expected = [C, -C, C * C][min(max(int(index), 0), 2)]
    assert lax.switch(index, branches, C).item() == expected
    assert ff.jit(lambda i: lax.switch(i, branches, C))(index).item() == expected


def test_switch_with_one_branch():
    assert lax.switch(7, [lax.neg], C).item() == -C


def test_only_the_branch_taken_runs(capsys):
    def f(pred, x):
        def shout(name):
            def branch(x):
                ff.debug.print("{}", name)
                return lax.mul(x, x)

            return branch

        return lax.cond(pred, shout(1), shout(0), x)

    for transformed in (f, ff.jit(f), ff.grad(f, argnums=1), ff.jit(ff.grad(f, argnums=1))):
        for pred in (YES, NO):
            transformed(pred, C)
            assert capsys.readouterr().out == f"{int(pred)}\n"


def test_results_are_weak_only_if_those_of_all_branches_are():
    assert lax.cond(True, lambda: 1.0, lambda: 2.0).weak_type
    assert not lax.cond(True, lambda: 1.0, lambda: F(2)).weak_type


# --- laws -------------------------------------------------------------------------------------


def plain(pred, w, c):
    return lax.cond(pred, lambda c: lax.sin(lax.mul(w, c)), lambda c: lax.mul(c, c), c)


def trees(pred, w, c):
    return lax.cond(
        pred,
        lambda t: {"a": lax.mul(t[0], t[1]), "n": np.int32(1)},
        lambda t: {"a": lax.sin(t[1]), "n": np.int32(2)},
        (w, c),
    )


def one_constant(pred, w, c):
    """Only one branch depends on the arguments."""
    return lax.cond(pred, lambda: (F(1.5), w), lambda: (lax.mul(w, c), w))


def different_residuals(pred, w, c):
    return lax.cond(
        pred, lambda a: lax.tanh(lax.mul(lax.sin(a), w)), lambda a: lax.div(lax.exp(w), a), c
    )


def nested(pred, w, c):
    return lax.cond(
        pred, lambda c: plain(lax.gt(c, w), w, c), lambda c: plain(lax.lt(c, w), c, w), c
    )


def with_scan(pred, w, c):
    def loop(c):
        return lax.scan(lambda c, x: (lax.sin(lax.mul(c, x)), lax.mul(c, w)), c, V)

    return lax.cond(pred, loop, lambda c: (lax.mul(c, w), V), c)


def with_checkpoint(pred, w, c):
    return lax.cond(pred, ff.checkpoint(lambda c: lax.sin(lax.sin(lax.mul(w, c)))), lambda c: c, c)


def with_while(pred, w, c):
    def loop(c):
        body = lambda s: (lax.add(s[0], 1), lax.sin(lax.mul(s[1], w)))  # noqa: E731
        return lax.while_loop(lambda s: lax.lt(s[0], 2), body, (0, c))[1]

    return lax.cond(pred, loop, lambda c: lax.mul(c, w), c)


def computed_predicate(pred, w, c):
    chosen = lax.bitwise_xor(pred, lax.gt(w, F(0.65)))
    return lax.cond(chosen, lambda c: lax.exp(lax.mul(w, c)), lambda c: c, c)


@pytest.mark.parametrize("pred", [YES, NO])
@pytest.mark.parametrize(
    "f",
    [
        plain,
        trees,
        one_constant,
        different_residuals,
        nested,
        with_scan,
        with_checkpoint,
        with_while,
        computed_predicate,
    ],
)
def test_laws_of_cond(f, pred):
    # lanes of w stay on one side of the threshold of `computed_predicate`
    check_laws(f, [pred, F(0.6), C])


@pytest.mark.parametrize("dtype", ["float64", "complex64", "bfloat16"])
def test_laws_of_other_dtypes(dtype):
    w, c = np.asarray(0.75, dtype), np.asarray(0.5, dtype)
    for pred in (YES, NO):
        check_laws(plain, [pred, w, c])


@pytest.mark.parametrize("index", [0, 1, 2])
def test_laws_of_switch(index):
    def f(i, w, v):
        branches = [lambda v: lax.mul(w, v), lambda v: lax.sin(v), lambda v: lax.neg(V)]
        return lax.switch(i, branches, v)

    check_laws(f, [np.int32(index), W, V])


def test_both_derivatives_agree_with_the_branch():
    for pred, derivative in ((YES, W * np.cos(W * C)), (NO, 2 * C)):
        np.testing.assert_allclose(ff.grad(plain, argnums=2)(pred, W, C), derivative, rtol=1e-6)
        np.testing.assert_allclose(
            ff.jvp(lambda c, p=pred: plain(p, W, c), (C,), (F(1),))[1], derivative, rtol=1e-6
        )


def test_lanes_with_different_branches():
    preds = np.array([True, False, True])
    got = ff.vmap(ff.grad(plain, argnums=2), in_axes=(0, None, 0))(preds, W, V)
    np.testing.assert_allclose(got, np.where(preds, W * np.cos(W * V), 2 * V), rtol=1e-6)
    check_grads(lambda w, v: ff.vmap(plain, in_axes=(0, None, 0))(preds, w, v), [W, V], 2)


def test_lanes_with_one_branch_keep_the_choice():
    """A predicate that is the same in all lanes stays a cond: the other branch does not run."""
    jaxpr = ff.make_jaxpr(ff.vmap(plain, in_axes=(None, None, 0)))(YES, W, V)
    assert "cond" in [eqn.primitive.name for eqn in jaxpr.eqns]


@pytest.mark.parametrize(
    "inner",
    [
        lambda x: ff.jit(lambda x: x * x)(x),
        lambda x: lax.cond(x[1] > 0.4, lambda x: x * x, lambda x: x, x),
        lambda x: lax.fori_loop(0, 2, lambda _, x: x * x, x),
        lambda x: lax.while_loop(lambda x: x[0] < 4, lambda x: 2 * x, x),
        lambda x: ff.checkpoint(lambda x: x * x)(x),
    ],
    ids=["jit", "cond", "fori_loop", "while_loop", "checkpoint"],
)
def test_branches_of_lanes_with_programs_inside_have_gradients(inner):
    def f(x):
        def first(x):
            y = inner(x)
            return y / lax.reduce_sum(y, (0,))  # its derivative needs a result of what is inside

        return lax.reduce_sum(lax.cond(x[0] > 0.5, first, lax.sin, x) * V, (0,))

    def gradient_of_all(rows):
        return ff.grad(lambda rows: lax.reduce_sum(ff.vmap(f)(rows), (0,)))(rows)

    rows = np.stack([V, V[::-1], V / 2])
    expected = np.stack([ff.grad(f)(row) for row in rows])
    for gradient in (gradient_of_all, ff.jit(gradient_of_all), ff.vmap(ff.grad(f))):
        np.testing.assert_allclose(gradient(rows), expected, rtol=1e-6, atol=1e-7)
    check_grads(ff.vmap(f), (rows,), order=2)


def test_the_branch_not_taken_does_not_spoil_gradients():
    def f(x):
        return lax.cond(lax.gt(x, F(0)), lax.sqrt, lambda x: lax.mul(x, F(0)), x)

    xs = np.array([-1.0, 0.0, 4.0], F)
    np.testing.assert_allclose(ff.vmap(ff.grad(f))(xs), [0, 0, 0.25])


# --- residuals --------------------------------------------------------------------------------


def test_branches_share_the_slots_of_their_residuals():
    def f(pred, c):
        return lax.cond(pred, lambda c: lax.sin(lax.sin(c)), lambda c: lax.exp(lax.exp(c)), c)

    jaxpr = ff.make_jaxpr(ff.grad(f, argnums=1))(YES, C)
    first, second = (eqn for eqn in jaxpr.eqns if eqn.primitive is lax.cond_p)
    assert len(first.outvars) <= 3  # the value, and the two derivatives that each branch needs
    assert len({len(inner.invars) for inner in subjaxprs(second)}) == 1


def test_lanes_give_a_branch_that_they_do_not_take_no_numbers_of_another():
    def count(x):  # saves how many steps it took, and which branch
        steps = lax.convert_element_type(9 * x[0], np.int32)
        x = lax.while_loop(lambda s: s[0] < steps, lambda s: (s[0] + 1, 1.1 * s[1]), (0, x))[1]
        return lax.switch(steps, [lambda x, i=i: lax.sin(x) * i for i in range(9)], x)

    def choose(x):
        which = lax.convert_element_type(3 * x[2], np.int32)
        return lax.switch(which, [lax.sin, lax.exp], x)

    def f(x):
        return lax.reduce_sum(lax.cond(x[1] > 0.5, count, choose, x), (0,))

    def ups_and_downs(x):  # its branches have been split when lanes come to them
        return ff.vjp(f, x)[1](F(1))[0]

    rows = np.stack([V, V / 2])
    expected = np.stack([ff.grad(f)(row) for row in rows])
    for gradient in (ff.vmap(ups_and_downs), ff.jit(ff.vmap(ups_and_downs))):
        np.testing.assert_allclose(gradient(rows), expected, rtol=1e-6)


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: lax.cond(V, lambda: 1, lambda: 2), errors.ShapeError, "pred must be a scalar.*3"),
        (
            lambda: lax.cond(1j, lambda: 1, lambda: 2),
            errors.DtypeError,
            "pred must be a boolean.*c64",
        ),
        (lambda: lax.cond("a", lambda: 1, lambda: 2), errors.LeafTypeError, "neither an array"),
        (lambda: lax.cond(True, 1, lambda: 2), errors.ArgumentError, "branches must be functions"),
        (
            lambda: lax.cond(True, lambda x: 1, lambda x: 2, "a"),
            errors.LeafTypeError,
            "cond: the argument",
        ),
        (
            lambda: lax.cond(True, lambda: "a", lambda: 2),
            errors.LeafTypeError,
            "the result of <lambda>",
        ),
        (
            lambda: lax.cond(True, lambda: 1, lambda: 2.0),
            errors.TreeStructureError,
            "false_fun and true_fun differ in type: f32.* and i32",
        ),
        (
            lambda: lax.cond(True, lambda: V, lambda: C),
            errors.TreeStructureError,
            r"differ in type",
        ),
        (
            lambda: lax.cond(True, lambda: (1, 2), lambda: [1, 2]),
            errors.TreeStructureError,
            "structure",
        ),
        (
            lambda: lax.cond(True, lambda: {"a": 1}, lambda: {"b": 1}),
            errors.TreeStructureError,
            "structure",
        ),
        (lambda: lax.switch(1, []), errors.ArgumentError, "no branches"),
        (lambda: lax.switch(1, [1, lambda: 2]), errors.ArgumentError, "must be functions"),
        (
            lambda: lax.switch(1.0, [lambda: 1, lambda: 2]),
            errors.DtypeError,
            "must be an integer.*f32",
        ),
        (lambda: lax.switch(V, [lambda: 1, lambda: 2]), errors.ShapeError, "must be a scalar"),
        (
            lambda: lax.switch(0, [lambda: 1, lambda: 2, lambda: 3.0]),
            errors.TreeStructureError,
            "differ in type",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
