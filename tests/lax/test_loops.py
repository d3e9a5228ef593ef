"""fori_loop, map and associative_scan."""

import functools
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax
from funcflow.testing import check_grads, check_laws

F = np.float32
C = F(0.5)
W = F(0.7)
V = np.array([0.3, 0.6, 0.9], F)

# --- fori_loop --------------------------------------------------------------------------------


def horner(lower, upper, w, c):
    return lax.fori_loop(
        lower, upper, lambda i, c: lax.add(lax.mul(w, c), lax.convert_element_type(i, c.dtype)), c
    )


@pytest.mark.parametrize("bounds", [(0, 5), (2, 5), (-3, 2), (3, 3), (5, 0), (-1, -4)])
def test_fori_loop_is_the_python_loop(bounds):
    expected = np.float64(0.5)
    for i in range(*bounds):
        expected = 0.7 * expected + i
    known = functools.partial(horner, *bounds)
    w, c = np.float64(0.7), np.float64(0.5)
    np.testing.assert_allclose(known(w, c), expected)
    np.testing.assert_allclose(ff.jit(known)(w, c), expected)
    traced = [np.int32(b) for b in bounds]
    np.testing.assert_allclose(ff.jit(horner)(*traced, w, c), expected)
    gradients = [
        ff.grad(f, argnums=n)(*a)
        for f, n, a in ((known, 0, (w, c)), (ff.jit(horner), 2, (*traced, w, c)))
    ]
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-6)


def test_fori_loop_calls_the_body_with_each_index(capsys):
    for run in (lambda f: f(2, 5), lambda f: ff.jit(f)(2, 5)):
        run(lambda a, b: lax.fori_loop(a, b, lambda i, c: (ff.debug.print("{}", i), c)[1], 0))
        assert capsys.readouterr().out.split() == ["2", "3", "4"]


@pytest.mark.parametrize("bounds", [(0, 3), (1, 2), (2, 2)])
def test_laws_of_fori_loop(bounds):
    check_laws(lambda w, c: horner(*bounds, w, c), [W, C])
    check_laws(horner, [*map(np.int32, bounds), W, C])


def test_second_order_with_traced_bounds():
    n = np.int32(3)
    f = ff.jit(lambda w, v: lax.fori_loop(0, n, lambda i, v: lax.sin(lax.mul(w, v)), v))
    check_grads(f, [W, V], 2)
    lanes = ff.vmap(lambda n, v: lax.fori_loop(0, n, lambda i, v: lax.mul(v, v), v))
    np.testing.assert_allclose(
        lanes(np.array([0, 1, 2]), V), [V[0], V[1] ** 2, V[2] ** 4], rtol=1e-6
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint32"])
def test_the_index_has_the_dtype_of_the_bounds(dtype):
    def dtypes(lower, upper):
        seen = []
        lax.fori_loop(lower, upper, lambda i, c: (seen.append(i.dtype), c)[1], 0)
        return set(seen)

    bounds = np.array(1, dtype), np.array(3, dtype)
    assert dtypes(*bounds) == {np.dtype(dtype)}
    assert dtypes(0, bounds[1]) == {np.dtype(dtype)}
    seen = []
    ff.jit(lambda a, b: (seen.append(dtypes(a, b)), a)[1])(*bounds)
    assert seen == [{np.dtype(dtype)}]


def test_the_index_is_weak_if_the_bounds_are():
    c = np.int8(0)
    add = lambda i, c: fnp.add(c, i)  # noqa: E731
    assert lax.fori_loop(0, 3, lambda i, c: i, 0).weak_type
    for f in (lambda n: lax.fori_loop(0, 3, add, c), lambda n: lax.fori_loop(0, n, add, c)):
        out = ff.jit(f)(3)
        assert out.dtype == np.int8 and out.item() == 3


def test_fori_loop_over_a_tree():
    out = lax.fori_loop(
        0, 3, lambda i, t: {"a": lax.add(t["a"], i), "b": t["b"]}, {"a": 0, "b": None}, unroll=True
    )
    assert out["a"].item() == 3 and out["b"] is None


# --- map --------------------------------------------------------------------------------------


def test_map_is_vmap():
    f = lambda x: (lax.sin(x["a"]), {"b": lax.reduce_sum(x["a"], (0,)), "n": None})  # noqa: E731
    xs = {"a": np.arange(6, dtype=F).reshape(3, 2)}
    got, expected = lax.map(f, xs), ff.vmap(f)(xs)
    assert ff.tree.structure(got) == ff.tree.structure(expected)
    for a, b in zip(ff.tree.leaves(got), ff.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def test_laws_of_map():
    check_laws(lambda w, xs: lax.map(lambda x: lax.sin(lax.mul(x, w)), xs), [W, V])
    check_laws(lambda w, xs: lax.map(lambda x: lax.sin(lax.mul(x, w)), xs), [W, V[:0]])


# --- associative_scan -------------------------------------------------------------------------


def affine(f, g):
    """The composition of two affine maps, which does not commute."""
    return lax.mul(g[0], f[0]), lax.add(lax.mul(g[0], f[1]), g[1])


def fold(fn, elems, reverse):
    rows = [tuple(x[i] for x in elems) for i in range(len(elems[0]))]
    if reverse:
        rows.reverse()
    prefixes = [functools.reduce(fn, rows[: i + 1]) for i in range(len(rows))]
    if reverse:
        prefixes.reverse()
    return [np.stack([np.asarray(p[k]) for p in prefixes]) for k in range(len(elems))]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17])
