"""The laws of all metrics: it does not matter how data is cut, merged, padded, compiled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.core.pytree import tree_leaves, tree_map
from funcflow.errors import ShapeError
from funcflow.train import metrics

RANDOM = np.random.default_rng(0)
SIZE, CLASSES = 24, 4
SCORES = RANDOM.normal(size=(SIZE, CLASSES)).astype("float32")
LABELS = RANDOM.integers(0, CLASSES, SIZE)
SINGLE = RANDOM.random(SIZE).astype("float32")
BINARY = (RANDOM.random(SIZE) < 0.4).astype("int32")
REAL = RANDOM.normal(size=SIZE) + 1000
WEIGHTS = RANDOM.random(SIZE) * (RANDOM.random(SIZE) < 0.8)

CASES = {
    "mean": (metrics.mean(), (REAL,)),
    "mean_squared_error": (metrics.mean_squared_error(), (SINGLE, REAL)),
    "mean_absolute_error": (metrics.mean_absolute_error(), (SINGLE, REAL)),
    "r2_score": (metrics.r2_score(), (REAL + SINGLE, REAL)),
    "accuracy": (metrics.accuracy(), (SCORES, LABELS)),
    "binary_accuracy": (metrics.binary_accuracy(), (SINGLE, BINARY)),
    "top_k_accuracy": (metrics.top_k_accuracy(2), (SCORES, LABELS)),
    "confusion_matrix": (metrics.confusion_matrix(CLASSES), (SCORES, LABELS)),
    "precision": (metrics.precision(CLASSES), (SCORES, LABELS)),
    "recall": (metrics.recall(CLASSES, average=None), (SCORES, LABELS)),
    "f1_score": (metrics.f1_score(), (SINGLE, BINARY)),
    "iou": (metrics.iou(CLASSES + 1), (SCORES.argmax(-1), LABELS)),
    "binned_roc_auc": (metrics.binned_roc_auc(16), (SINGLE, BINARY)),
    "together": (
        metrics.together(a=metrics.binary_accuracy(), b=metrics.r2_score()),
        (SINGLE, BINARY),
    ),
}
each = pytest.mark.parametrize("name", CASES)


def assert_same(got, expected):
    for x, y in zip(tree_leaves(got), tree_leaves(expected), strict=True):
        assert x.shape == y.shape and x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-13)


def part(batch, start, end):
    return tuple(x[start:end] for x in batch)


@each
@given(st.lists(st.integers(0, SIZE), max_size=4).map(sorted))
def test_batches_of_any_sizes_give_the_value_of_all(name, cuts):
    metric, batch = CASES[name]
    state = metric.empty()
    for start, end in zip([0, *cuts], [*cuts, SIZE], strict=True):
        weights = WEIGHTS[start:end]
        state = metric.update(state, *part(batch, start, end), weights=weights)
    assert_same(metric.compute(state), metric(*batch, weights=WEIGHTS))


@each
def test_merging_is_associative_with_the_empty_state_as_its_unit(name):
    metric, batch = CASES[name]
    a, b, c = (metric.measure(*part(batch, i, i + 8)) for i in (0, 8, 16))
    assert_same(metric.merge(metric.merge(a, b), c), metric.merge(a, metric.merge(b, c)))
    assert_same(metric.merge(a, b), metric.merge(b, a))
    assert_same(metric.merge(a, metric.empty()), a)
    assert_same(metric.merge(metric.empty(), a), a)


@each
def test_examples_of_weight_zero_do_not_count(name):
    metric, batch = CASES[name]
    padded = [np.concatenate([x, x[:3] * 0]) for x in batch]
    for x in padded:
        if x.dtype.kind == "f":
            x[SIZE:] = np.nan
    weights = np.concatenate([np.ones(SIZE), np.zeros(3)])
    assert_same(metric(*padded, weights=weights), metric(*batch))


@each
def test_weights_are_repetitions(name):
    metric, batch = CASES[name]
    counts = RANDOM.integers(0, 3, SIZE)
    repeated = tuple(np.repeat(x, counts, 0) for x in batch)
    assert_same(metric(*batch, weights=counts), metric(*repeated))


@each
def test_states_go_through_jit_and_scan(name):
    metric, batch = CASES[name]
    expected = metric(*batch, weights=WEIGHTS)
    arrays = tree_map(fnp.asarray, (*batch, WEIGHTS))

    @ff.jit
    def value(*arrays):
        batches = tree_map(lambda x: x.reshape(4, -1, *x.shape[1:]), arrays)

        def step(state, batch):
            return metric.update(state, *batch[:-1], weights=batch[-1]), None

        return metric.compute(ff.lax.scan(step, metric.empty(), batches)[0])

    assert_same(value(*arrays), expected)
    devices = tree_map(lambda x: x.reshape(2, -1, *x.shape[1:]), arrays)
    states = ff.vmap(lambda *b: metric.measure(*b[:-1], weights=b[-1]))(*devices)
    halves = [tree_map(lambda x, i=i: x[i], states) for i in range(2)]
    assert_same(metric.compute(metric.merge(*halves)), expected)


@each
def test_no_examples(name):
    metric, batch = CASES[name]
    value = metric.compute(metric.empty())
    assert_same(value, metric(*part(batch, 0, 0)))
    assert_same(value, metric(*batch, weights=np.zeros(SIZE)))
    assert all(fnp.all(fnp.isnan(x) | (x == 0)) for x in tree_leaves(value))


def test_weights_of_examples_with_several_elements():
    x = RANDOM.normal(size=(3, 4))
    expected = np.average(x.mean(-1), weights=[1, 0, 3])
    np.testing.assert_allclose(metrics.mean()(x, weights=np.array([1, 0, 3])), expected)
    with pytest.raises(ShapeError, match=r"mean: weights must have the shape of the examples"):
        metrics.mean()(x, weights=np.ones(4))


def test_counts_beyond_float32():
    metric = metrics.mean()
    state = metric.measure(fnp.asarray(1.0), weights=2.0**24)
    for _ in range(4):
        state = metric.update(state, fnp.asarray(0.0))
    assert state.weight == 2**24 + 4
