"""Views of buffers agree with NumPy's strides."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from funcflow.backends.program import Step, View, dense_strides, dense_view

I32 = np.dtype("i4")
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)


def array_of(view: View) -> np.ndarray:
    """The elements: their numbers in the buffer."""
    memory = np.arange(view.buffer.nbytes // 4, dtype=I32)
    return as_strided(memory[view.offset :], view.shape, [4 * s for s in view.strides])


@st.composite
def views(draw, max_steps=3):
    """A view that comes from some of the others' operations, and the array that it stands for."""
    view = dense_view("temporary", draw(shapes), I32)
    array = array_of(view)
    for _ in range(draw(st.integers(0, max_steps))):
        operation = draw(st.sampled_from([permuted, sliced, reversed_, repeated]))
        view, array = operation(draw, view, array)
    return view, array


def permuted(draw, view, array):
    order = draw(st.permutations(range(array.ndim)))
    return view.transpose(order), array.transpose(order)


def sliced(draw, view, array):
    bounds = [sorted(draw(st.tuples(*[st.integers(0, n)] * 2))) for n in array.shape]
    steps = [draw(st.integers(1, 3)) for _ in bounds]
    index = tuple(slice(a, b, s) for (a, b), s in zip(bounds, steps, strict=True))
    starts, limits = [a for a, _ in bounds], [b for _, b in bounds]
    return view.slice(starts, limits, steps), array[index]


def reversed_(draw, view, array):
    axes = draw(st.sets(st.integers(0, array.ndim - 1))) if array.ndim else set()
    return view.reverse(axes), np.flip(array, tuple(axes))


def repeated(draw, view, array):
    extent, place = draw(st.integers(0, 3)), draw(st.integers(0, array.ndim))
    shape = (*array.shape[:place], extent, *array.shape[place:])
    axes = [i for i in range(len(shape)) if i != place]
    return view.broadcast(shape, axes), np.broadcast_to(np.expand_dims(array, place), shape)


def same(view: View, array: np.ndarray) -> bool:
    return view.shape == array.shape and (not array.size or np.array_equal(array_of(view), array))


@given(views())
def test_views_are_numpys(pair):
    view, array = pair
    assert same(view, array)
    assert view.size == array.size


@given(views())
def test_dense_is_c_contiguous(pair):
    view, array = pair
    assume(view.offset == 0)
    copied = np.ascontiguousarray(array)
    extents = [n for n in view.shape if n != 1]
    strides = [s for n, s in zip(view.shape, view.strides, strict=True) if n != 1]
    expected = array.size == 0 or strides == list(dense_strides(extents))
    assert view.dense == expected
    if view.dense and array.size:
        assert array_of(view).tobytes() == copied.tobytes()


@given(views(), st.data())
def test_a_reshape_is_numpys_or_takes_a_copy(pair, data):
    view, array = pair
    shape = data.draw(factorisations(array.size) if array.size else st.just((0, 2)))
    got = view.reshape(shape)
    if got is not None:
        assert same(got, array.reshape(shape))
        return
    with pytest.raises((ValueError, AttributeError)):
        view_without_copy(array_of(view), shape)


def view_without_copy(array, shape):
    return array.reshape(shape, copy=False)


@st.composite
def factorisations(draw, size):
    """A shape of that size."""
    shape = []
    while size > 1:
        divisors = [d for d in range(2, size + 1) if size % d == 0]
        shape.append(draw(st.sampled_from(divisors)))
        size //= shape[-1]
    for _ in range(draw(st.integers(0, 2))):
        shape.insert(draw(st.integers(0, len(shape))), 1)
    return tuple(shape)


def test_extents_of_1_repeat():
    view = dense_view("temporary", (3, 1), I32).broadcast((2, 3, 4), (1, 2))
    assert view.strides == (0, 1, 0)


def test_bytes_moved_are_counted_once_each():
    read, written = dense_view("argument", (10,), "f4"), dense_view("output", (5,), "f8")
    step = Step(None, (read,), (written,))  # type: ignore[arg-type]
    assert step.bytes_moved == 80


@given(shapes)
def test_a_dense_view_has_numpys_strides(shape):
    view = dense_view("temporary", shape, "f8")
    assert view.dense
    assert view.buffer.nbytes == 8 * math.prod(shape)
    if view.size:
        assert tuple(8 * s for s in view.strides) == np.empty(shape).strides


@given(shapes)
def test_parts_of_complex_numbers(shape):
    view = dense_view("temporary", shape, np.complex64)
    memory = np.arange(view.buffer.nbytes // 4, dtype=np.float32)
    z = memory.view(np.complex64).reshape(shape)
    for number, expected in enumerate((z.real, z.imag)):
        part = view.half(number)
        assert part.dtype == np.float32 and part.shape == shape
        strides = [4 * s for s in part.strides]
        start = memory[part.offset :] if z.size else memory
        np.testing.assert_array_equal(as_strided(start, shape, strides), expected)


def test_whole_views_are_all_of_a_buffer_in_order():
    view = dense_view("argument", (3, 4), I32)
    assert view.whole and view.reshape((4, 3)).whole
    assert not view.part(0, 0, 2).whole
    assert not view.transpose((1, 0)).whole
