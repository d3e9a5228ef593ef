"""What the strategies promise of what they draw."""

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as hst

from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.pytree import tree_leaves
from funcflow.testing import strategies as st


@pytest.mark.parametrize("kinds", ["b", "i", "u", "f", "c", "biufc"])
def test_dtypes(kinds):
    @given(st.dtypes(kinds))
    def check(dtype):
        assert dtypes.kind(dtype) in kinds

    check()


@given(hst.data(), st.dtypes(), st.shapes())
def test_arrays_have_the_type_asked_for(data, dtype, shape):
    x = data.draw(st.arrays(dtype, shape, special=data.draw(hst.booleans())))
    assert isinstance(x, Array)
    assert (x.dtype, x.shape, x.weak_type) == (dtype, shape, False)


@given(hst.data(), st.dtypes("iufc"))
def test_bounds(data, dtype):
    x = np.asarray(data.draw(st.arrays(dtype, min_value=1, max_value=2)))
    parts = [x.real, x.imag] if x.dtype.kind == "c" else [x]
    for part in parts:
        assert ((part >= 1) & (part <= 2)).all()


@given(st.arrays(st.dtypes("fc"), smooth=True, min_value=-2, max_value=3))
def test_smooth_values_stay_away_from_kinks(x):
    values = np.asarray(x)
    for part in [values.real, values.imag] if x.dtype.kind == "c" else [values.astype("f8")]:
        away = np.abs(part * 8 - np.round(part * 8))
        assert (away == 0.5).all()  # halfway between two multiples of 1/8
        assert ((part > -2) & (part < 3)).all()


@given(st.arrays("float32", (6,), smooth=True, unique=True))
def test_unique_values(x):
    assert len(set(x.tolist())) == 6


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_special_values_are_drawn(dtype):
    def holds(predicate):
        values = st.arrays(dtype, (), special=True)
        find(values, lambda x: predicate(np.asarray(x)), settings=SEARCH)

    if dtypes.is_inexact(dtype):
        holds(lambda x: np.isnan(x))
        holds(lambda x: np.isinf(x))
        holds(lambda x: x == 0 and np.signbit(x.real))
    elif dtypes.is_integer(dtype):
        holds(lambda x: x == np.iinfo(dtype).max)
        holds(lambda x: x == np.iinfo(dtype).min)


SEARCH = settings(max_examples=1000, database=None, derandomize=True)


@given(st.broadcastable_shapes(3))
def test_shapes_broadcast(shapes):
    np.broadcast_shapes(*shapes)


@given(hst.data(), hst.integers(1, 4))
def test_axes(data, ndim):
    assert -ndim <= data.draw(st.axis(ndim)) < ndim
    axes = data.draw(st.axes(ndim, min_size=1, max_size=2))
    assert 1 <= len(axes) <= 2
    assert len({axis % ndim for axis in axes}) == len(axes)


@given(st.pytrees(st.arrays("float32", (2,))))
def test_pytrees(tree):
    assert all(leaf.shape == (2,) for leaf in tree_leaves(tree))


@given(hst.data(), st.shapes())
def test_indices_are_valid(data, shape):
    x = np.zeros(shape)
    x[data.draw(st.indices(shape))]
    x[data.draw(st.indices(shape, advanced=False))]
    x[data.draw(st.masks(shape))]


@given(st.dot_general_problems())
def test_dot_general_problems(problem):
    (lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch) = problem.dimension_numbers
    lhs, rhs = (*lhs_contracting, *lhs_batch), (*rhs_contracting, *rhs_batch)
    assert len(set(lhs)) == len(lhs) == len(rhs) == len(set(rhs))
    for i, j in zip(lhs, rhs, strict=True):
        assert problem.lhs_shape[i] == problem.rhs_shape[j]


@given(st.convolution_problems())
def test_convolution_problems(problem):
    lhs_layout, rhs_layout, out_layout = problem.dimension_numbers
    assert sorted(lhs_layout) == sorted(out_layout)
    features = problem.lhs_shape[lhs_layout.index("C")]
    batch = problem.lhs_shape[lhs_layout.index("N")]
    out_features = problem.rhs_shape[rhs_layout.index("O")]
    per_group = problem.rhs_shape[rhs_layout.index("I")]
    assert features == per_group * problem.feature_group_count
    assert out_features % (problem.feature_group_count * problem.batch_group_count) == 0
    assert batch % problem.batch_group_count == 0
    assert "lhs_shape" not in problem.options
    assert problem.options["padding"] == problem.padding


@given(hst.data(), st.shapes())
def test_padding_configs(data, shape):
    config = data.draw(st.padding_configs(shape))
    assert len(config) == len(shape)
    for extent, (low, high, interior) in zip(shape, config, strict=True):
        assert extent + max(extent - 1, 0) * interior + low + high >= 0
