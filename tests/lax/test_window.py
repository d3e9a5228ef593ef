"""Reductions over sliding windows and their gradients."""

import itertools
import math
from functools import partial

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import composite, integers, lists, sampled_from, tuples
from hypothesis.strategies import data as draws

import funcflow as ff
from funcflow import errors, lax
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

BF16 = np.dtype(ml_dtypes.bfloat16)
REDUCTIONS = {
    "add": (np.sum, "iufc", 0),
    "max": (np.max, "iuf", -math.inf),
    "min": (np.min, "iuf", math.inf),
    "mul": (np.prod, "iufc", 1),
}


def matrix(seed=0, shape=(4, 6)):
    return np.random.default_rng(seed).standard_normal(shape)


def neutral(name, dtype):
    init = REDUCTIONS[name][2]
    if math.isinf(init) and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.asarray(limits.min if init < 0 else limits.max, dtype)
    return np.asarray(init, dtype)


def reference(x, name, window, strides, padding, base_dilation, window_dilation):
    """Window by window, in an array that is spread out and padded by hand."""
    fill = neutral(name, x.dtype)
    spread = [(n - 1) * b + 1 if n else 0 for n, b in zip(x.shape, base_dilation, strict=True)]
    full = np.full(spread, fill)
    full[tuple(slice(None, None, b) for b in base_dilation)] = x
    for axis, pads in enumerate(padding):
        ends = [
            np.full((*full.shape[:axis], max(p, 0), *full.shape[axis + 1 :]), fill) for p in pads
        ]
        full = np.concatenate([ends[0], full, ends[1]], axis)
    full = full[
        tuple(
            slice(max(-a, 0), max(n - max(-b, 0), 0))
            for (a, b), n in zip(padding, full.shape, strict=True)
        )
    ]
    spans = [(w - 1) * d + 1 for w, d in zip(window, window_dilation, strict=True)]
    counts = [
        (n - span) // s + 1 if n >= span else 0
        for n, span, s in zip(full.shape, spans, strides, strict=True)
    ]
    out = np.empty(counts, x.dtype)
    for place in itertools.product(*map(range, counts)):
        box = tuple(
            slice(i * s, i * s + span, d)
            for i, s, span, d in zip(place, strides, spans, window_dilation, strict=True)
        )
        out[place] = REDUCTIONS[name][0](full[box])
    return out


@composite
def problems(draw):
    """A shape, and the arguments of `reduce_window` from the window's dimensions on."""
    shape = draw(st.shapes(max_dims=2, max_side=6))
    ndim = len(shape)

    def each(low, high):
        return tuple(draw(lists(integers(low, high), min_size=ndim, max_size=ndim)))

    pads = draw(lists(tuples(integers(0, 3), integers(0, 3)), min_size=ndim, max_size=ndim))
    base = each(1, 2)
    # crop one axis by at most what is there
    if shape and shape[0] > 2:
        pads[0] = draw(sampled_from([pads[0], (-1, 2), (1, -1), (-1, -1)]))
    return shape, (each(1, 5), each(1, 3), tuple(pads), base, each(1, 3))


# --- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REDUCTIONS)
@settings(max_examples=60, deadline=None)
@given(data=draws(), problem=problems())
def test_values(name, data, problem):
    shape, arguments = problem
    dtype = data.draw(st.dtypes(REDUCTIONS[name][1]))
    x = np.asarray(data.draw(st.arrays(dtype, shape, min_value=0, max_value=2)))
    got = np.asarray(lax.reduce_window(x, neutral(name, dtype), getattr(lax, name), *arguments))
    exact = dtype.kind in "iu" or name in ("max", "min")
    wide = x if exact else x.astype("complex128" if dtype.kind == "c" else "float64")
    expected = reference(wide, name, *arguments)
    assert got.dtype == dtype
    assert got.shape == lax.reduce_window_shape_tuple(shape, *arguments)
    if exact:
        np.testing.assert_array_equal(got, expected)
    else:
        eps = float(ml_dtypes.finfo(dtype).eps)
        scale = np.max(np.abs(expected), initial=1.0)
        np.testing.assert_allclose(
            got.astype(wide.dtype), expected, rtol=64 * eps, atol=8 * eps * scale
        )


