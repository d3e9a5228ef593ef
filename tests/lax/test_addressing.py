"""Every gather and scatter against a loop over its index vectors."""

import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst
from hypothesis.extra import numpy as hnp

import funcflow as ff
from funcflow import lax
from funcflow.core import dtypes
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

MODES = ["clip", "fill", "promise_in_bounds"]
SCATTERS = {
    "scatter": lambda old, new: new,
    "scatter_add": lambda old, new: old + new,
    "scatter_sub": lambda old, new: old - new,
    "scatter_mul": lambda old, new: old * new,
    "scatter_min": np.minimum,
    "scatter_max": np.maximum,
}


class Problem(NamedTuple):
    """A gather, and the scatter that writes the same windows."""

    shape: tuple[int, ...]
    indices: np.ndarray[Any, Any]
    dims: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]
    updates_shape: tuple[int, ...]
    mode: str

    def windows(self):
        """For each index vector: its place among the updates, its window's place, if it has one."""
        offset, collapsed, index_map, batching, indices_batching = self.dims
        for place in np.ndindex(self.indices.shape[:-1]):
            start = [0] * len(self.shape)
            for axis, index in zip(index_map, self.indices[place], strict=True):
                start[axis] = int(index)
            for axis, lane in zip(batching, indices_batching, strict=True):
                start[axis] = place[lane]
            reach = [e - s for e, s in zip(self.shape, self.sizes, strict=True)]
            clipped = [min(max(s, 0), r) for s, r in zip(start, reach, strict=True)]
            batch_place = iter(place)
            target = tuple(
                slice(None) if i in offset else next(batch_place)
                for i in range(len(self.updates_shape))
            )
            inside = self.mode == "clip" or clipped == start
            source = tuple(
                s if i in (*collapsed, *batching) else slice(s, s + n)
                for i, (s, n) in enumerate(zip(clipped, self.sizes, strict=True))
            )
            yield target, source if inside else None


@hst.composite
def problems(draw, max_side=3) -> Problem:
    """Gathers with any dimension numbers; windows inside the operand and outside."""
    sides = hst.integers(1, max_side)
    batch = draw(hst.lists(hst.integers(0, 3) | sides, max_size=2))
    lanes = draw(hst.permutations(range(len(batch))))[: draw(hst.integers(0, len(batch)))]
    kinds = ["window"] * draw(hst.integers(0, 2)) + ["collapsed"] * draw(hst.integers(0, 2))
    kinds = draw(hst.permutations([*kinds, *["batching"] * len(lanes)]))
    collapsed, batching = (
        tuple(i for i, kind in enumerate(kinds) if kind == wanted)
        for wanted in ("collapsed", "batching")
    )
    shape = [draw(sides) for _ in kinds]
    sizes = [
        draw(hst.integers(0, n)) if kind == "window" else 1
        for n, kind in zip(shape, kinds, strict=True)
    ]
    for axis, lane in zip(batching, lanes, strict=True):
        shape[axis] = batch[lane]
    free = [i for i, kind in enumerate(kinds) if kind != "batching"]
    index_map = draw(hst.permutations(free))[: draw(hst.integers(0, len(free)))]
    window = [n for n, kind in zip(sizes, kinds, strict=True) if kind == "window"]
    rank = len(batch) + len(window)
    offset = tuple(sorted(draw(hst.permutations(range(rank)))[: len(window)]))
    window_extents, batch_extents = iter(window), iter(batch)
    updates = [next(window_extents if i in offset else batch_extents) for i in range(rank)]

    mode = draw(hst.sampled_from(MODES))
    dtype = draw(hst.sampled_from(["int32", "int8", "uint8", "int64", "uint64"]))
    indices = draw(hnp.arrays(dtype, (*batch, len(index_map)), elements=hst.integers(0, 4)))
    if mode == "promise_in_bounds":
        reach = np.array([shape[i] - sizes[i] for i in index_map], dtype)
        indices = np.minimum(indices, reach)
    elif np.dtype(dtype).kind == "i":
        indices = indices - draw(hst.sampled_from(np.array([0, 1, 2], dtype)))
    dims = (offset, collapsed, tuple(index_map), batching, tuple(lanes))
    return Problem(tuple(shape), indices, dims, tuple(sizes), tuple(updates), mode)


@settings(max_examples=150, deadline=None)
@given(problem=problems(), data=hst.data())
def test_gather_reads_windows(problem, data):
    x = data.draw(st.arrays(shape=problem.shape))
    fill = data.draw(hst.sampled_from([0, 1]))
    expected = np.full(problem.updates_shape, fill).astype(x.dtype)
    for target, source in problem.windows():
        if source is not None:
            expected[target] = np.asarray(x)[source]

    got = lax.gather(
        x,
        problem.indices,
        lax.GatherDimensionNumbers(*problem.dims),
        problem.sizes,
        mode=problem.mode,
        fill_value=fill,
    )

    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", SCATTERS)