def test_associative_scan_is_a_fold(n, reverse):
    rng = np.random.default_rng(n)
    elems = rng.uniform(0.5, 1.5, (2, n, 2))
    expected = fold(affine, tuple(elems), reverse)
    for axis in (0, 1, -1, -2):
        moved = tuple(np.moveaxis(x, 0, axis) for x in elems)
        got = lax.associative_scan(affine, moved, reverse=reverse, axis=axis)
        assert type(got) is tuple
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(np.moveaxis(np.asarray(a), axis, 0), b, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(n=hst.integers(0, 40), reverse=hst.booleans())
def test_integer_sums_are_exact(n, reverse):
    x = np.arange(n, dtype=np.int64) ** 3
    expected = np.cumsum(x[::-1])[::-1] if reverse else np.cumsum(x)
    got = lax.associative_scan(lax.add, x, reverse=reverse)
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, expected)


def test_associative_scan_without_elements():
    assert lax.associative_scan(lax.add, np.zeros((0, 2), F)).shape == (0, 2)
    assert lax.associative_scan(lax.add, {"a": None}) == {"a": None}


@pytest.mark.parametrize("dtype", ["bool", "int8", "bfloat16", "complex64"])
def test_associative_scan_of_other_dtypes(dtype):
    x = np.array([1, 0, 1, 1, 0], dtype)
    fn = lax.bitwise_or if dtype == "bool" else lax.add
    got = lax.associative_scan(fn, x)
    assert got.dtype == dtype
    python = operator.or_ if dtype == "bool" else operator.add
    np.testing.assert_array_equal(
        got, np.array([functools.reduce(python, x[: i + 1]) for i in range(5)])
    )


@pytest.mark.parametrize("n", [0, 1, 4, 5])
@pytest.mark.parametrize("reverse", [False, True])
def test_laws_of_associative_scan(n, reverse):
    a, b = np.linspace(0.5, 0.9, n, dtype=F), np.linspace(0.2, 0.4, n, dtype=F)
    check_laws(lambda a, b: lax.associative_scan(affine, (a, b), reverse=reverse), [a, b])


def test_associative_scan_traces_a_logarithmic_number_of_calls():
    calls = []
    lax.associative_scan(lambda a, b: (calls.append(1), lax.add(a, b))[1], np.zeros(1024, F))
    assert len(calls) <= 2 * 10


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: lax.fori_loop(0.0, 3, lambda i, c: c, 0),
            errors.DtypeError,
            "fori_loop: lower must be an integer",
        ),
        (
            lambda: lax.fori_loop(0, V, lambda i, c: c, 0),
            errors.DtypeError,
            "fori_loop: upper must be an integer",
        ),
        (
            lambda: lax.fori_loop(0, "3", lambda i, c: c, 0),
            errors.LeafTypeError,
            "neither an array",
        ),
        (lambda: lax.fori_loop(0, 3, 1, 0), errors.ArgumentError, "body_fun must be a function"),
        (
            lambda: lax.fori_loop(0, 3, lambda i, c: (c, c), 0),
            errors.CarryTypeError,
            "fori_loop: <lambda>",
        ),
        (lambda: lax.map(1, V), errors.ArgumentError, "map: f must be a function"),
        (lambda: lax.map(lambda x: x, C), errors.ShapeError, "no leading axis"),
        (lambda: lax.associative_scan(1, V), errors.ArgumentError, "fn must be a function"),
        (
            lambda: lax.associative_scan(lax.add, V, axis=1),
            errors.AxisError,
            "axis 1 is out of range",
        ),
        (lambda: lax.associative_scan(lax.add, C), errors.AxisError, "axis 0 is out of range"),
        (
            lambda: lax.associative_scan(affine, (V, V[1:])),
            errors.ShapeError,
            "extents along axis 0 differ",
        ),
        (
            lambda: lax.associative_scan(lambda a, b: (a, b), V),
            errors.TreeStructureError,
            "elements of 1 arrays, it returned 2",
        ),
        (
            lambda: lax.associative_scan(lambda a, b: lax.expand_dims(a, (1,)), V),
            errors.ShapeError,
            "<lambda> must return the types",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_traced_bounds_must_be_integers_as_well():
    with pytest.raises(errors.DtypeError, match="upper must be an integer"):
        ff.jit(lambda n: lax.fori_loop(0, n, lambda i, c: c, 0))(F(3))
    with pytest.raises(errors.CarryTypeError, match="fori_loop: <lambda> must return"):
        ff.jit(lambda n: lax.fori_loop(0, n, lambda i, c: (c, c), 0))(3)
