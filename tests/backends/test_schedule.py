"""The order of loops follows memory."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from funcflow.backends.schedule import ELEMENTS_PER_TASK, grain, schedule


def test_nothing_to_loop_over():
    loops = schedule({}, set(), [], [], set())
    assert loops.vector is None
    assert not loops.rows


def test_dense_axes_are_one_loop():
    strides = {0: 50, 1: 10, 2: 1}
    loops = schedule({0: 4, 1: 5, 2: 10}, set(), [strides], [strides], set())
    assert loops.kept == (2,)
    assert dict(loops.extents) == {2: 200}
    assert loops.vector == 2


def test_an_axis_whose_index_is_used_stays_apart():
    strides = {0: 50, 1: 10, 2: 1}
    loops = schedule({0: 4, 1: 5, 2: 10}, set(), [strides], [strides], {1})
    assert loops.kept == (0, 1, 2)


def test_a_row_that_is_repeated_keeps_rows_apart():
    loops = schedule({0: 4, 1: 10}, set(), [{0: 10, 1: 1}, {1: 1}], [{0: 10, 1: 1}], set())
    assert loops.kept == (0, 1)


def test_the_vector_runs_along_what_is_written_contiguously():
    transposed, dense = {0: 1, 1: 100}, {0: 200, 1: 1}
    loops = schedule({0: 100, 1: 200}, set(), [transposed], [dense], set())
    assert loops.vector == 1
    loops = schedule({0: 100, 1: 200}, set(), [dense], [transposed], set())
    assert loops.vector == 0


def test_the_vector_runs_along_parts_of_complex_numbers():
    transposed, dense = {0: 2, 1: 200}, {0: 400, 1: 2}
    assert schedule({0: 100, 1: 200}, set(), [dense], [transposed], set()).vector == 0
    assert schedule({0: 100, 1: 200}, set(), [transposed], [dense], set()).vector == 1


def test_rows_are_reduced_along_the_vector_and_columns_across_it():
    dense = {0: 100, 1: 1}
    rows = schedule({0: 50, 1: 100}, {1}, [dense], [{0: 1}], set())
    assert (rows.kept, rows.reduced, rows.rows) == ((0,), (1,), True)
    columns = schedule({0: 50, 1: 100}, {0}, [dense], [{1: 1}], set())
    assert (columns.kept, columns.reduced, columns.rows) == ((1,), (0,), False)
    assert columns.vector == 1


def test_kept_and_reduced_axes_are_never_joined():
    strides = {0: 6, 1: 3, 2: 1}
    loops = schedule({0: 2, 1: 2, 2: 3}, {2}, [strides], [{0: 2, 1: 1}], set())
    assert loops.kept == (1,)
    assert loops.reduced == (2,)


operands = st.lists(
    st.dictionaries(st.integers(0, 3), st.sampled_from([0, 1, 2, 6, 24, -1])), max_size=3
)


@given(
    st.lists(st.integers(2, 5), min_size=1, max_size=4),
    st.sets(st.integers(0, 3)),
    operands,
    operands,
    st.sets(st.integers(0, 3)),
)
def test_the_loops_reach_each_element_once(sizes, reduced, reads, writes, fixed):
    """Joined or not, an operand's addresses are the same set, each as often."""
    extents = dict(enumerate(sizes))
    reduced &= extents.keys()
    loops = schedule(extents, reduced, reads, writes, fixed)
    axes = (*loops.kept, *loops.reduced)
    assert loops.vector in axes
    assert fixed & extents.keys() <= set(axes)
    assert not set(loops.reduced) - reduced
    for strides in (*reads, *writes):
        assert addresses(strides, extents, list(extents)) == addresses(strides, loops.extents, axes)


def addresses(strides, extents, axes):
    places = product(*(range(extents[a]) for a in axes))
    return sorted(sum(i * strides.get(a, 0) for i, a in zip(p, axes, strict=True)) for p in places)


def test_a_thread_gets_enough_elements():
    assert grain([100]) == ELEMENTS_PER_TASK
    assert grain([100, ELEMENTS_PER_TASK // 4]) == 4
    assert grain([100, 10 * ELEMENTS_PER_TASK]) == 1
    assert grain([100, 0]) == ELEMENTS_PER_TASK


def test_factors_of_rows_do_not_turn_a_sum_of_columns():
    """They are small: it is the matrix that memory is read for."""
    matrix, factor = {0: 100, 1: 1}, {0: 1}
    loops = schedule({0: 50, 1: 100}, {0}, [matrix, factor, factor, factor], [{1: 1}], set())
    assert (loops.vector, loops.rows) == (1, False)
