"""Data sets: exact resume, padding, mapping, and what a training loop may be given."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.data import Dataset, as_dataset, from_arrays, from_generator, from_source
from funcflow.data.sources import ArraySource
from funcflow.errors import ArgumentError, DataFormatError

KEY = ff.random.key(0)


def listed(batches):
    return [batch.tolist() for batch in batches]


def noisy(key, x):
    return x + ff.random.uniform(key, x.shape)


def pipeline(length=23, size=4, ahead=0) -> Dataset:
    data = from_arrays(np.arange(length, dtype=np.float32)).shuffle(KEY).batch(size)
    data = data.map(noisy, key=ff.random.key(1)).map(lambda x: x * 2)
    return data.prefetch(ahead) if ahead else data


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 3), st.data())
def test_resuming_gives_the_rest_bit_for_bit(length, size, epoch, data):
    dataset = pipeline(length, size)
    whole = listed(dataset.epoch(epoch))
    assert len(whole) == len(dataset) == dataset.steps_per_epoch
    start = data.draw(st.integers(0, len(whole)))
    assert listed(dataset.epoch(epoch, start)) == whole[start:]
    assert listed(pipeline(length, size, ahead=2).epoch(epoch, start)) == whole[start:]


def test_the_position_says_where_to_resume():
    dataset = pipeline(ahead=3)
    whole = listed(dataset.epoch(2))
    with dataset.epoch(2) as batches:
        assert batches.position == (2, 0)
        for _ in range(3):
            next(batches)
        position = batches.position
    assert (position.epoch, position.step) == (2, 3)
    rest = dataset.epoch(position.epoch, start=position.step)
    assert listed(rest) == whole[3:]
    assert rest.position == (2, len(dataset))


def test_nothing_before_the_start_is_read():
    class Recorded(ArraySource):
        read = 0

        def __getitem__(self, indices):
            self.read += len(indices)
            return super().__getitem__(indices)

    source = Recorded(np.arange(100))
    assert len(listed(from_source(source).shuffle(KEY).batch(10).epoch(0, start=8))) == 2
    assert source.read == 20


def test_each_step_and_epoch_has_a_key_of_its_own():
    keys = from_arrays(np.zeros(6)).batch(2).map(lambda key, x: ff.random.key_data(key), KEY)
    words = {tuple(word) for epoch in range(3) for word in listed(keys.epoch(epoch))}
    assert len(words) == 9
    assert listed(keys.epoch(1)) == listed(keys.epoch(1))


def test_a_data_set_is_a_value():
    data = from_arrays(np.arange(6))
    batches = data.batch(4)
    batches.shuffle(KEY), batches.take(1), batches.map(lambda x: -x), batches.repeat(2)
    assert listed(batches) == [[0, 1, 2, 3], [4, 5]]
    assert listed(data) == [0, 1, 2, 3, 4, 5]


def test_take_skip_and_repeat_in_front_of_batches_and_behind():
    data = from_arrays(np.arange(7))
    assert listed(data.skip(2).take(4).batch(3)) == [[2, 3, 4], [5]]
    assert listed(data.batch(3).skip(1).take(9)) == [[3, 4, 5], [6]]
    assert listed(data.take(4).repeat(2).batch(3)) == [[0, 1, 2], [3, 0, 1], [2, 3]]
    assert listed(data.take(4).batch(3).repeat(2)) == [[0, 1, 2], [3], [0, 1, 2], [3]]
    assert listed(data.batch(3, drop_remainder=True)) == [[0, 1, 2], [3, 4, 5]]


def test_batches_that_are_filled_up():
    x, y = np.arange(10).reshape(5, 2), np.arange(5)
    batches = list(from_arrays((x, y)).batch(3, pad=True))
    assert [b[2].tolist() for b in batches] == [[1, 1, 1], [1, 1, 0]]
    assert batches[0][2].dtype == np.float32
    assert batches[1][0].tolist() == [[6, 7], [8, 9], [8, 9]]
    assert batches[1][1].tolist() == [3, 4, 4]
    (batch, weights), *_ = from_arrays({"y": y[:1]}).batch(2, pad=True)
    assert batch["y"].tolist() == [0, 0] and weights.tolist() == [1, 0]
    mapped = from_arrays((x, y)).batch(3, pad=True).map(lambda batch: len(batch))
    assert list(mapped) == [3, 3]


def test_functions_of_batches_may_be_jitted():
    double = ff.jit(lambda batch: batch * 2)
    assert listed(from_arrays(fnp.arange(3)).batch(2).map(double).prefetch()) == [[0, 2], [4]]


def test_errors_in_the_thread_are_those_of_the_loop():
    def fail(batch):
        raise ZeroDivisionError(batch[0])

    with pytest.raises(ZeroDivisionError, match="0"):
        next(from_arrays(np.arange(3)).batch(1).map(fail).prefetch(2).epoch(0))
    with pytest.raises(DataFormatError, match="found 0"):
        next(from_generator(lambda: []).batch(1).prefetch(2).epoch(0))
    assert all(thread.name != "prefetch" for thread in threading.enumerate())


def test_generators():
    def pairs():
        for i in range(5):
            yield {"x": np.full(2, i), "y": i}

    data = from_generator(pairs)
    assert data.steps_per_epoch is None
    with pytest.raises(TypeError, match="does not know its length"):
        len(data)
    batches = data.batch(2)
    for epoch in range(2):
        assert [b["y"].tolist() for b in batches.epoch(epoch)] == [[0, 1], [2, 3], [4]]
    assert [b["x"].tolist() for b in batches.epoch(0, start=2)] == [[[4, 4]]]
    assert len(from_generator(pairs, length=5).batch(2, drop_remainder=True)) == 2


# --- as_dataset ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        (np.arange(5), np.arange(5) * 10),
        ArraySource((np.arange(5), fnp.arange(5) * 10)),
        from_arrays((np.arange(5), np.arange(5) * 10)),
    ],
)
def test_arrays_become_batches(data):
    batches = [(x.tolist(), y.tolist()) for x, y in as_dataset(data, 3)]
    assert batches == [([0, 1, 2], [0, 10, 20]), ([3, 4], [30, 40])]


def test_one_array_and_a_dict():
    assert listed(as_dataset(fnp.arange(3), 2)) == [[0, 1], [2]]
    (batch,) = as_dataset({"x": np.arange(3)}, 3)
    assert batch["x"].tolist() == [0, 1, 2]


def test_iterables_give_batches_as_they_are():
    batches = [(np.ones(2), np.ones(2)), (np.ones(1), np.ones(1))]
    data = as_dataset(batches)
    assert len(data) == 2
    for epoch in range(2):
        for got, expected in zip(data.epoch(epoch), batches, strict=True):
            assert got is expected
    once = as_dataset(iter(batches))
    assert once.steps_per_epoch is None
    assert len(list(once.epoch(0))) == 2
    with pytest.raises(DataFormatError, match=r"(?s)epoch 1: .*iterated again"):
        list(once.epoch(1))


def test_a_data_set_of_batches_stays_as_it_is():
    data = pipeline()
    assert as_dataset(data) is data


def test_what_cannot_be_used():
    with pytest.raises(ArgumentError, match="not in batches"):
        as_dataset((np.ones(3), np.ones(3)))
    with pytest.raises(ArgumentError, match="batch_size=2, but the data is in batches"):
        as_dataset(pipeline(), 2)
    with pytest.raises(ArgumentError, match="or an iterable of batches, got int"):
        as_dataset(3, 2)


# --- wrong arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.batch(0), "batch: expected a positive size, got 0"),
        (lambda d: d.batch(2).batch(2), "in batches already"),
        (lambda d: d.batch(6, drop_remainder=True), "5 elements fill no batch of 6"),
        (lambda d: d.take(0), "take: expected a positive count, got 0"),
        (lambda d: d.skip(5), "count=5 of 5 leaves nothing"),
        (lambda d: d.skip(-1), "count=-1 of 5"),
        (lambda d: d.repeat(0), "repeat: expected a positive count"),
        (lambda d: d.prefetch(0), "prefetch: expected a positive size"),
        (lambda d: d.map(abs), "functions of batches, and there are none yet"),
        (lambda d: d.epoch(-1), "no step 0 in epoch -1"),
        (lambda d: d.epoch(0, 6), "no step 6 in epoch 0, epochs have 5 steps"),
        (lambda d: from_generator(iter([1])), "expected a function that starts anew, got list_it"),
        (lambda d: from_generator(lambda: [1]).shuffle(KEY), "cannot be put into another order"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ArgumentError, match=message):
        call(from_arrays(np.arange(5)))


def test_a_source_without_elements():
    class Empty:
        def __len__(self):
            return 0

        def __getitem__(self, indices):
            raise AssertionError

    with pytest.raises(DataFormatError, match="expected at least one element, found none in"):
        from_source(Empty())