@pytest.mark.parametrize("stride", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 12, 16, 31, 50])
def test_long_windows(size, stride):
    x = np.arange(50, dtype="int32")
    arguments = ((size,), (stride,), ((0, 0),), (1,), (1,))
    for name in ("add", "max"):
        got = lax.reduce_window(x, neutral(name, x.dtype), getattr(lax, name), *arguments)
        np.testing.assert_array_equal(got, reference(x, name, *arguments))


@pytest.mark.parametrize("size", [2, 3, 12, 31])
def test_order_within_windows_is_kept(size):
    """The first of two elements is associative but does not commute."""
    x = np.arange(50, dtype="int32")
    got = lax.reduce_window((x, x), (0, 0), lambda a, b: (a[0], b[1]), (size,), (1,), "VALID")
    np.testing.assert_array_equal(got[1], x[size - 1 :])
    grid = np.arange(20, dtype="int32").reshape(4, 5)
    _, last = lax.reduce_window((grid, grid), (0, 0), lambda a, b: (a[0], b[1]), (2, 3))
    np.testing.assert_array_equal(last, grid[1:, 2:])


@pytest.mark.parametrize("padding", ["VALID", "same", "SAME_LOWER"])
def test_named_padding(padding):
    x = matrix(shape=(5, 7))
    pads = lax.padtype_to_pads((5, 7), (2, 4), (1, 3), padding)
    named = lax.reduce_window(x, 0.0, lax.add, (2, 4), (1, 3), padding)
    np.testing.assert_array_equal(named, lax.reduce_window(x, 0.0, lax.add, (2, 4), (1, 3), pads))
    expected = {"VALID": (4, 2), "same": (5, 3), "SAME_LOWER": (5, 3)}[padding]
    assert named.shape == lax.reduce_window_shape_tuple((5, 7), (2, 4), (1, 3), padding) == expected


@pytest.mark.parametrize("dtype", ["float16", BF16])
def test_16_bit_floats_are_summed_in_float32(dtype):
    got = lax.reduce_window(np.ones(4000, dtype), np.zeros((), dtype), lax.add, (3000,))
    np.testing.assert_array_equal(got, np.full(1001, 3000, dtype))


@pytest.mark.parametrize("dtype", ["float16", BF16, "float32"])
def test_nan_propagates(dtype):
    x = np.array([1, 2, np.nan, 4, 5, 6], dtype)
    got = np.asarray(lax.reduce_window(x, np.asarray(-np.inf, dtype), lax.max, (2,)))
    assert np.isnan(got).tolist() == [False, True, True, False, False]


def test_initial_value_counts_once_per_window():
    # recorded from jax.lax.reduce_window
    x = np.arange(1, 5, dtype="float32")
    np.testing.assert_array_equal(
        lax.reduce_window(x, 10.0, lax.add, (2,), (1,), "SAME"), [13, 15, 17, 14]
    )
    np.testing.assert_array_equal(
        lax.reduce_window(x, 2.0, lax.mul, (2,), (1,), "SAME"), [4, 12, 24, 8]
    )
    np.testing.assert_array_equal(lax.reduce_window(x, 2.5, lax.max, (2,)), [2.5, 3, 4])


def root_of_squares(x, y):
    return lax.sqrt(lax.add(lax.mul(x, x), lax.mul(y, y)))


def test_any_associative_function():
    x = matrix(shape=(5, 6))
    got = lax.reduce_window(x, 0.0, root_of_squares, (2, 3), (1, 2), "SAME")
    squares = lax.reduce_window(x * x, 0.0, lax.add, (2, 3), (1, 2), "SAME")
    np.testing.assert_allclose(got, np.sqrt(squares), rtol=1e-12)


