"""Feeds: a source in an order, and iterables, which must agree where both can do the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcflow.data.feeds import IndexedFeed, sequential
from funcflow.data.order import InOrder
from funcflow.data.sources import ArraySource
from funcflow.errors import ArgumentError, DataFormatError, ShapeError

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("slice"), st.integers(0, 3), st.none() | st.integers(4, 12)),
        st.tuples(st.just("repeat"), st.integers(1, 3)),
        st.tuples(st.just("batch"), st.integers(1, 4), st.booleans()),
    ),
    max_size=4,
)


def listed(feed, epoch, start=0):
    return [(step["x"].tolist(), step["y"].tolist()) for step in feed.steps(epoch, start)]


@given(st.integers(10, 14), OPERATIONS, st.booleans(), st.integers(0, 3))
def test_both_kinds_agree(length, operations, known, start):
    x, y = np.arange(length) * 2, np.arange(2 * length).reshape(length, 2)
    indexed = IndexedFeed(ArraySource({"x": x, "y": y}), InOrder(length))
    elements = [{"x": x[i], "y": y[i]} for i in range(length)]
    run = sequential(lambda: iter(elements), length if known else None, batched=False)
    for name, *args in operations:
        if name == "batch" and indexed.batched:
            continue
        if name == "slice" and args[0] >= indexed.length:
            continue
        indexed, run = (getattr(feed, name)(*args) for feed in (indexed, run))
    assert indexed.batched == run.batched
    assert run.length == (indexed.length if known else None)
    assert listed(indexed, 1, start) == listed(run, 1, start)
    assert len(listed(indexed, 0)) == indexed.length


def test_an_iterable_starts_anew_for_each_epoch():
    starts = []
    feed = sequential(lambda: starts.append(1) or [1, 2], None, batched=False)
    assert [list(feed.steps(epoch, 0)) for epoch in range(3)] == [[1, 2]] * 3
    assert len(starts) == 3
    assert list(feed.repeat(2).steps(0, 1)) == [2, 1, 2]


def test_an_iterable_that_is_used_up():
    items = iter([1, 2])
    feed = sequential(lambda: items, None, batched=True)
    assert list(feed.steps(0, 0)) == [1, 2]
    with pytest.raises(DataFormatError, match="epoch 1: expected some elements, found 0"):
        list(feed.steps(1, 0))


@pytest.mark.parametrize(("length", "found"), [(2, "more than 2"), (4, "3")])
def test_another_length_than_was_said(length, found):
    feed = sequential(lambda: [1, 2, 3], length, batched=False)
    with pytest.raises(
        DataFormatError, match=f"epoch 0: expected {length} elements, found {found}"
    ):
        list(feed.steps(0, 0))


def test_a_slice_does_not_read_on():
    def elements():
        yield 1
        yield 2
        raise AssertionError

    assert list(sequential(elements, None, batched=False).slice(0, 2).steps(0, 0)) == [1, 2]


def test_elements_of_different_shapes():
    feed = sequential(lambda: [{"a": np.ones(2)}, {"a": np.ones(3)}], None, batched=False)
    with pytest.raises(ShapeError, match=r"different shapes at \['a'\]: \(2,\), \(3,\)"):
        list(feed.batch(2, drop_remainder=False).steps(0, 0))


def test_an_iterable_is_not_shuffled():
    with pytest.raises(ArgumentError, match="cannot be put into another order"):
        sequential(lambda: [1], None, batched=False).shuffle(None)
