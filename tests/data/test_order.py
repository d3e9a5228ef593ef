"""Orders of epochs, against the same thing done with lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
from funcflow.data.order import Batched, InOrder, Repeated, Schedule, Shuffled, Sliced


def steps(order, epoch=0):
    schedule = order.schedule(epoch)
    assert len(schedule) == len(order)
    return [schedule[i].tolist() for i in range(len(schedule))]


def flat(lists):
    return [number for part in lists for number in part]


@given(st.integers(1, 30), st.integers(1, 10))
def test_batches(length, size):
    batches = steps(Batched(InOrder(length), size, drop_remainder=False))
    assert flat(batches) == list(range(length))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert 1 <= len(batches[-1]) <= size
    full = steps(Batched(InOrder(length), size, drop_remainder=True))
    assert full == [batch for batch in batches if len(batch) == size]


@given(st.integers(1, 30), st.integers(0, 3), st.integers(0, 3))
def test_each_element_is_in_each_epoch_once(length, seed, epoch):
    order = Shuffled(InOrder(length), ff.random.key(seed))
    numbers = flat(steps(order, epoch))
    assert sorted(numbers) == list(range(length))
    assert numbers == flat(steps(Shuffled(InOrder(length), ff.random.key(seed)), epoch))


def test_epochs_and_keys_differ():
    orders = [Shuffled(InOrder(50), ff.random.key(seed)) for seed in (0, 1)]
    found = {tuple(flat(steps(order, epoch))) for order in orders for epoch in range(4)}
    assert len(found) == 8


@given(st.data())
def test_compositions(data):
    """Any composition means the same as its steps taken one after the other, in lists."""
    length = data.draw(st.integers(1, 12))
    key = ff.random.key(data.draw(st.integers(0, 3)))
    order, expected = InOrder(length), lambda epoch: [[i] for i in range(length)]
    batched = False
    for _ in range(data.draw(st.integers(0, 4))):
        what = data.draw(st.sampled_from(["shuffle", "slice", "repeat", "batch"]))
        count, before = len(order), expected
        if what == "shuffle":
            order = Shuffled(order, key)

            def expected(epoch, before=before, count=count):
                numbers = ff.random.permutation(ff.random.fold_in(key, epoch), count)
                return [before(epoch)[i] for i in numbers.tolist()]

        elif what == "slice":
            start = data.draw(st.integers(0, count - 1))
            stop = data.draw(st.integers(start + 1, count))
            order = Sliced(order, start, stop)

            def expected(epoch, before=before, start=start, stop=stop):
                return before(epoch)[start:stop]

        elif what == "repeat":
            order = Repeated(order, 2)

            def expected(epoch, before=before):
                return before(2 * epoch) + before(2 * epoch + 1)

        elif not batched:
            batched, size = True, data.draw(st.integers(1, 5))
            order = Batched(order, size, drop_remainder=False)

            def expected(epoch, before=before, size=size):
                numbers = flat(before(epoch))
                return [numbers[i : i + size] for i in range(0, len(numbers), size)]

    epoch = data.draw(st.integers(0, 2))
    assert steps(order, epoch) == expected(epoch)


@pytest.mark.parametrize("count", [1, 3])
def test_schedules_that_are_joined(count):
    one = Schedule(np.array([4, 5, 6]), np.array([2, 0]), np.array([3, 2]))
    joined = Schedule.join([one] * count)
    assert [joined[i].tolist() for i in range(len(joined))] == [[6], [4, 5]] * count
