"""Collectives under vmap and pmap: against NumPy, and their laws."""

import numpy as np
import pytest

import funcflow as ff
from funcflow import errors, lax
from funcflow.testing import check_laws

F = np.float32
N = 4
X = np.linspace(0.3, 2.0, N * 3, dtype=F).reshape(N, 3)
SQUARE = np.linspace(-1.0, 2.0, N * N * 2, dtype=F).reshape(N, N, 2)
SHIFT = [(0, 1), (1, 2), (2, 3), (3, 0)]
PART = [(0, 2), (3, 1)]

MAPS = [ff.vmap, ff.pmap]


@pytest.fixture(autouse=True)
def enough_devices():
    with ff.config(num_cpu_devices=8):
        yield


def moved(x, pairs):
    out = np.zeros_like(x)
    for source, destination in pairs:
        out[destination] = x[source]
    return out


# name: (function of a lane, arguments with lanes in front, what NumPy makes of all lanes)
CASES = {
    "psum": (lambda x: lax.psum(x, "i"), X, np.repeat(X.sum(0, keepdims=True), N, 0)),
    "pmean": (lambda x: lax.pmean(x, "i"), X, np.repeat(X.mean(0, keepdims=True), N, 0)),
    "pmax": (lambda x: lax.pmax(x, "i"), X, np.repeat(X.max(0, keepdims=True), N, 0)),
    "pmin": (lambda x: lax.pmin(x, "i"), X, np.repeat(X.min(0, keepdims=True), N, 0)),
    "axis_index": (
        lambda x: lax.add(x, lax.convert_element_type(lax.axis_index("i"), F)),
        X,
        X + np.arange(N)[:, None],
    ),
    "all_gather": (lambda x: lax.all_gather(x, "i"), X, np.stack([X] * N)),
    "all_gather_axis": (lambda x: lax.all_gather(x, "i", axis=1), X, np.stack([X.T] * N)),
    "all_gather_last": (lambda x: lax.all_gather(x, "i", axis=-1), X, np.stack([X.T] * N)),
    "all_gather_tiled": (
        lambda x: lax.all_gather(x, "i", tiled=True),
        X,
        np.stack([X.ravel()] * N),
    ),
    "psum_scatter": (lambda x: lax.psum_scatter(x, "i"), SQUARE, SQUARE.sum(0)),
    "psum_scatter_axis": (
        lambda x: lax.psum_scatter(x, "i", scatter_dimension=1),
        SQUARE.swapaxes(1, 2),
        SQUARE.sum(0),
    ),
    "psum_scatter_tiled": (
        lambda x: lax.psum_scatter(x, "i", tiled=True),
        SQUARE.reshape(N, 2 * N),
        SQUARE.reshape(N, 2 * N).sum(0).reshape(N, 2),
    ),
    "all_to_all": (lambda x: lax.all_to_all(x, "i", 0, 0), SQUARE, SQUARE.swapaxes(0, 1)),
    "all_to_all_axes": (lambda x: lax.all_to_all(x, "i", 0, 1), SQUARE, SQUARE.transpose(1, 2, 0)),
    "all_to_all_tiled": (
        lambda x: lax.all_to_all(x, "i", 0, 1, tiled=True),
        SQUARE,
        SQUARE.transpose(1, 0, 2).reshape(N, 1, 2 * N),
    ),
    "all_to_all_tiled_same": (
        lambda x: lax.all_to_all(x, "i", 0, 0, tiled=True),
        SQUARE.reshape(N, 2 * N),
        SQUARE.swapaxes(0, 1).reshape(N, 2 * N),
    ),
    "pswapaxes": (lambda x: lax.pswapaxes(x, "i", 0), SQUARE, SQUARE.swapaxes(0, 1)),
    "ppermute": (lambda x: lax.ppermute(x, "i", SHIFT), X, moved(X, SHIFT)),
    "ppermute_part": (lambda x: lax.ppermute(x, "i", PART), X, moved(X, PART)),
    "pshuffle": (lambda x: lax.pshuffle(x, "i", [3, 1, 0, 2]), X, X[[3, 1, 0, 2]]),
    "pbroadcast": (lambda x: lax.pbroadcast(x, "i", 2), X, np.stack([X[2]] * N)),
}


@pytest.mark.parametrize("mapping", MAPS)
@pytest.mark.parametrize("name", CASES)
def test_meaning(name, mapping):
    f, x, expected = CASES[name]
    got = mapping(f, axis_name="i")(x)
    assert got.dtype == F and got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_laws_under_vmap(name):
    f, x, _ = CASES[name]
    check_laws(ff.vmap(f, axis_name="i"), [x])
    check_laws(
        ff.vmap(lambda x: f(lax.sin(x)), axis_name="i", in_axes=1, out_axes=-1),
        [np.moveaxis(x, 0, 1)],
    )


