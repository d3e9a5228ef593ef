"""All-reduces under vmap and pmap, and collectives inside control flow."""

import numpy as np
import pytest

import funcflow as ff
from funcflow import errors, lax
from funcflow.testing import check_laws

pytestmark = pytest.mark.usefixtures("eight_devices")

F = np.float32
N = 4
X = np.linspace(0.3, 2.0, N * 3, dtype=F).reshape(N, 3)
SHIFT = [(0, 1), (1, 2), (2, 3), (3, 0)]
MAPS = [ff.vmap, ff.pmap]

# name: (function of a lane, arguments with lanes in front, what NumPy makes of all lanes)
CASES = {
    "psum": (lambda x: lax.psum(x, "i"), X, np.repeat(X.sum(0, keepdims=True), N, 0)),
    "pmean": (lambda x: lax.pmean(x, "i"), X, np.repeat(X.mean(0, keepdims=True), N, 0)),
    "pmax": (lambda x: lax.pmax(x, "i"), X, np.repeat(X.max(0, keepdims=True), N, 0)),
    "pmin": (lambda x: lax.pmin(x, "i"), X, np.repeat(X.min(0, keepdims=True), N, 0)),
}


@pytest.mark.parametrize("name", CASES)
def test_laws(name, collective_law):
    collective_law(*CASES[name])


# --- several axes -----------------------------------------------------------------------------


def test_several_axes():
    x = np.arange(6, dtype=F).reshape(2, 3)

    def lanes(f, outer=ff.vmap):
        return np.asarray(outer(ff.vmap(f, axis_name="j"), axis_name="i")(x))

    for outer in MAPS:
        np.testing.assert_array_equal(
            lanes(lambda x: lax.psum(x, ("i", "j")), outer), np.full((2, 3), 15)
        )
        np.testing.assert_array_equal(lanes(lambda x: lax.psum(x, "i"), outer), [[3, 5, 7]] * 2)
        np.testing.assert_array_equal(
            lanes(lambda x: lax.pmax(x, ("j", "i")), outer), np.full((2, 3), 5)
        )
        np.testing.assert_array_equal(
            lanes(lambda x: lax.pmean(x, ["i", "j"]), outer), np.full((2, 3), 2.5)
        )
        np.testing.assert_array_equal(lanes(lambda x: lax.axis_index(("i", "j")), outer), x)
        np.testing.assert_array_equal(
            lanes(lambda x: lax.axis_index(("j", "i")), outer), [[0, 2, 4], [1, 3, 5]]
        )
        sizes = lanes(lambda x: lax.axis_size(("i", "j")) + lax.axis_size("j"), outer)
        np.testing.assert_array_equal(sizes, np.full((2, 3), 9))

    f = ff.vmap(
        ff.vmap(lambda x: lax.mul(x, lax.psum(lax.sin(x), ("i", "j"))), axis_name="j"),
        axis_name="i",
    )
    check_laws(f, [x / 8])


def test_the_inner_axis_of_a_name_hides_the_outer_one():
    f = ff.vmap(ff.vmap(lambda x: lax.psum(x, "i"), axis_name="i"), axis_name="i")
    np.testing.assert_array_equal(f(np.arange(6).reshape(2, 3)), [[3] * 3, [12] * 3])


# --- numbers and trees ------------------------------------------------------------------------


def test_python_numbers_give_python_numbers():
    seen = []

    def f(x):
        seen.append((lax.psum(1, "i"), lax.psum(2.5, "i"), lax.pmean(3, "i"), lax.axis_size("i")))
        return x

    ff.vmap(f, axis_name="i")(X)
    assert seen == [(4, 10.0, 3.0, 4)]
    assert [type(x) for x in seen[0]] == [int, float, float, int]


def test_trees():
    tree = {"a": X, "b": (X[:, 0], None)}
    for f in (
        lambda t: lax.psum(t, "i"),
        lambda t: lax.all_gather(t, "i"),
        lambda t: lax.ppermute(t, "i", SHIFT),
    ):
        got = ff.vmap(f, axis_name="i")(tree)
        assert ff.tree.structure(got) == ff.tree.structure(tree)
        np.testing.assert_allclose(got["a"], ff.vmap(f, axis_name="i")(X))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "complex64", "bfloat16", "float64"])
