"""Losses of several classes: definitions, torch, masks, wrong labels, extremes, laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import losses, nn
from funcflow.errors import ArgumentError, AxisError, DtypeError, OutOfBoundsError, ShapeError
from funcflow.testing import check_laws
from funcflow.testing.strategies import arrays

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(4, 5)) * 3
LABELS = np.array([3, 0, 4, 1])
ONE_HOT = np.eye(5)[LABELS]
SOFT = RANDOM.dirichlet(np.ones(5), 4)
with_integers = losses.softmax_cross_entropy_with_integer_labels


def log_softmax(x, axis=-1):
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


# --- cross entropies ------------------------------------------------------------------------------


def test_cross_entropy_by_its_definition():
    log_p = log_softmax(LOGITS)
    expected = -(SOFT * log_p).sum(-1)
    np.testing.assert_allclose(losses.softmax_cross_entropy(LOGITS, SOFT), expected, rtol=1e-12)
    expected = -log_p[np.arange(4), LABELS]
    np.testing.assert_allclose(with_integers(LOGITS, LABELS), expected, rtol=1e-12)


@given(arrays("float64", (3, 4)), st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_integers_stand_for_one_hot_vectors(logits, labels):
    labels = np.array(labels)
    one_hot = nn.one_hot(labels, 4)
    loss = with_integers(logits, labels)
    assert fnp.all(loss >= 0)
    expected = losses.softmax_cross_entropy(logits, one_hot)
    np.testing.assert_allclose(loss, expected, rtol=1e-12, atol=1e-12)
    gradient = ff.grad(lambda x: with_integers(x, labels).sum())(logits)
    np.testing.assert_allclose(gradient, nn.softmax(logits) - one_hot, atol=1e-12)
    shifted = with_integers(logits + 3, labels)  # softmax does not see a common shift
    np.testing.assert_allclose(loss, shifted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, -2])
def test_other_axes(axis):
    logits, soft = np.moveaxis(LOGITS, -1, axis), np.moveaxis(SOFT, -1, axis)
    if np.moveaxis(np.empty((7, 8)), -1, axis).shape != (7, 8):
        np.testing.assert_array_equal(
            with_integers(logits, LABELS, axis=axis), with_integers(LOGITS, LABELS)
        )
    np.testing.assert_allclose(
        losses.softmax_cross_entropy(logits, soft, axis=axis),
        losses.softmax_cross_entropy(LOGITS, SOFT),
        rtol=1e-12,
    )


def test_classes_along_several_axes():
    logits = RANDOM.normal(size=(2, 3, 4))
    labels = np.array([7, 2])
    flat = logits.reshape(2, 12)
    expected = with_integers(flat, labels)
    np.testing.assert_allclose(with_integers(logits, labels, axis=(1, 2)), expected)
    one_hot = np.eye(12)[labels].reshape(2, 3, 4)
    got = losses.softmax_cross_entropy(logits, one_hot, axis=(1, 2))
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_agreement_with_torch():
    torch = pytest.importorskip("torch")
    cross_entropy = torch.nn.functional.cross_entropy
    logits, labels = torch.tensor(LOGITS), torch.tensor(LABELS)
    expected = cross_entropy(logits, labels, reduction="none")
    np.testing.assert_allclose(with_integers(LOGITS, LABELS), expected)
    expected = cross_entropy(logits, torch.tensor(SOFT), reduction="none")
    np.testing.assert_allclose(losses.softmax_cross_entropy(LOGITS, SOFT), expected)
    expected = cross_entropy(logits, labels, reduction="none", label_smoothing=0.1)
    smooth = losses.smooth_labels(ONE_HOT, 0.1)
    np.testing.assert_allclose(losses.softmax_cross_entropy(LOGITS, smooth), expected)


def test_laws():
    check_laws(losses.softmax_cross_entropy, (LOGITS.astype("float32"), SOFT.astype("float32")))
    check_laws(with_integers, (LOGITS.astype("float32"), LABELS))
    where = RANDOM.random((4, 5)) < 0.6
    check_laws(lambda x, y: losses.softmax_cross_entropy(x, y, where=where), (LOGITS, SOFT))
    labels = where.argmax(0)  # whose classes take part
    check_laws(lambda x: with_integers(x, labels, 0, where), (LOGITS,))


# --- masks ----------------------------------------------------------------------------------------


def test_excluded_classes_have_no_influence():
    where = ONE_HOT + (np.arange(5) < 2) > 0
    bad = np.where(where, LOGITS, np.nan)
    expected = [with_integers(LOGITS[i, w], w[: LABELS[i]].sum()) for i, w in enumerate(where)]
    np.testing.assert_allclose(with_integers(bad, LABELS, where=where), expected, rtol=1e-12)
    got = losses.softmax_cross_entropy(bad, ONE_HOT, where=where)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    for loss, labels in ((with_integers, LABELS), (losses.softmax_cross_entropy, ONE_HOT)):
        gradient = ff.grad(lambda x, f=loss, y=labels: f(x, y, where=where).sum())(bad)
        assert fnp.all(fnp.isfinite(gradient))
        np.testing.assert_array_equal(gradient[~where], 0)


def test_excluded_examples_have_no_loss():
    where = np.array([True, False, True, False])
    for loss, labels in ((with_integers, LABELS), (losses.softmax_cross_entropy, ONE_HOT)):
        expected = np.where(where, loss(LOGITS, labels), 0)
        np.testing.assert_allclose(loss(LOGITS, labels, where=where), expected, rtol=1e-12)
        gradient = ff.grad(lambda x, f=loss, y=labels: f(x, y, where=where).sum())(LOGITS)
        np.testing.assert_array_equal(gradient[~where], 0)


def test_a_label_whose_class_is_excluded_has_an_infinite_loss():
    where = np.arange(5) != 3
    assert with_integers(LOGITS, LABELS, where=np.tile(where, (4, 1)))[0] == np.inf


def test_impossible_classes():
    logits = fnp.array([1.0, -np.inf, 2.0])
    labels = fnp.array([0.25, 0.0, 0.75])
    assert losses.safe_softmax_cross_entropy is losses.softmax_cross_entropy
    for loss, y in ((losses.softmax_cross_entropy, labels), (with_integers, fnp.asarray(2))):
        value, gradient = ff.value_and_grad(loss)(logits, y)
        short = y if y.ndim == 0 else y[::2]
        expected = loss(logits[::2], short if y.ndim else short - 1)
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        assert fnp.all(fnp.isfinite(gradient))
    by_labels = ff.grad(losses.softmax_cross_entropy, 1)(logits, labels)
    np.testing.assert_allclose(by_labels[::2], -nn.log_softmax(logits)[::2], rtol=1e-6)
    assert with_integers(logits, 1) == np.inf


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_gradients_are_finite_at_extreme_logits(dtype):
    largest = fnp.finfo(dtype).max / 2
    logits = fnp.array([[largest, 0, -largest], [0, 0, 0]]).astype(dtype)
    for label in range(3):
        labels = fnp.array([label, label])
        value, gradient = ff.value_and_grad(lambda x, y=labels: with_integers(x, y)[0])(logits)
        assert value.dtype == gradient.dtype == logits.dtype
        assert fnp.isfinite(value) and fnp.all(fnp.isfinite(gradient))


# --- labels that are no class ---------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [5, -1])
def test_labels_out_of_range(wrong):
    labels = fnp.asarray(LABELS).at[2].set(wrong)
    message = rf"labels: label {wrong} at index \(2,\) is not one of 5 classes \(0 to 4\)"
    with pytest.raises(OutOfBoundsError, match=message):
        with_integers(LOGITS, labels)
    with pytest.raises(OutOfBoundsError, match=message):
        ff.grad(lambda x: with_integers(x, labels).sum())(LOGITS)
    with pytest.raises(OutOfBoundsError, match=f"multiclass_hinge_loss: label {wrong} at"):
        losses.multiclass_hinge_loss(LOGITS, labels)
    got = ff.jit(with_integers)(LOGITS, labels)
    assert fnp.isnan(got).tolist() == [False, False, True, False]
    np.testing.assert_array_equal(fnp.isnan(ff.vmap(with_integers)(LOGITS, labels)), fnp.isnan(got))
    with (
        ff.debug_indices(),
        pytest.raises(
            OutOfBoundsError, match=rf"index {wrong} at index \(2,\) is out of .* extent 5"
        ),
    ):
        ff.jit(with_integers)(LOGITS, labels)


def test_a_single_example():
    assert with_integers(LOGITS[0], 3) == with_integers(LOGITS, LABELS)[0]
    with pytest.raises(OutOfBoundsError, match="label 9 is not one of 5 classes"):
        with_integers(LOGITS[0], 9)


def test_arguments_that_do_not_fit():
    with pytest.raises(DtypeError, match="labels must be integers, got f64"):
        with_integers(LOGITS, ONE_HOT)
    with pytest.raises(ShapeError, match=r"labels must have shape \(4,\)"):
        with_integers(LOGITS, LABELS[:3])
    with pytest.raises(ShapeError, match="labels must have the shape of logits"):
        losses.softmax_cross_entropy(LOGITS, LABELS)
    with pytest.raises(ShapeError, match="labels must have the shape of logits"):
        losses.softmax_cross_entropy(LOGITS[:1], SOFT)
    with pytest.raises(AxisError):
        with_integers(LOGITS, LABELS, axis=2)
    with pytest.raises(ShapeError, match="where must broadcast"):
        losses.softmax_cross_entropy(LOGITS, SOFT, where=np.ones(3, bool))
    uniform = losses.softmax_cross_entropy(LOGITS, np.full((1, 5), 0.2))
    np.testing.assert_allclose(uniform, -log_softmax(LOGITS).mean(-1), rtol=1e-12)


# --- smoothing, margins ---------------------------------------------------------------------------


@given(st.floats(0, 1))
def test_smoothing_keeps_distributions(alpha):
    smooth = losses.smooth_labels(SOFT, alpha)
    np.testing.assert_allclose(smooth.sum(-1), np.ones(4), rtol=1e-12)
    np.testing.assert_allclose(losses.smooth_labels(SOFT, 0.0), SOFT)
    np.testing.assert_allclose(losses.smooth_labels(SOFT, 1.0), np.full((4, 5), 0.2))
    # the cross entropy is linear in the labels
    loss = losses.softmax_cross_entropy
    mixed = (1 - alpha) * loss(LOGITS, SOFT) + alpha * loss(LOGITS, np.full((4, 5), 0.2))
    np.testing.assert_allclose(loss(LOGITS, smooth), mixed, rtol=1e-12)


def test_smoothing_refuses_integer_labels():
    with pytest.raises(ArgumentError, match="smooth_labels: takes distributions"):
        losses.smooth_labels(3, 0.1)


def test_margins_by_their_definitions():
    rows = np.arange(4)
    true = LOGITS[rows, LABELS]
    expected = (LOGITS + 1 - ONE_HOT).max(-1) - true
    np.testing.assert_allclose(losses.multiclass_hinge_loss(LOGITS, LABELS), expected)
    expected = LOGITS.max(-1) - true
    np.testing.assert_allclose(losses.multiclass_perceptron_loss(LOGITS, LABELS), expected)
    best = LOGITS.argmax(-1)
    np.testing.assert_array_equal(losses.multiclass_perceptron_loss(LOGITS, best), np.zeros(4))
    np.testing.assert_array_equal(losses.multiclass_hinge_loss(9 * ONE_HOT, LABELS), np.zeros(4))
    check_laws(losses.multiclass_hinge_loss, (LOGITS, LABELS))
    check_laws(losses.multiclass_perceptron_loss, (LOGITS, LABELS))
