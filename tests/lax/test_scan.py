"""scan against Python loops, and its laws."""

import numpy as np
import pytest

import funcflow as ff
from funcflow import errors, lax
from funcflow.core.jaxpr import subjaxprs
from funcflow.core.pytree import tree_map
from funcflow.testing import check_grads, check_laws

F = np.float32
XS = np.linspace(0.2, 0.9, 4).astype(F)
C = F(0.5)
W = F(0.7)


def unrolled(f, init, xs=None, length=None, reverse=False):
    """What scan means, step by step."""
    length = len(ff.tree.leaves(xs)[0]) if length is None else length
    carry, ys = init, [None] * length
    for i in reversed(range(length)) if reverse else range(length):
        x = tree_map(lambda a, i=i: lax.dynamic_index_in_dim(a, i, 0, False), xs)
        carry, ys[i] = f(carry, x)
    return carry, tree_map(
        lambda *rows: lax.concatenate([lax.expand_dims(r, (0,)) for r in rows], 0), *ys
    )


def assert_trees_close(got, expected, tolerance=1e-5):
    assert ff.tree.structure(got) == ff.tree.structure(expected)
    for a, b in zip(ff.tree.leaves(got), ff.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (np.shape(b), b.dtype)
        wide = "complex128" if a.dtype.kind == "c" else "float64"
        a, b = np.asarray(a).astype(wide), np.asarray(b).astype(wide)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# --- bodies -----------------------------------------------------------------------------------
# Each takes `loop` (scan, or the unrolled loop) and arrays.


def rnn(loop, w, c, xs):
    return loop(lambda c, x: (lax.tanh(lax.add(lax.mul(w, c), x)), c), c, xs)


def backwards(loop, w, c, xs):
    return loop(
        lambda c, x: (lax.sin(lax.add(lax.mul(w, c), x)), lax.mul(c, x)), c, xs, reverse=True
    )


def counting(loop, c, xs):
    def step(carry, x):
        i, c = carry
        return (lax.add(i, 1), lax.mul(c, x)), (i, c)

    return loop(step, (np.int32(3), c), xs)


def alternating(loop, flag, c, xs):
    def step(carry, x):
        flag, c = carry
        return (lax.bitwise_not(flag), lax.select_n(flag, c, lax.mul(c, x))), flag

    return loop(step, (flag, c), xs)


def without_inputs(loop, c):
    return loop(lambda c, _: (lax.sin(c), c), c, None, length=3)


def trees(loop, c, xs):
    def step(carry, x):
        new = {"a": lax.mul(carry["a"], x["u"]), "b": (lax.add(carry["b"][0], carry["a"]), None)}
        return new, [new["a"], {"y": x["v"]}]

    return loop(step, {"a": c, "b": (c, None)}, {"u": xs, "v": lax.neg(xs)})


def shifting(loop, c, xs):
    """A tangent needs two steps to reach the whole carry."""
    zero = np.zeros((), F)

    def step(carry, x):
        a, b, d = carry
        return (lax.mul(x, x), a, lax.add(b, d)), d

    return loop(step, (zero, zero, c), xs)


def constant_parts(loop, w, c, xs):
    """An output that no input changes, one that is an input, and a carry that is passed on."""

    def step(carry, x):
        a, b = carry
        return (lax.mul(a, lax.sin(w)), b), (np.ones(2, F), x, w, b)

    return loop(step, (c, w), xs)


def vectors(loop, w, c, xs):
    def step(c, x):
        c = lax.tanh(lax.add(lax.dot(w, c), x))
        return c, lax.reduce_sum(lax.mul(c, c), (0,))

    return loop(step, c, xs)


def nested(loop, w, c, xs):
    def outer(c, x):
        c, ys = loop(lambda d, z: (lax.sin(lax.add(d, lax.mul(z, w))), lax.mul(d, x)), c, xs)
        return c, lax.mul(lax.reduce_sum(ys, (0,)), x)

    return loop(outer, c, xs)


def with_cond(loop, w, c, xs):
    def step(c, x):
        big = lax.gt(x, np.float32(0.5))
        c = lax.cond(big, lambda c: lax.sin(lax.mul(w, c)), lambda c: lax.mul(c, x), c)
        return c, c

    return loop(step, c, xs)


def with_while(loop, w, c, xs):
    def step(c, x):
        def body(state):
            i, v = state
            return lax.add(i, 1), lax.sin(lax.add(v, lax.mul(w, x)))

        c = lax.while_loop(lambda s: lax.lt(s[0], 2), body, (0, c))[1]
        return c, lax.mul(c, c)

    return loop(step, c, xs)


def with_checkpoint(loop, w, c, xs):
    @ff.checkpoint
    def step(c, x):
        c = lax.sin(lax.mul(lax.sin(lax.mul(w, c)), x))
        return c, lax.exp(c)

    return loop(step, c, xs)


def with_jit(loop, w, c, xs):
    step = ff.jit(lambda c, x: (lax.sin(lax.mul(lax.add(w, c), x)), c))
    return loop(step, c, xs)


def with_custom_jvp(loop, w, c, xs):
    @ff.custom_jvp
    def square(x):
        return lax.mul(x, x)

    square.defjvp(lambda p, t: (square(p[0]), lax.mul(lax.mul(2, p[0]), t[0])))
    return loop(lambda c, x: (square(lax.add(lax.mul(w, c), x)), square(c)), c, xs)


def with_custom_vjp(loop, w, c, xs):
    @ff.custom_vjp
    def product(x, y):
        return lax.mul(x, y)

    product.defvjp(
        lambda x, y: (product(x, y), (x, y)),
        lambda res, ct: (lax.mul(ct, res[1]), lax.mul(ct, res[0])),
    )
    return loop(lambda c, x: (product(lax.sin(c), lax.mul(w, x)), product(c, c)), c, xs)


WX = [W, C, XS]
BODIES = {
    "rnn": (rnn, WX),
    "backwards": (backwards, WX),
    "counting": (counting, [C, XS]),
    "alternating": (alternating, [np.bool_(True), C, XS]),
    "without_inputs": (without_inputs, [C]),
    "trees": (trees, [C, XS]),
    "shifting": (shifting, [C, XS]),
    "constant_parts": (constant_parts, WX),
    "vectors": (
        vectors,
        [
            np.array([[0.5, -0.3], [0.2, 0.4]], F),
            np.array([0.1, 0.2], F),
            np.arange(6, dtype=F).reshape(3, 2) / 8,
        ],
    ),
    "nested": (nested, WX),
    "with_cond": (with_cond, WX),
    "with_while": (with_while, WX),
    "with_checkpoint": (with_checkpoint, WX),
    "with_jit": (with_jit, WX),
    "with_custom_jvp": (with_custom_jvp, WX),
    "one_step": (rnn, [W, C, XS[:1]]),
    "complex": (
        rnn,
        [np.complex64(0.5 + 0.2j), np.complex64(0.3 - 0.4j), (XS + 0.1j * XS).astype("complex64")],
    ),
    "double": (rnn, [np.float64(0.5), np.float64(0.3), XS.astype("float64")]),
}


@pytest.mark.parametrize("name", BODIES)
def test_is_the_loop(name):
    f, args = BODIES[name]
    assert_trees_close(f(lax.scan, *args), f(unrolled, *args))


@pytest.mark.parametrize("name", BODIES)
def test_laws(name):
    f, args = BODIES[name]
    check_laws(lambda *xs: f(lax.scan, *xs), args)


@pytest.mark.parametrize("name", [*BODIES, "with_custom_vjp"])
def test_gradient_is_that_of_the_loop(name):
    f, args = BODIES.get(name, (with_custom_vjp, WX))

    def pulled(loop):
        places = [i for i, x in enumerate(args) if x.dtype.kind in "fc"]

        def g(*xs):
            full = list(args)
            for i, x in zip(places, xs, strict=True):
                full[i] = x
            return [y for y in ff.tree.leaves(f(loop, *full)) if y.dtype.kind in "fc"]

        out, f_vjp = ff.vjp(g, *(args[i] for i in places))
        return f_vjp([np.full(y.shape, 0.7, y.dtype) for y in out])

    assert_trees_close(pulled(lax.scan), pulled(unrolled))


def test_custom_vjp_inside_is_used_in_reverse_mode_to_second_order():
    check_grads(lambda *xs: with_custom_vjp(lax.scan, *xs), WX, 2, modes=("rev",))
    check_laws(lambda *xs: with_custom_vjp(lax.scan, *xs), WX, order=0)


@pytest.mark.parametrize("where", ["cond", "while"])
def test_inside_other_control_flow(where):
    def in_cond(p, w, c, xs):
        return lax.cond(p, lambda c: rnn(lax.scan, w, c, xs)[0], lambda c: lax.mul(c, w), c)

    def in_while(p, w, c, xs):
        def body(state):
            i, c = state
            return lax.add(i, 1), rnn(lax.scan, w, c, xs)[0]

        return lax.while_loop(
            lambda s: lax.lt(s[0], 3), body, (lax.convert_element_type(p, np.int32), c)
        )[1]

    for p in (np.bool_(True), np.bool_(False)):
        check_laws({"cond": in_cond, "while": in_while}[where], [p, *WX])


def test_bfloat16():
    dtype = np.dtype("bfloat16")
    args = [np.asarray(x, dtype) for x in WX]
    got, ys = rnn(lax.scan, *args)
    assert got.dtype == dtype and ys.dtype == dtype
    assert_trees_close((got, ys), rnn(unrolled, *args))
    check_laws(lambda *xs: rnn(lax.scan, *xs), args)


def test_mixed_dtypes():
    def f(a, b, xs):
        def step(carry, x):
            a, b, n = carry
            wide = lax.convert_element_type(x, np.float64)
            return (lax.mul(a, x), lax.add(lax.sin(b), wide), lax.add(n, np.int8(1))), b

        return lax.scan(step, (a, b, np.int8(0)), xs)

    (a, b, n), ys = f(C, np.float64(0.1), XS)
    assert [a.dtype, b.dtype, n.dtype, ys.dtype] == [F, np.float64, np.int8, np.float64]
    check_laws(f, [C, np.float64(0.1), XS])


# --- lengths ----------------------------------------------------------------------------------


def test_no_steps():
    carry, ys = lax.scan(lambda c, x: (lax.mul(c, x), lax.sin(x)), C, XS[:0])
    assert carry.item() == C and ys.shape == (0,) and ys.dtype == F
    grads = ff.vjp(lambda *a: rnn(lax.scan, *a), W, C, XS[:0])[1]((F(2), np.zeros(0, F)))
    assert grads[0].item() == 0 and grads[1].item() == 2 and grads[2].shape == (0,)
    check_laws(lambda *a: rnn(lax.scan, *a), [W, C, XS[:0]])


def test_length_alone_and_with_inputs():
    assert lax.scan(lambda c, _: (lax.add(c, 1), None), 0, length=5)[0].item() == 5
    assert lax.scan(lambda c, x: (lax.add(c, x), None), F(0), XS, length=4)[1] is None
    assert lax.scan(lambda c, _: (c, None), None, length=0) == (None, None)
    carry, ys = lax.scan(lambda c, x: (None, x), None, {"a": XS, "b": None})
    assert carry is None and ys["b"] is None
    np.testing.assert_array_equal(ys["a"], XS)


def test_rows_that_are_empty():
    carry, ys = lax.scan(
        lambda c, x: (lax.add(c, lax.reduce_sum(x, (0,))), x), C, np.zeros((3, 0), F)
    )
    assert carry.item() == C and ys.shape == (3, 0)


def test_keyword_arguments_and_unroll():
    got = lax.scan(f=lambda c, x: (lax.add(c, x), c), init=F(0), xs=XS, reverse=True, unroll=2)
    assert_trees_close(got, unrolled(lambda c, x: (lax.add(c, x), c), F(0), XS, reverse=True))


# --- types of the carry -----------------------------------------------------------------------


def test_a_weak_initial_carry_takes_the_type_of_the_body():
    carry, _ = lax.scan(
        lambda c, x: (lax.add(lax.convert_element_type(c, np.float64), x), None),
        0.0,
        XS.astype("float64"),
    )
    assert carry.dtype == np.float64 and not carry.weak_type
    carry, _ = lax.scan(lambda c, x: (lax.mul(c, 2), None), 1, None, length=3)
    assert carry.dtype == np.int32 and carry.weak_type and carry.item() == 8


# --- closures ---------------------------------------------------------------------------------


def test_closes_over_tracers_of_outer_transforms():
    def f(a, b):
        inner = ff.grad(
            lambda z: lax.scan(
                lambda c, x: (lax.sin(lax.mul(lax.mul(c, a), z)), None), x_of(b), XS
            )[0]
        )
        return inner(lax.mul(a, b))

    def x_of(b):
        return lax.exp(b)

    check_laws(f, [W, C])


def test_jacobians():
    def f(c):
        return lax.scan(lambda c, x: (lax.sin(lax.mul(c, x)), lax.mul(c, c)), c, XS)[1]

    np.testing.assert_allclose(ff.jacfwd(f)(C), ff.jacrev(f)(C), rtol=1e-5)


def test_a_numpy_array_that_changes_later_is_not_captured():
    table = np.array([1.0, 2.0], F)
    traced = ff.jit(lambda c: lax.scan(lambda c, x: (lax.add(c, x), None), c, table)[0])
    assert traced(F(0)).item() == 3
    _, ys = lax.scan(lambda c, x: (c, x), F(0), table)
    table[:] = 9
    np.testing.assert_array_equal(ys, [1, 2])


# --- residuals --------------------------------------------------------------------------------


def scans(jaxpr):
    """All scan equations of a jaxpr, inner ones included."""
    for eqn in jaxpr.eqns:
        if eqn.primitive is lax.scan_p:
            yield eqn
        for inner in subjaxprs(eqn):
            yield from scans(inner)


def forward_and_backward(f, *args):
    """The scans of a gradient's jaxpr: shapes of all outputs of the first, and the second one."""
    first, second = scans(ff.make_jaxpr(lambda *xs: ff.vjp(f, *xs)[1](C))(*args).jaxpr)
    return [v.aval.shape for v in first.outvars], second


def test_inputs_and_constants_are_not_saved_again():
    def f(w, c, xs):
        return lax.scan(lambda c, x: (lax.add(lax.mul(w, c), lax.mul(w, x)), None), c, xs)[0]

    # needed: w (a constant), the xs, and the carry before each step, which alone is saved
    shapes, second = forward_and_backward(f, W, C, XS)
    assert shapes == [(), (4,)]
    assert second.params["num_consts"] == 1


def test_what_depends_on_constants_only_is_computed_before_the_loop():
    def f(w, c, xs):
        return lax.scan(lambda c, x: (lax.mul(lax.sin(lax.exp(w)), lax.mul(c, x)), None), c, xs)[0]

    def names(jaxpr):
        return [eqn.primitive.name for eqn in jaxpr.eqns]

    jaxpr = ff.make_jaxpr(lambda *xs: ff.vjp(f, *xs)[1](C))(W, C, XS).jaxpr
    assert names(jaxpr).count("exp") == 1
    for eqn in scans(jaxpr):
        assert not {"exp", "sin", "cos"} & set(names(eqn.params["jaxpr"].jaxpr))


def test_nothing_is_saved_twice():
    def f(c, xs):
        def step(c, x):
            # exp(c) is an output and a residual; cos(c) is needed for both sines
            y = lax.exp(c)
            return lax.mul(lax.sin(c), lax.sin(c)), y

        c, ys = lax.scan(step, c, xs)
        return lax.add(c, lax.reduce_sum(ys, (0,)))

    shapes, _ = forward_and_backward(f, C, XS)
    assert shapes == [(), (4,), (4,), (4,)]  # the carry; exp, sin and cos of it at each step


def test_a_loop_that_is_known_runs_once():
    def f(w):
        table = lax.scan(lambda c, x: (lax.sin(c), lax.cos(c)), C, None, length=4)[1]
        return lax.reduce_sum(lax.mul(w, table), (0,))

    assert len(list(scans(ff.make_jaxpr(ff.grad(f))(W).jaxpr))) == 1


def test_what_is_cheap_is_not_saved():
    def f(c, xs):
        return lax.scan(lambda c, x: (lax.mul(lax.tanh(c), lax.exp(x)), None), c, xs)[0]

    shapes, second = forward_and_backward(f, C, XS)
    assert shapes == [(), (4,), (4,)]  # the carry; tanh and exp, but not 1 - tanh^2
    again = [eqn.primitive.name for eqn in second.params["jaxpr"].eqns]
    assert {"square", "sub"} <= set(again)
    assert not {"tanh", "exp"} & set(again)


# --- effects ----------------------------------------------------------------------------------


def test_prints_come_in_order(capsys):
    def f(c, xs):
        def step(c, x):
            ff.debug.print("{}", x)
            return lax.mul(c, x), None

        return lax.scan(step, c, xs, reverse=True)[0]

    xs = np.arange(3, dtype=F)
    for transformed in (f, ff.jit(f), ff.grad(f), ff.jit(ff.grad(f))):
        transformed(C, xs)
        assert capsys.readouterr().out.split() == ["2.0", "1.0", "0.0"]


def test_prints_of_a_loop_without_known_results(capsys):
    def f(c):
        def step(c, x):
            ff.debug.print("{}", x)
            return lax.mul(c, c), None

        return lax.scan(step, c, np.arange(3))[0]

    ff.vjp(lambda t: ff.jvp(f, (C,), (t,))[1], C)
    assert sorted(set(capsys.readouterr().out.split())) == ["0", "1", "2"]


def test_pure_callback_inside():
    def f(c, xs):
        out = ff.ShapeDtypeStruct((), F)

        def step(c, x):
            root = ff.pure_callback(np.cbrt, out, x, vmap_method="expand_dims")
            return lax.add(c, root), c

        return lax.scan(step, c, xs)

    check_laws(f, [C, XS], order=0)
    np.testing.assert_allclose(f(C, XS)[0], C + np.cbrt(XS).sum(), rtol=1e-6)


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: lax.scan(1, 0, XS), errors.ArgumentError, "f must be a function"),
        (lambda: lax.scan(lambda c, x: c, 0, XS), errors.TreeStructureError, "must return a pair"),
        (
            lambda: lax.scan(lambda c, x: (c, x), 0, None),
            errors.ArgumentError,
            "length is not given",
        ),
        (lambda: lax.scan(lambda c, x: (c, x), 0, XS, 3), errors.ShapeError, "length=3"),
        (lambda: lax.scan(lambda c, x: (c, x), 0, (XS, XS[1:])), errors.ShapeError, "leading axes"),
        (lambda: lax.scan(lambda c, x: (c, x), 0, C), errors.ShapeError, "no leading axis"),
        (lambda: lax.scan(lambda c, x: (c, x), 0, "ab"), errors.LeafTypeError, "neither an array"),
        (lambda: lax.scan(lambda c, x: (c, x), 0, None, -1), errors.ArgumentError, "negative"),
        (lambda: lax.scan(lambda c, x: (c, "y"), 0, XS), errors.LeafTypeError, "result of"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