def test_dtypes_are_kept(dtype):
    x = np.arange(N * 3).reshape(N, 3).astype(dtype)
    for mapping in MAPS:
        total = mapping(lambda x: lax.psum(x, "i"), axis_name="i")(x)
        assert total.dtype == dtype
        np.testing.assert_array_equal(total, np.stack([np.sum(x, 0, dtype=dtype)] * N))
        assert mapping(lambda x: lax.pbroadcast(x, "i", 1), axis_name="i")(x).dtype == dtype
        assert (
            mapping(lambda x: lax.ppermute(x, "i", [(0, 2), (3, 1)]), axis_name="i")(x).dtype
            == dtype
        )


def test_ties_share_the_derivative_of_a_maximum():
    x = np.array([2.0, 5.0, 5.0, 1.0], F)
    for mapping in MAPS:
        f = mapping(lambda x: lax.pmax(x, "i"), axis_name="i")
        got = ff.vjp(f, x)[1](np.array([1, 0, 0, 0], F))[0]
        np.testing.assert_array_equal(got, [0, 0.5, 0.5, 0])


# --- inside control flow ----------------------------------------------------------------------


def in_scan(x):
    return lax.scan(lambda c, x: (lax.sin(lax.add(c, lax.psum(x, "i"))), lax.pmax(c, "i")), x[0], x)


def in_while(x):
    body = lambda s: (lax.add(s[0], 1), lax.sin(lax.add(s[1], lax.ppermute(s[1], "i", SHIFT))))  # noqa: E731
    return lax.while_loop(lambda s: lax.lt(s[0], 2), body, (0, x))[1]


def in_fori_loop(x):
    return lax.fori_loop(0, 2, lambda i, x: lax.mul(x, lax.pmean(x, "i")), x)


def in_cond(x):
    branches = lambda x: lax.mul(x, lax.psum(lax.sin(x), "i")), lambda x: lax.all_gather(x, "i")[0]
    return lax.cond(True, branches[0], lambda x: lax.psum(x, "i"), x)


def in_checkpoint(x):
    return ff.checkpoint(lambda x: lax.sin(lax.psum(lax.sin(x), "i")))(x)


def in_jit(x):
    return ff.jit(lambda x: lax.mul(x, lax.psum(lax.sin(x), "i")))(x)


@pytest.mark.parametrize("f", [in_scan, in_while, in_fori_loop, in_cond, in_checkpoint, in_jit])
def test_inside_control_flow(f):
    over_vmap = ff.vmap(f, axis_name="i")
    check_laws(over_vmap, [X])
    over_pmap = ff.pmap(f, axis_name="i")
    for a, b in zip(ff.tree.leaves(over_pmap(X)), ff.tree.leaves(over_vmap(X)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_known_number_of_lanes_in_a_loop_over_the_axis():
    """A ring: each lane sums what its neighbours pass on."""

    def ring(x):
        size = lax.axis_size("i")

        def step(_, carry):
            total, passed = carry
            passed = lax.ppermute(passed, "i", [(k, (k + 1) % size) for k in range(size)])
            return lax.add(total, passed), passed

        return lax.fori_loop(0, size - 1, step, (x, x))[0]

    for mapping in MAPS:
        np.testing.assert_allclose(
            mapping(ring, axis_name="i")(X), np.stack([X.sum(0)] * N), rtol=1e-6
        )


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f, error, message",
    [
        (
            lambda x: lax.psum(x, "k"),
            errors.UnboundAxisError,
            "psum: no axis named 'k'.*in scope: 'i'",
        ),
        (lambda x: lax.psum(1, "k"), errors.UnboundAxisError, "psum: no axis named 'k'"),
        (lambda x: lax.pmean(x, "k"), errors.UnboundAxisError, "pmean: no axis named 'k'"),
        (lambda x: lax.pmax(x, ("i", "k")), errors.UnboundAxisError, "pmax: no axis named 'k'"),
        (lambda x: lax.psum("a", "i"), errors.LeafTypeError, "neither an array"),
    ],
)
def test_errors(f, error, message):
    with pytest.raises(error, match=message):
        ff.vmap(f, axis_name="i")(X)


def test_collectives_need_a_mapped_function():
    with pytest.raises(errors.UnboundAxisError, match=r"in scope: none.*\n.*\n.*axis_name='i'"):
        lax.psum(X, "i")