@pytest.mark.parametrize("computation", ["add", "max", "min"])
def test_known_monoids_are_recognised(computation):
    x = matrix().astype("float32")
    function, init = getattr(lax, computation), REDUCTIONS[computation][2]
    jaxpr = ff.make_jaxpr(lambda y: lax.reduce_window(y, init, function, (2, 2)))(x)
    name = {"add": "sum"}.get(computation, computation)
    assert [eqn.primitive.name for eqn in jaxpr.eqns] == [f"reduce_window_{name}"]


# --- derivatives ------------------------------------------------------------------------------

# window, strides, padding, base dilation, window dilation
WINDOWS = [
    ((2, 2), (2, 2), "VALID", None, None),
    ((3, 3), (2, 1), "SAME", None, None),
    ((2, 3), (1, 2), ((1, 0), (2, 1)), None, None),
    ((2, 2), (1, 1), "VALID", (1, 2), (2, 1)),
    ((3, 1), (2, 1), ((-1, 0), (0, -2)), None, None),
    ((1, 6), None, ((0, 0), (5, 0)), None, None),
]


@pytest.mark.parametrize("arguments", WINDOWS)
@pytest.mark.parametrize("name", ["add", "max", "min", "mul"])
def test_laws(name, arguments):
    init, function = REDUCTIONS[name][2], getattr(lax, name)
    check_laws(lambda x: lax.reduce_window(x, init, function, *arguments), (matrix(),))


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_laws_of_sums_in_other_dtypes(dtype):
    x = (matrix() + (1j * matrix(1) if dtype == "complex64" else 0)).astype(dtype)
    check_laws(lambda y: lax.reduce_window(y, 0, lax.add, (2, 3), (1, 2), "SAME"), (x,))


def test_laws_of_any_associative_function():
    def pooled(x, init):
        return lax.reduce_window(x, init, root_of_squares, (2, 2), (1, 2), "SAME")

    check_laws(pooled, (matrix(), np.float64(0.5)))


def test_average_pooling():
    def average(x):
        total = lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 1), "SAME")
        count = lax.reduce_window(np.ones((4, 6)), 0.0, lax.add, (2, 2), (1, 1), "SAME")
        return lax.div(total, count)

    check_laws(average, (matrix(),))


def test_empty_operands_and_results():
    for shape in [(0,), (2,)]:
        x = np.zeros(shape)
        for function, init in ((lax.add, 0.0), (lax.max, -np.inf)):
            for pads in [((0, 0),), ((2, 2),)]:
                pooled = partial(
                    lax.reduce_window,
                    init_value=init,
                    computation=function,
                    window_dimensions=(3,),
                    padding=pads,
                )
                out, pullback = ff.vjp(pooled, x)
                (gradient,) = pullback(np.ones(out.shape))
                assert gradient.shape == shape


def test_the_first_of_equal_maxima_gets_the_derivative():
    x = np.array([1.0, 1.0, 0.0, 1.0])

    def total(y):
        return lax.reduce_sum(lax.reduce_window(y, -np.inf, lax.max, (2,), (1,), "SAME"), (0,))

    np.testing.assert_array_equal(ff.grad(total)(x), [1, 1, 0, 2])


def test_elements_win_over_padding():
    x = np.array([-np.inf, -np.inf])

    def total(y):
        return lax.reduce_sum(lax.reduce_window(y, -np.inf, lax.max, (3,), (1,), "SAME"), (0,))

    np.testing.assert_array_equal(ff.grad(total)(x), [2, 0])


@pytest.mark.parametrize("arguments", WINDOWS[:3])
def test_select_and_scatter_add_transposes_select_and_gather_add(arguments):
    x, t = matrix(), matrix(1)
    for select in (lax.ge_p, lax.le_p):
        gathered = lax.select_and_gather_add(t, x, select, *arguments)
        source = matrix(2, gathered.shape)
        scattered = lax.select_and_scatter_add(source, x, select, *arguments[:3])
        np.testing.assert_allclose(
            np.sum(np.asarray(gathered) * source), np.sum(np.asarray(scattered) * t)
        )
    chosen = lax.select_and_gather_add(x, x, lax.ge_p, *arguments)
    np.testing.assert_array_equal(chosen, lax.reduce_window(x, -np.inf, lax.max, *arguments))


