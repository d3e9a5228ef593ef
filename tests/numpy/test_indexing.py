"""`x[index]` and `x.at[index]`, against NumPy over random indices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst
from hypothesis.extra import numpy as hnp

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import (
    AxisError,
    ConcretizationTypeError,
    DtypeError,
    NonConcreteBooleanIndexError,
    OutOfBoundsError,
    ShapeError,
)
from funcflow.testing import check_laws

SHAPES = hst.lists(hst.integers(0, 4), max_size=4).map(tuple)


@hst.composite
def entry(draw, extent, common):
    kinds = ["slice", "slice", "none", "bool"]
    if extent:
        kinds += ["int", "int", "array", "array", "list", "mask"]
    kind = draw(hst.sampled_from(kinds))
    if kind == "slice":
        bounds = hst.none() | hst.integers(-extent - 2, extent + 2)
        step = draw(hst.none() | hst.sampled_from([1, 2, 3, -1, -2, -3]))
        return slice(draw(bounds), draw(bounds), step)
    if kind == "none":
        return None
    if kind == "bool":
        return draw(hst.booleans())
    positions = hst.integers(-extent, extent - 1)
    if kind == "int":
        return draw(positions)
    if kind == "mask":
        # as many as the other arrays' last axis, so that they broadcast
        count = common[-1] if common else 1
        mask = np.zeros(extent, bool)
        mask[draw(hst.permutations(range(extent)))[:count]] = True
        return mask
    array = draw(
        hnp.arrays(
            draw(hst.sampled_from([np.int8, np.int32, np.int64])), common, elements=positions
        )
    )
    return array.tolist() if kind == "list" and array.ndim else array


@hst.composite
def indices(draw, shape):
    """Any index of an array of this shape for which NumPy has a result."""
    common = draw(hst.sampled_from([(), (1,), (2,), (3,), (2, 1), (2, 3)]))
    count = draw(hst.integers(0, len(shape)))
    front = draw(hst.integers(0, count))
    axes = [*range(front), *range(len(shape) - count + front, len(shape))]
    entries = []
    for axis in axes:
        item = draw(entry(shape[axis], common))
        entries.append(item)
        if item is None or isinstance(item, bool):  # takes no axis
            entries.append(slice(None))
    if front < count or draw(hst.booleans()):
        position = sum(1 for _ in entries[:front]) if front == count else None
        if position is None:
            # the axes behind belong to the end: put the ellipsis where the front part ends
            taken = 0
            position = len(entries)
            for i, item in enumerate(entries):
                if taken == front:
                    position = i
                    break
                taken += item is not None and not isinstance(item, bool)
        else:
            position = len(entries)
        entries.insert(position, Ellipsis)
    index = tuple(entries)
    try:
        np.zeros(shape)[index]
    except IndexError:
        return ()
    if len(index) == 1 and draw(hst.booleans()):
        return index[0]
    return index


def with_traced_arrays(index):
    """The integers arrays of an index apart, and a function that puts others in their place."""
    items = index if isinstance(index, tuple) else (index,)
    arrays = [np.asarray(i) for i in items if isinstance(i, np.ndarray) and i.dtype != bool]

    def join(values):
        left = iter(values)
        return tuple(
            next(left) if isinstance(i, np.ndarray) and i.dtype != bool else i for i in items
        )

    return arrays, join


@settings(max_examples=300, deadline=None)
@given(data=hst.data(), shape=SHAPES)
def test_getitem_reads_what_numpy_reads(data, shape):
    x = np.arange(np.prod(shape, dtype=int), dtype="i4").reshape(shape)
    index = data.draw(indices(shape))
    expected = x[index]
    got = fnp.asarray(x)[index]
    np.testing.assert_array_equal(got, expected, strict=True)
    traced = ff.jit(lambda x: x[index])(x)
    np.testing.assert_array_equal(traced, expected, strict=True)
    arrays, join = with_traced_arrays(index)
    if arrays:
        traced = ff.jit(lambda x, i: x[join(i)])(x, arrays)
        np.testing.assert_array_equal(traced, expected, strict=True)


OPERATIONS = {
    "set": lambda x, i, y: x.__setitem__(i, y),
    "add": np.add.at,
    "subtract": np.subtract.at,
    "multiply": np.multiply.at,
    "min": np.minimum.at,
    "max": np.maximum.at,
}


@settings(max_examples=300, deadline=None)
@given(data=hst.data(), shape=SHAPES, operation=hst.sampled_from(sorted(OPERATIONS)))
def test_at_writes_what_numpy_writes(data, shape, operation):
    x = np.arange(np.prod(shape, dtype=int), dtype="i4").reshape(shape)
    index = data.draw(indices(shape))
    region = x[index].shape
    drop = data.draw(hst.integers(0, len(region)))
    narrow = tuple(1 if e > 1 and data.draw(hst.booleans()) else e for e in region[drop:])
    values = np.arange(3, np.prod(narrow, dtype=int) + 3, dtype="i4").reshape(narrow)
    expected = x.copy()
    OPERATIONS[operation](expected, index, values)

    def update(x, index, values):
        return getattr(x.at[index], operation)(values)

    np.testing.assert_array_equal(update(fnp.asarray(x), index, values), expected, strict=True)
    traced = ff.jit(lambda x, y: update(x, index, y))(x, values)
    np.testing.assert_array_equal(traced, expected, strict=True)
    arrays, join = with_traced_arrays(index)
    if arrays:
        traced = ff.jit(lambda x, i, y: update(x, join(i), y))(x, arrays, values)
        np.testing.assert_array_equal(traced, expected, strict=True)


X = fnp.arange(24.0).reshape(4, 6) / 7


@pytest.mark.parametrize(
    "index",
    [
        np.s_[1],
        np.s_[-1, 2],
        np.s_[::2, ::-1],
        np.s_[..., None, 3:],
        np.s_[np.array([3, 0, 0])],
        np.s_[1:, np.array([[0], [-1]])],
        np.s_[np.array([1, 2]), :, None],
        np.s_[np.array([1, 2]), np.array([3, 4])],
        np.s_[:, np.arange(6) % 2 == 0],
    ],
    ids=str,
)
def test_laws(index):
    check_laws(lambda x: x[index], (X,), order=1)
    values = X[index] * 3 + 1
    check_laws(lambda x, y: x.at[index].set(y), (X, values), order=1)
    check_laws(lambda x, y: x.at[index].add(y), (X, values), order=1)


def test_laws_with_traced_indices():
    i, j = np.array([3, 0, 0]), np.int32(-2)
    check_laws(lambda x, i, j: x[i, j], (X, i, j), order=1)
    check_laws(lambda x, j: x[j], (X, j), order=1)
    check_laws(lambda x, j: x[:, j], (X, j), order=1)
    check_laws(lambda x, i, y: x.at[i, 1:3].set(y), (X, i, X[:3, :2] + 1), order=1)
    check_laws(
        lambda x, i, y: x.at[:, i].multiply(y),
        (X, np.array([0, 2]), X[:, :2]),
        order=1,
        modes=("jit", "vmap", "fwd"),
    )


# --- out of bounds --------------------------------------------------------------------------


@pytest.mark.parametrize("index", [3, -4, (0, 2), np.array([0, 3]), (slice(None), [-3])])
def test_known_indices_out_of_bounds_raise(index):
    x = fnp.zeros((3, 2))
    with pytest.raises(OutOfBoundsError, match="out of bounds for axis"):
        x[index]
    with pytest.raises(OutOfBoundsError):
        ff.jit(lambda x: x[index])(x)
    with pytest.raises(OutOfBoundsError):
        x.at[index].set(1.0)
    with pytest.raises(IndexError):
        ff.grad(lambda x: x[index].sum())(x)


def test_traced_indices_are_clipped_when_read_and_dropped_when_written():
    x = fnp.arange(3.0)
    i = np.array([5, -1, -7])
    np.testing.assert_array_equal(ff.jit(lambda x, i: x[i])(x, i), [2, 2, 0])
    np.testing.assert_array_equal(ff.jit(lambda x, i: x.at[i].set(9.0))(x, i), [0, 1, 9])
    np.testing.assert_array_equal(ff.jit(lambda x, i: x[i])(x, 5), 2)
    np.testing.assert_array_equal(ff.jit(lambda x, i: x.at[i].add(1.0))(x, 5), x)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("i", [np.array([5, -1, -7]), np.array([1, 2, 0]), 5, -7, 1])
def test_modes(traced, i):
    x = fnp.arange(1.0, 4.0)
    jit = ff.jit if traced else lambda f: f
    wrapped = np.where(np.asarray(i) < 0, np.asarray(i) + 3, i)
    inside = (wrapped >= 0) & (wrapped < 3)
    clipped = np.asarray(x)[np.clip(wrapped, 0, 2)]
    got = jit(lambda x, i: x.at[i].get(mode="clip"))(x, i)
    np.testing.assert_array_equal(got, clipped)
    got = jit(lambda x, i: x.at[i].get(mode="fill"))(x, i)
    np.testing.assert_array_equal(got, np.where(inside, clipped, np.nan))
    got = jit(lambda x, i: x.at[i].get(mode="fill", fill_value=-1))(x, i)
    np.testing.assert_array_equal(got, np.where(inside, clipped, -1))
    got = jit(lambda x, i: x.at[i].get(fill_value=-1))(x, i)
    np.testing.assert_array_equal(got, np.where(inside, clipped, -1))
    expected = np.asarray(x).copy()
    expected[wrapped[inside]] = 9
    got = jit(lambda x, i: x.at[i].set(9, mode="drop"))(x, i)
    np.testing.assert_array_equal(got, expected)
    expected = np.asarray(x).copy()
    expected[np.clip(wrapped, 0, 2)] = 9
    got = jit(lambda x, i: x.at[i].set(9, mode="clip"))(x, i)
    np.testing.assert_array_equal(got, expected)


def test_integers_are_filled_with_their_limits():
    i = np.array([5])
    get = lambda x: x.at[i].get(mode="fill")  # noqa: E731
    assert get(fnp.arange(3)) == np.iinfo(np.int32).min
    assert get(fnp.arange(3, dtype="uint8")) == 255
    assert get(fnp.zeros(3, bool)) == True  # noqa: E712


# --- the rest of at -------------------------------------------------------------------------


def test_power_divide_apply():
    x = fnp.array([1.0, 2.0, 3.0])
    i = fnp.array([1, 1])
    np.testing.assert_allclose(x.at[i].power(2.0), [1, 16, 3])
    np.testing.assert_allclose(x.at[i].divide(2.0), [1, 0.5, 3])
    np.testing.assert_allclose(x.at[i].apply(lambda y: y + 1), [1, 4, 3])
    np.testing.assert_allclose(x.at[1:].apply(fnp.square), [1, 4, 9])
    np.testing.assert_allclose(x.at[0].power(0.0), [1, 2, 3])
    np.testing.assert_allclose(ff.jit(lambda x, i: x.at[i].apply(lambda y: y * 2))(x, i), [1, 8, 3])
    assert fnp.arange(3).at[1].divide(2).dtype == np.float32
    np.testing.assert_allclose(x.at[0].sub(1.0), x.at[0].subtract(1.0))
    np.testing.assert_allclose(x.at[0].mul(3.0), x.at[0].multiply(3.0))


def test_gradient_of_set_goes_to_the_value_that_stays():
    gradient = ff.grad(lambda y: fnp.zeros(2).at[fnp.array([0, 0])].set(y).sum())(fnp.ones(2))
    np.testing.assert_array_equal(gradient, [0, 1])


def test_traced_masks_choose():
    x = fnp.arange(4.0)
    mask = x > 1
    for operation in ("set", "add", "multiply", "min", "max", "subtract"):
        expected = getattr(x.at[mask], operation)(7.0)
        got = ff.jit(lambda x, m, o=operation: getattr(x.at[m], o)(7.0))(x, mask)
        np.testing.assert_array_equal(got, expected)
    rows = fnp.ones((2, 3))
    got = ff.jit(lambda x, m: x.at[m].set(fnp.arange(3.0)))(rows, fnp.array([True, False]))
    np.testing.assert_array_equal(got, [[0, 1, 2], [1, 1, 1]])
    with pytest.raises(ShapeError, match="traced mask"):
        ff.jit(lambda x, m: x.at[m].set(fnp.ones(2)))(x, mask)
    with pytest.raises(NonConcreteBooleanIndexError, match=r"bool\[4\]"):
        ff.jit(lambda x, m: x[m])(x, mask)


def test_masks_are_known_under_grad():
    x = fnp.array([1.0, -2.0, 3.0])
    gradient = ff.grad(lambda x: (x[x > 0] ** 2).sum())(x)
    np.testing.assert_array_equal(gradient, [2, 0, 6])


def test_results_keep_the_dtype_and_are_new():
    x = fnp.zeros(3, "float16")
    assert x.at[0].set(1.5).dtype == np.float16
    assert x.at[0].set(np.float64(2)).dtype == np.float16
    assert x.at[()].set(1).shape == (3,)
    np.testing.assert_array_equal(x, 0)
    weak = fnp.asarray(1.0)
    assert weak[()].weak_type
    assert weak.at[()].set(2.0).shape == ()


def test_slices_are_views():
    x = fnp.arange(6)
    assert np.shares_memory(x[1:3], x)


# --- bad indices ----------------------------------------------------------------------------


def test_bad_indices():
    x = fnp.zeros((3, 4))
    with pytest.raises(DtypeError, match=r"float32\[2\]"):
        x[fnp.array([0.0, 1.0])]
    with pytest.raises(DtypeError, match="str"):
        x["a"]
    with pytest.raises(DtypeError, match="float"):
        x[1.5]
    with pytest.raises(DtypeError, match="bounds of a slice"):
        x[1.5:]
    with pytest.raises(AxisError, match="too many indices: 3 for an array of 2"):
        x[0, 0, 0]
    with pytest.raises(AxisError, match="ellipsis"):
        x[..., ...]
    with pytest.raises(OutOfBoundsError, match="mask of shape"):
        x[np.ones(4, bool)]
    with pytest.raises(ShapeError, match="do not broadcast"):
        x[np.arange(2), np.arange(3)]
    with pytest.raises(ConcretizationTypeError, match="dynamic_slice"):
        ff.jit(lambda x, i: x[i:])(x, 1)
    with pytest.raises(ShapeError, match=r"shape \(2,\) do not broadcast"):
        x.at[0].set(fnp.ones(2))
    with pytest.raises(DtypeError, match="float32"):
        fnp.arange(3).at[0].set(fnp.ones(()))
    with pytest.raises(TypeError, match="immutable"):
        x[0] = 1.0


def test_slice_bounds_may_be_arrays():
    x = fnp.arange(5)
    np.testing.assert_array_equal(x[fnp.array(1) : fnp.array(3)], [1, 2])
