"""Scans that save the carry of a few steps: the same results, in less memory."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax
from funcflow.core.jaxpr import subjaxprs
from funcflow.lax.checkpointed import segments
from funcflow.testing import check_laws

F = np.float32
N = 11
XS = np.linspace(0.2, 0.9, N).astype(F)
C = F(0.5)
W = F(0.7)
CHECKPOINTS = ["sqrt", 1, 3, 5, N, 40]
EAGER_AND_JIT = pytest.mark.parametrize("transform", [lambda f: f, ff.jit], ids=["eager", "jit"])


def rnn(w, c, xs, **options):
    return lax.scan(lambda c, x: (lax.tanh(w * c + x), c * x), c, xs, **options)


def trees(w, c, xs, **options):
    def step(carry, x):
        new = {"a": carry["a"] * x["u"], "b": (carry["b"][0] + lax.sin(w), None)}
        return new, [new["a"], {"y": x["v"], "n": 1}]

    return lax.scan(step, {"a": c, "b": (c, None)}, {"u": xs, "v": -xs}, **options)


def without_inputs(w, c, xs, **options):
    return lax.scan(lambda c, _: (lax.sin(c * w), None), c, length=N, **options)


def counting(w, c, xs, **options):
    return lax.scan(lambda c, x: ((c[0] + 1, c[1] * x), c[0]), (0, c), xs, **options)


def with_control_flow(w, c, xs, **options):
    def step(c, x):
        c = lax.cond(x > 0.5, lambda c: lax.sin(w * c), lambda c: c * x, c)
        c = lax.while_loop(lambda s: s[0] < 2, lambda s: (s[0] + 1, lax.sin(s[1] + x)), (0, c))[1]
        return c, c * x

    return lax.scan(step, c, xs, **options)


BODIES = {f.__name__: f for f in (rnn, trees, without_inputs, counting, with_control_flow)}


def loss(f, **options):
    def total(w, c, xs):
        leaves = ff.tree.leaves(f(w, c, xs, **options))
        return sum(fnp.sum(x) for x in leaves if x.dtype == F)

    return total


def assert_equal(got, expected):
    assert ff.tree.structure(got) == ff.tree.structure(expected)
    for a, b in zip(ff.tree.leaves(got), ff.tree.leaves(expected), strict=True):
        assert (a.dtype, a.weak_type) == (b.dtype, b.weak_type)
        np.testing.assert_array_equal(a, b)


@EAGER_AND_JIT
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
@pytest.mark.parametrize("name", BODIES)
def test_no_bit_of_the_results_changes(name, checkpoint, reverse, transform):
    def run(**options):
        return transform(lambda *args: BODIES[name](*args, reverse=reverse, **options))(W, C, XS)

    assert_equal(run(checkpoint=checkpoint), run())


@EAGER_AND_JIT
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
@pytest.mark.parametrize("name", BODIES)
def test_gradients_are_those_of_the_scan(name, checkpoint, reverse, transform):
    def gradients(**options):
        f = loss(BODIES[name], reverse=reverse, **options)
        return transform(ff.grad(f, argnums=(0, 1, 2)))(W, C, XS)

    got, expected = gradients(checkpoint=checkpoint), gradients()
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-5)  # a sum over all steps
    assert_equal(got[1:], expected[1:])


@pytest.mark.parametrize("name", BODIES)
def test_laws(name):
    """Forward, reverse, second order, vmap, jit, and nestings of these."""
    check_laws(lambda *args: BODIES[name](*args, checkpoint=3), [W, C, XS])


@pytest.mark.parametrize("length", [0, 1])
@pytest.mark.parametrize("checkpoint", ["sqrt", 1, 4])
def test_no_steps_and_one(length, checkpoint):
    args = W, C, XS[:length]
    assert_equal(rnn(*args, checkpoint=checkpoint), rnn(*args))
    got = ff.grad(loss(rnn, checkpoint=checkpoint), (0, 1, 2))(*args)
    assert_equal(got, ff.grad(loss(rnn), (0, 1, 2))(*args))


def test_inside_other_loops():
    def nested(w, c, xs, **options):
        def step(c, x):
            return lax.fori_loop(0, x, lambda _, c: rnn(w, c, xs, **options)[0], c), c

        return lax.scan(step, c, np.arange(5, dtype=np.int32), **options)

    got = ff.jit(lambda *args: nested(*args, checkpoint=2))(W, C, XS)
    assert_equal(got, ff.jit(nested)(W, C, XS))
    got = ff.grad(loss(nested, checkpoint=2), (0, 1))(W, C, XS)
    np.testing.assert_allclose(got, ff.grad(loss(nested), (0, 1))(W, C, XS), rtol=1e-5)


# --- what is saved ----------------------------------------------------------------------------


def states_of_gradient(step, **options):
    """How many states the compiled gradient of a loop keeps at its peak."""

    def f(x):
        return lax.scan(lambda x, _: (step(x), None), x, **options)[0].sum()

    x = np.ones(1000, F)
    return ff.jit(ff.grad(f)).lower(x).memory().temporaries / x.nbytes


@pytest.mark.parametrize("length", [400, 10_000, 10_007])
def test_the_root_takes_memory_for_less_than_twice_as_many_states(length):
    assert states_of_gradient(fnp.sin, length=length) > length
    # one of these for the state and a few that a step needs
    assert states_of_gradient(fnp.sin, length=length, checkpoint="sqrt") < 1.93 * length**0.5 + 5


@pytest.mark.parametrize("checkpoint", [100, 120, "sqrt"])
def test_cotangents_of_inputs_are_written_where_they_are_returned(checkpoint):
    """Whether or not there is a rest: no copy of all of them is in memory meanwhile."""

    def f(xs):
        return lax.scan(lambda c, x: (fnp.sin(c * x), None), C, xs, checkpoint=checkpoint)[0]

    xs = np.ones(10_000, F)
    assert ff.jit(ff.grad(f)).lower(xs).memory().temporaries < xs.nbytes / 10


def test_within_a_segment_a_step_saves_what_it_likes():
    def step(x):
        return fnp.sin(x) * x

    many = states_of_gradient(step, length=10_000, checkpoint="sqrt")
    few = states_of_gradient(ff.checkpoint(step), length=10_000, checkpoint="sqrt")
    assert few < 205 < many


def test_segments_are_as_long_as_asked_for():
    def lengths(jaxpr):
        found = [e.params["length"] for e in jaxpr.eqns if e.primitive.name == "scan"]
        inner = [lengths(c) for e in jaxpr.eqns for c in subjaxprs(e)]
        return [*found, *(n for each in inner for n in each)]

    jaxpr = ff.make_jaxpr(lambda *args: rnn(*args, checkpoint=4))(W, C, XS)
    assert lengths(jaxpr) == [2, 4, 3]


def test_each_step_is_computed_again_once():
    gradient = ff.grad(lambda c: lax.scan(lambda c, x: (lax.sin(c), None), c, XS, checkpoint=6)[0])
    text = ff.jaxpr_to_text(ff.make_jaxpr(gradient)(C))
    # a loop over one segment of six steps, and the rest of five, forward and again
    assert text.count(" = sin ") == 4


@pytest.mark.parametrize("checkpoint", [None, 4])
def test_policies_inside(checkpoint):
    w = np.eye(3, dtype=F) * F(0.9)
    policies = ff.checkpoint_policies

    def products(policy):
        @lambda f: f if policy is None else ff.checkpoint(f, policy=policy)
        def step(c, x):
            return fnp.tanh(w @ fnp.sin(w @ c) + x), None

        f = ff.grad(lambda c: lax.scan(step, c, XS, checkpoint=checkpoint)[0].sum())
        text = ff.jit(f).lower(np.ones(3, F)).as_text()
        return f(np.ones(3, F)), text.count("dot_general")

    plain, _ = products(None)
    saved, few = products(policies.dots_saveable)
    again, many = products(policies.nothing_saveable)
    assert few < many
    np.testing.assert_allclose(saved, plain, rtol=1e-5)
    np.testing.assert_allclose(again, plain, rtol=1e-5)


# --- fori_loop --------------------------------------------------------------------------------


@EAGER_AND_JIT
@pytest.mark.parametrize("bounds", [(0, 10), (-3, 4), (2, 3), (5, 2)])
@pytest.mark.parametrize("checkpoint", ["sqrt", 3])
def test_fori_loop(bounds, checkpoint, transform):
    def f(c, **options):
        return lax.fori_loop(*bounds, lambda i, c: lax.sin(c) * W + i, c, **options)

    checkpointed = transform(lambda c: f(c, checkpoint=checkpoint))
    assert_equal(checkpointed(C), transform(f)(C))
    assert_equal(ff.grad(checkpointed)(C), ff.grad(transform(f))(C))


def test_the_index_of_a_fori_loop_has_the_type_of_its_bounds():
    def types(**options):
        seen = []
        body = lambda i, c: (seen.append((i.dtype, i.weak_type)), c)[1]  # noqa: E731
        lax.fori_loop(np.int8(0), np.int8(100), body, C, **options)
        lax.fori_loop(0, 100, body, C, **options)
        return seen

    assert set(types(checkpoint=7)) == set(types())


def test_a_fori_loop_keeps_no_array_of_indices():
    def f(c):
        return lax.fori_loop(0, 10_000, lambda i, c: lax.sin(c) + i, c, checkpoint="sqrt")

    assert ff.jit(ff.grad(f)).lower(C).memory().temporaries < 10_000


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("checkpoint", ["root", 0, -3, 2.0, True, (2,), np.ones(2)])
def test_bad_segments(checkpoint):
    with pytest.raises(errors.ArgumentError, match=r"scan: checkpoint=.*neither.*sqrt"):
        rnn(W, C, XS, checkpoint=checkpoint)
    with pytest.raises(errors.ArgumentError, match=r"fori_loop: checkpoint=.*neither.*sqrt"):
        lax.fori_loop(0, 3, lambda i, c: c, C, checkpoint=checkpoint)


def test_the_root_of_a_length_needs_known_bounds():
    f = ff.jit(lambda n: lax.fori_loop(0, n, lambda i, c: c, C, checkpoint="sqrt"))
    with pytest.raises(errors.ArgumentError, match=r"fori_loop, with bounds .*neither 'log'"):
        f(3)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        *((0, [(0, 1)]), (1, [(1, 1)]), (2, [(2, 2)]), (103, [(103, 11)])),
        *((100, [(100, 10)]), (400, [(320, 20), (80, 16)])),
        (10**6, [(812_000, 1000), (188_000, 752)]),
    ],
)
def test_the_segments_of_the_root(length, expected):
    assert segments("scan", "sqrt", length) == expected


@pytest.mark.parametrize("length", [10**5, 10**6, 10**6 + 3, 10**8 + 7])
def test_segments_of_the_root_need_less_memory_than_equal_ones(length):
    found, starts, needed = segments("scan", "sqrt", length), 0, list[int]()
    for steps, segment in found:
        assert steps % segment == 0
        starts += steps // segment
        needed.append(starts + segment)
    assert sum(steps for steps, _ in found) == length
    assert max(needed) < 1.87 * length**0.5
    assert starts < 1.1 * length**0.5


def test_a_bar_costs_no_evaluation():
    """Its pieces are loops of segments, which are checkpointed themselves."""

    def gradient(**options):
        step = lambda c, x: (lax.sin(c), None)  # noqa: E731
        f = ff.grad(lambda c: lax.scan(step, c, length=600, checkpoint=3, **options)[0])
        return ff.jaxpr_to_text(ff.make_jaxpr(f)(C)).count(" = sin ")

    assert gradient(progress="go") == gradient() == 2