def test_laws_of_select_and_gather_and_scatter_add():
    x = matrix()
    check_laws(lambda t: lax.select_and_gather_add(t, x, lax.ge_p, (2, 2)), (matrix(1),))
    check_laws(
        lambda s: lax.select_and_scatter_add(s, x, lax.le_p, (2, 2), (2, 2)), (matrix(1, (2, 3)),)
    )


# --- windows side by side ---------------------------------------------------------------------


@pytest.mark.parametrize("select", ["max", "min"])
@pytest.mark.parametrize("shape, window", [((2, 4, 6, 16), (1, 2, 3, 1)), ((5, 7, 17), (2, 3, 1))])
def test_derivatives_of_tiles_are_those_at_winners(select, shape, window):
    combine, prim, worst = {
        "max": (lax.max, lax.ge_p, -np.inf),
        "min": (lax.min, lax.le_p, np.inf),
    }[select]
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, shape).astype("float32")  # with ties
    x[0, :2, :2] = np.nan

    def pool(x):
        return lax.reduce_window(x, worst, combine, window, window)

    for f in (pool, ff.jit(pool)):
        out, back = ff.vjp(f, x)
        ct = rng.standard_normal(out.shape, "float32")
        expected = lax.select_and_scatter_add(ct, x, prim, window, window)
        np.testing.assert_array_equal(back(ct)[0], expected)
        t = rng.standard_normal(shape, "float32")
        expected = lax.select_and_gather_add(t, x, prim, window, window)
        np.testing.assert_array_equal(ff.jvp(f, (x,), (t,))[1], expected)


def test_laws_of_tiles():
    x = matrix(0, (4, 3, 16))
    pool = lambda x: lax.reduce_window(x, -np.inf, lax.max, (2, 2, 1), (2, 2, 1))  # noqa: E731
    check_laws(pool, (x,))


def test_what_tiles_choose_of_infinite_cotangents():
    x = np.arange(64, dtype="float32").reshape(4, 16)
    _, back = ff.vjp(lambda x: lax.reduce_window(x, -np.inf, lax.max, (2, 1), (2, 1)), x)
    expected = np.zeros((4, 16))
    expected[1::2] = np.inf
    np.testing.assert_array_equal(back(np.full((2, 16), np.inf, "float32"))[0], expected)


@pytest.mark.parametrize(
    "window, strides, scattered",
    [
        ((1, 2, 2, 1), (1, 2, 2, 1), False),
        ((1, 3, 3, 1), (1, 2, 2, 1), True),  # they overlap
        ((1, 1, 2, 2), (1, 1, 2, 2), True),  # no vectors of features
    ],
)
def test_windows_side_by_side_need_no_scatter(window, strides, scattered):
    def total(x):
        return lax.reduce_sum(lax.reduce_window(x, -np.inf, lax.max, window, strides), (0, 1, 2, 3))

    text = str(ff.make_jaxpr(ff.grad(total))(np.ones((2, 4, 4, 16), "float32")))
    assert ("scatter_add" in text) == scattered


# --- bad input --------------------------------------------------------------------------------


def test_bad_input():
    x = np.ones((4, 6), "float32")
    with pytest.raises(errors.ShapeError, match=r"reduce_window: window_dimensions \(2,\)"):
        lax.reduce_window(x, 0.0, lax.add, (2,))
    with pytest.raises(errors.ShapeError, match="reduce_window: padding"):
        lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 1), [(0, 0)])
    with pytest.raises(errors.ArgumentError, match="window_strides must be positive"):
        lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 0))
    with pytest.raises(errors.ArgumentError, match="padding 'FULL'"):
        lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 1), "FULL")
    with pytest.raises(errors.DtypeError, match="reduce_window: an initial value"):
        lax.reduce_window(x, np.int32(0), lax.add, (2, 2))
    with pytest.raises(errors.ArgumentError, match="select_prim must be ge_p or le_p"):
        lax.select_and_gather_add(x, x, lax.add_p, (2, 2))