@pytest.mark.parametrize("name", CASES)
def test_a_value_that_is_the_same_in_all_lanes(name):
    f, x, _ = CASES[name]
    one = x[1]
    got = ff.vmap(lambda _: f(one), axis_name="i")(np.arange(N))
    expected = ff.vmap(f, axis_name="i")(np.stack([one] * N))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_under_pmap_are_those_under_vmap(name):
    f, x, _ = CASES[name]

    def pulled(mapping):
        out, f_vjp = ff.vjp(mapping(lambda x: lax.sin(f(lax.mul(x, x))), axis_name="i"), x)
        ct = np.cos(np.arange(out.size, dtype=F)).reshape(out.shape)
        tangent = ff.jvp(mapping(lambda x: lax.sin(f(lax.mul(x, x))), axis_name="i"), (x,), (x,))[1]
        return [*f_vjp(ct), tangent]

    for a, b in zip(pulled(ff.vmap), pulled(ff.pmap), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("outer", MAPS)
@pytest.mark.parametrize("name", CASES)
def test_another_mapped_axis_around_and_inside(name, outer):
    """The other axis passes through every rule, whichever of the two is outside."""
    f, x, _ = CASES[name]
    both = np.stack([x, 2 * x])
    once = ff.vmap(f, axis_name="i")
    want = np.stack([np.asarray(once(y)) for y in both])
    np.testing.assert_allclose(outer(once, axis_name="j")(both), want, rtol=1e-6)
    inside = outer(ff.vmap(f, axis_name="j"), axis_name="i", in_axes=1, out_axes=1)
    np.testing.assert_allclose(inside(both), want, rtol=1e-6)


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
        assert mapping(lambda x: lax.ppermute(x, "i", PART), axis_name="i")(x).dtype == dtype


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
        (lambda x: lax.axis_index("k"), errors.UnboundAxisError, "axis_index: no axis"),
        (lambda x: lax.axis_size("k"), errors.UnboundAxisError, "axis_size: no axis"),
        (lambda x: lax.all_gather(x, "k"), errors.UnboundAxisError, "all_gather: no axis"),
        (lambda x: lax.psum_scatter(x, "k"), errors.UnboundAxisError, "psum_scatter: no axis"),
        (lambda x: lax.all_to_all(x, "k", 0, 0), errors.UnboundAxisError, "all_to_all: no axis"),
        (lambda x: lax.ppermute(x, "k", SHIFT), errors.UnboundAxisError, "ppermute: no axis"),
        (lambda x: lax.pbroadcast(x, "k", 0), errors.UnboundAxisError, "no axis named 'k'"),
        (
            lambda x: lax.all_gather(x, ("i", "j")),
            errors.ArgumentError,
            "all_gather: takes one axis name",
        ),
        (
            lambda x: lax.ppermute(x, ("i", "j"), SHIFT),
            errors.ArgumentError,
            "ppermute: takes one axis name",
        ),
        (lambda x: lax.all_gather(x, "i", axis=3), errors.AxisError, "all_gather: axis 3"),
        (
            lambda x: lax.psum_scatter(x, "i"),
            errors.ShapeError,
            "psum_scatter: the extent 3.*size 4",
        ),
        (
            lambda x: lax.psum_scatter(x, "i", tiled=True),
            errors.ShapeError,
            "psum_scatter.*no multiple",
        ),
        (
            lambda x: lax.psum_scatter(x, "i", scatter_dimension=2),
            errors.AxisError,
            "psum_scatter: axis 2",
        ),
        (
            lambda x: lax.all_to_all(x, "i", 0, 0),
            errors.ShapeError,
            "all_to_all: the extent 3.*size 4",
        ),
        (
            lambda x: lax.all_to_all(x, "i", 0, 0, tiled=True),
            errors.ShapeError,
            "all_to_all.*no multiple",
        ),
        (lambda x: lax.all_to_all(x, "i", 1, 0), errors.AxisError, "all_to_all: axis 1"),
        (
            lambda x: lax.ppermute(x, "i", [(0, 1), (0, 2)]),
            errors.ArgumentError,
            "names a source twice",
        ),
        (
            lambda x: lax.ppermute(x, "i", [(0, 1), (2, 1)]),
            errors.ArgumentError,
            "names a destination twice",
        ),
        (lambda x: lax.ppermute(x, "i", [(0, 4)]), errors.ArgumentError, "outside 0..3"),
        (lambda x: lax.ppermute(x, "i", [(-1, 0)]), errors.ArgumentError, "outside 0..3"),
        (lambda x: lax.ppermute(x, "i", [0, 1]), errors.ArgumentError, "pairs"),
        (
            lambda x: lax.pshuffle(x, "i", [0, 0, 1, 2]),
            errors.ArgumentError,
            "pshuffle: .* no permutation",
        ),
        (
            lambda x: lax.pshuffle(x, "i", [0, 1]),
            errors.ArgumentError,
            "pshuffle: .* no permutation",
        ),
        (lambda x: lax.pbroadcast(x, "i", 4), errors.ArgumentError, "pbroadcast: .*outside 0..3"),
        (lambda x: lax.psum("a", "i"), errors.LeafTypeError, "neither an array"),
    ],
)
def test_errors(f, error, message):
    with pytest.raises(error, match=message):
        ff.vmap(f, axis_name="i")(X)


def test_collectives_need_a_mapped_function():
    with pytest.raises(errors.UnboundAxisError, match=r"in scope: none.*\n.*\n.*axis_name='i'"):
        lax.psum(X, "i")
