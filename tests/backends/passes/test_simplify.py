"""Simplification may not change a bit of any result."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.passes.inline import inline
from funcflow.backends.passes.simplify import simplify
from funcflow.core.interpret import BufferProgram
from funcflow.core.jaxpr import ClosedJaxpr, Literal
from funcflow.core.rewrite import constants_to_arguments, dce_closed
from funcflow.core.typecheck import check_jaxpr
from funcflow.testing.jaxprs import jaxprs

SPECIAL = [0.0, -0.0, 1.5, -2.0, 1e-45, -3e-39, 1e38, -3e38, np.inf, -np.inf, np.nan, -np.nan]
X = np.array(SPECIAL, "f4").reshape(3, 4)
P = X > 0
NAN_WITH_PAYLOAD = np.uint32(0xFFC12345).view("f4")


def simplified(f, *args) -> ClosedJaxpr:
    """What is left of a function; its values are compared."""
    closed = ff.make_jaxpr(f)(*args)
    left = dce_closed(simplify(closed))
    check_jaxpr(left)
    assert values(left, args) == values(closed, args)
    return left


def values(closed, args):
    leaves = [np.asarray(x) for x in (*closed.consts, *args)]
    program = BufferProgram(ClosedJaxpr(constants_to_arguments(closed.jaxpr)))
    return [np.asarray(x).tobytes() for x in program(leaves)]


def names(f, *args):
    return [eqn.primitive.name for eqn in simplified(f, *args).eqns]


# --- values that repeat a smaller array -----------------------------------------------------------


def test_operands_are_not_repeated():
    assert names(lambda x: x + lax.broadcast_to(fnp.float32(2), (3, 4)), X) == ["add"]
    assert names(lambda x: x * lax.broadcast_to(np.float32(1), (3, 4)), X) == []
    assert names(lambda x: x - lax.broadcast_to(x[0], (3, 4)), X)[-1] == "sub"
    assert "broadcast_in_dim" not in names(lambda x: x - lax.broadcast_to(x[0], (3, 4)), X)


def test_a_column_that_was_flattened_is_used_as_a_column():
    def f(x, column):
        return x * lax.broadcast_in_dim(lax.reshape(column, (3,)), (3, 4), (0,))

    left = simplified(f, X, X[:, :1])
    assert [e.primitive.name for e in left.eqns] == ["mul"]
    assert left.eqns[0].invars[1] is left.jaxpr.invars[1]


def test_a_flat_column_gets_an_axis_of_extent_1():
    def f(x, c):
        return x * lax.broadcast_in_dim(c, (3, 4), (0,))

    assert names(f, X, X[:, 0]) == ["reshape", "mul"]


def test_repeated_values_are_computed_once():
    def f(x):
        return lax.dot_general(
            lax.exp(lax.neg(lax.broadcast_in_dim(x, (2, 4), (1,)))),
            np.ones((4, 3), "f4"),
            (((1,), (0,)), ((), ())),
        )

    left = simplified(f, X[0])
    shapes = [(e.primitive.name, e.outvars[0].aval.shape) for e in left.eqns]
    assert shapes[:3] == [("neg", (4,)), ("exp", (4,)), ("broadcast_in_dim", (2, 4))]


def test_broadcasts_of_broadcasts_are_one():
    def f(x):
        return lax.broadcast_in_dim(lax.broadcast_in_dim(x, (4, 1), (0,)), (2, 4, 3), (1, 2))

    left = simplified(f, X[0])
    assert [e.primitive.name for e in left.eqns] == ["reshape", "broadcast_in_dim"]


# --- arrangements ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: lax.reshape(lax.reshape(x, (12,)), (3, 4)), []),
        (lambda x: lax.reshape(lax.reshape(x, (12,)), (4, 3)), ["reshape"]),
        (lambda x: x.T.T, []),
        (lambda x: lax.transpose(x[None], (1, 2, 0)).transpose(1, 0, 2), ["reshape", "transpose"]),
        (lambda x: lax.reduce_max(x[None], (0,)), []),
        (lambda x: lax.reduce_prod(x[:, None], (1,)), []),
    ],
)
def test_arrangements_are_composed(f, expected):
    assert names(f, X) == expected


def test_sums_along_axes_of_extent_1():
    """A sum starts from 0.0, so it is not -0.0."""
    assert names(lambda x: lax.reduce_sum(x, (0,)), X[None]) == ["add", "reshape"]
    assert names(lambda x: lax.reduce_sum(x, (0,)), np.ones((1, 3), "i4")) == ["reshape"]
    assert names(lambda x: lax.reduce_sum(x, (0,)), np.ones((1, 3), "c8")) == ["reduce_sum"]
    assert names(lambda x: lax.reduce_sum(x, (0, 1)), X[None]) == ["reduce_sum"]


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [
        lambda x: lax.max(x, np.float32(-np.inf)),
        lambda x: lax.max(np.float32(-np.inf), x),
        lambda x: lax.min(x, np.float32(np.inf)),
        lambda x: lax.stop_gradient(x),
        lambda x: lax.copy(x),
    ],
)
def test_what_changes_nothing_goes(f):
    assert names(f, X) == []
    assert names(f, np.full(3, NAN_WITH_PAYLOAD)) == []


@pytest.mark.parametrize(
    "f",
    [
        lambda x: lax.max(x, np.float32(np.inf)),
        lambda x: lax.min(x, np.float32(-np.inf)),
        lambda x: lax.max(x, np.float32(-3e38)),
        lambda x: x * np.float32(-1),
        lambda x: x * np.float32(0),
        lambda x: x + np.float32(0),
        lambda x: x / np.float32(3),
        lambda x: x / np.float32(2.0**-149),  # its reciprocal overflows
        lambda x: x / np.float32(0),
        lambda x: x / np.float32(np.inf),
        lambda x: x / np.float32(np.nan),
        lambda x: lax.convert_element_type(lax.convert_element_type(x, "float16"), "float32"),
    ],
)
def test_what_changes_a_bit_stays(f):
    closed = ff.make_jaxpr(f)(X)
    assert names(f, X) == [e.primitive.name for e in closed.eqns]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@given(data=st.data())
@settings(max_examples=60)
def test_halves_are_products(dtype, data):
    """For all bits of the dividend."""
    dtype = fnp.dtype(dtype)
    bits = st.integers(0, 2 ** (8 * dtype.itemsize) - 1)
    x = np.array(data.draw(st.lists(bits, min_size=4, max_size=4)), f"u{dtype.itemsize}").view(
        dtype
    )
    two = np.asarray(2, dtype)
    left = simplify(ff.make_jaxpr(lambda x: lax.div(x, two))(x))
    (eqn,) = left.eqns
    assert eqn.primitive.name == "mul"
    quiet = np.isnan(x.astype("f8"))
    expected, got = (np.asarray(v) for v in (lax.div(x, two), lax.mul(x, eqn.invars[1].val)))
    assert np.array_equal(np.isnan(got.astype("f8")), quiet)
    assert got[~quiet].tobytes() == expected[~quiet].tobytes()


def test_other_quotients_are_one_kernel_whatever_the_divisor():
    assert names(lambda x: x / 4, X) == names(lambda x: x / 5, X) == ["div"]


# --- choices --------------------------------------------------------------------------------------


def test_a_chosen_bool_is_the_condition():
    def chosen(p, a, b):
        return lax.select_n(p, np.bool_(a), np.bool_(b))

    assert names(lambda p: chosen(p, False, True), P) == []
    assert names(lambda p: chosen(p, True, False), P) == ["select_n"]
    assert names(lambda p: lax.select_n(p, np.int32(0), np.int32(1)), P) == ["select_n"]


def test_operations_on_equal_choices_are_one_choice():
    """The derivative of a masked quotient."""
    zero, one, eight = np.float32(0), np.float32(1), np.float32(8)

    def f(p, x):
        return lax.select_n(p, zero, x) / lax.select_n(p, one, eight)

    left = simplified(f, P, X)
    assert [e.primitive.name for e in left.eqns] == ["div", "select_n"]
    assert [v.val for v in left.eqns[0].invars if isinstance(v, Literal)] == [8]

    def of_others(p, q, x):
        return lax.select_n(p, zero, x) / lax.select_n(q, one, eight)

    assert names(of_others, P, ~P, X) == ["select_n", "select_n", "div"]
    assert len(names(lambda p, x, y: lax.select_n(p, x, y) * lax.select_n(p, y, x), P, X, -X)) == 3


def test_a_condition_that_is_split_is_joined():
    a, b = P, np.roll(P, 3)
    assert names(lambda a, b: (a & ~b) | (a & b), a, b) == []
    assert names(lambda a, b: (b & a) | (~b & a), a, b) == []
    assert names(lambda a, b: (a & ~b) | (b & a), a.astype("u1"), b.astype("u1")) == []
    assert names(lambda a, b: (a & b) | (a & b), a, b) == ["and", "and", "or"]


# --- all together ---------------------------------------------------------------------------------


def test_effects_and_inner_jaxprs_stay():
    def f(x):
        ff.debug.print("{}", lax.max(1.0, -np.inf))
        return lax.cond(x[0, 0] > 0, lambda: x + 0.0, lambda: x)

    closed = simplify(ff.make_jaxpr(f)(X))
    assert {"debug_callback", "cond"} <= {e.primitive.name for e in closed.eqns}


def test_a_weak_operand_is_not_taken_for_a_strong_result():
    assert names(lambda x: lax.max(x, np.float32(-np.inf)), 2.0) == ["max"]


@given(jaxprs(max_steps=10))
@settings(max_examples=60)
def test_random_programs_keep_every_bit(closed):
    args = [np.array(SPECIAL[i : i + 6], "f4").reshape(2, 3) for i in (0, 6)]
    left = simplify(closed)
    check_jaxpr(left)
    assert values(left, args) == values(closed, args)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=60)
def test_random_arrangements_keep_every_bit(programs, seed):
    closed = programs.random_jaxpr(seed)
    left = simplify(closed)
    check_jaxpr(left)
    args = [np.resize(np.array(SPECIAL, "f4"), shape) for shape in programs.SHAPES]
    assert values(left, args) == values(closed, args)


def test_training_step(golden):
    """Attention, layer normalisation and a clipped activation, with their derivatives."""

    def loss(w, x):
        q, k, v = fnp.einsum("td,dsk->stk", x - fnp.mean(x, -1, keepdims=True), w)
        causal = fnp.tril(fnp.ones((4, 4), dtype=bool))
        shares = ff.nn.softmax(fnp.where(causal, q @ k.T / 8, -1e9), axis=-1)
        return fnp.mean(fnp.clip(shares @ v, -1, 1))

    closed = ff.make_jaxpr(ff.grad(loss))(np.ones((8, 3, 2), "f4"), np.ones((4, 8), "f4"))
    closed = inline(closed)
    before, after = (dce_closed(c) for c in (closed, simplify(closed)))
    golden("simplify_training_step.txt", f"{len(before.eqns)} equations are\n{after}\n")