@settings(max_examples=60, deadline=None)
@given(problem=problems(), data=hst.data())
def test_scatters_write_windows(name, problem, data):
    numbers = "iufc" if name in ("scatter_sub", "scatter_mul") else "biufc"
    dtype = data.draw(st.dtypes(numbers))
    small = {"min_value": 0, "max_value": 3}
    x = data.draw(st.arrays(dtype, problem.shape, **small))
    updates = data.draw(st.arrays(dtype, problem.updates_shape, **small))
    expected = np.asarray(x).copy()
    with np.errstate(all="ignore"):
        for target, source in problem.windows():
            if source is not None:
                window = np.asarray(updates)[target]
                expected[source] = SCATTERS[name](expected[source], window)

    got = getattr(lax, name)(
        x,
        problem.indices,
        updates,
        lax.ScatterDimensionNumbers(*problem.dims),
        mode=problem.mode,
    )

    assert got.dtype == x.dtype
    if dtypes.is_inexact(dtype):
        np.testing.assert_allclose(
            np.asarray(got).astype("complex128"),
            expected.astype("complex128"),
            rtol=0.1 if dtype.itemsize == 2 else 1e-4,
        )
    else:
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", ["gather", *SCATTERS])
@settings(max_examples=12, deadline=None)
@given(problem=problems(max_side=2), data=hst.data())
def test_laws(name, problem, data):
    # values that all differ, so that no smallest or largest value is one twice
    size = int(np.prod(problem.shape) + np.prod(problem.updates_shape))
    values = np.array(data.draw(hst.permutations(range(size))), "f4") / 4 + 0.3
    x = values[: np.prod(problem.shape, dtype=int)].reshape(problem.shape)
    updates = values[x.size :].reshape(problem.updates_shape)
    if name == "gather":
        dims = lax.GatherDimensionNumbers(*problem.dims)
        check_laws(
            lambda x, indices: lax.gather(x, indices, dims, problem.sizes, mode=problem.mode),
            (x, problem.indices.astype("int32")),
            order=1,
        )
    else:
        dims = lax.ScatterDimensionNumbers(*problem.dims)
        check_laws(
            lambda x, indices, updates: getattr(lax, name)(
                x, indices, updates, dims, mode=problem.mode
            ),
            (x, problem.indices.astype("int32"), updates),
            order=1,
        )


def test_indices_beyond_the_signed_range_are_out_of_bounds():
    huge = np.array([[2**64 - 1], [0]], "uint64")
    x, dims = np.array([1.0, 2.0], "f4"), lax.GatherDimensionNumbers((), (0,), (0,))
    assert lax.gather(x, huge, dims, (1,), mode="clip").tolist() == [2, 1]
    assert lax.gather(x, huge, dims, (1,), mode="fill", fill_value=7).tolist() == [7, 1]


# --- wrong dimension numbers ----------------------------------------------------------------

X = np.zeros((2, 3), "f4")
ROWS = lax.GatherDimensionNumbers((1,), (0,), (0,))
INDICES = np.zeros((4, 1), "int32")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"offset_dims": (2,)}, "offset_dims must be increasing axes of 2"),
        ({"offset_dims": (1, 0)}, "offset_dims must be increasing axes of 3"),
        ({"offset_dims": ()}, "each axis of the operand must be one of offset_dims"),
        ({"collapsed_slice_dims": (2,)}, "collapsed_slice_dims and operand_batching_dims must be"),
        ({"start_index_map": ()}, "start_index_map must name one axis"),
        ({"start_index_map": (2,)}, "start_index_map must name one axis"),
        (
            {"collapsed_slice_dims": (), "operand_batching_dims": (0,), "start_index_map": (1,)},
            "must be axes of the same extents",
        ),
    ],
)
def test_wrong_dimension_numbers_are_refused(changes, match):
    dims = ROWS._replace(**changes)
    for gather in (lax.gather, ff.jit(lax.gather, static_argnums=(2, 3))):
        with pytest.raises(ff.errors.ShapeError, match=match):
            gather(X, INDICES, dims, (1, 3))


@pytest.mark.parametrize(
    ("sizes", "match"),
    [((1,), "slice_sizes"), ((1, 4), "slice_sizes"), ((2, 3), "must be 1 at collapsed_slice_dims")],
)
def test_wrong_sizes_are_refused(sizes, match):
    with pytest.raises(ff.errors.ShapeError, match=match):
        lax.gather(X, INDICES, ROWS, sizes)


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((4,), "must have 1 axes for the indices"),
        ((3, 3), "one window for each index vector"),
        ((4, 5), "larger than the operand"),
    ],
)
def test_updates_that_do_not_fit_are_refused(shape, match):
    dims = lax.ScatterDimensionNumbers(*ROWS)
    for name, scatter in itertools.product(SCATTERS, (lambda f: f, ff.jit)):
        function = scatter(lambda x, i, u, name=name: getattr(lax, name)(x, i, u, dims))
        with pytest.raises(ff.errors.ShapeError, match=match):
            function(X, INDICES, np.zeros(shape, "f4"))


def test_indices_must_be_integers_and_updates_of_the_operands_dtype():
    with pytest.raises(ff.errors.DtypeError, match=r"gather: indices must be integers, got f32"):
        lax.gather(X, INDICES.astype("f4"), ROWS, (1, 3))
    with pytest.raises(ff.errors.DtypeError, match="scatter_add: takes arguments of one dtype"):
        dims = lax.ScatterDimensionNumbers(*ROWS)
        lax.scatter_add(X, INDICES, np.zeros((4, 3), "f8"), dims)
