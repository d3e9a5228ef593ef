"""CTC against a sum over all alignments, torch, its laws; lengths, impossible labels, errors."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import losses, nn
from funcflow.errors import ArgumentError, DtypeError, OutOfBoundsError, ShapeError
from funcflow.testing import check_grads, check_laws

RANDOM = np.random.default_rng(0)


def collapse(alignment, blank):
    """The labels an alignment stands for."""
    merged = [c for c, _ in itertools.groupby(alignment)]
    return [c for c in merged if c != blank]


def alignments(frames, classes, blank, labels):
    paths = itertools.product(range(classes), repeat=frames)
    return [path for path in paths if collapse(path, blank) == list(labels)]


def brute_force(logits, labels, blank):
    """Minus the logarithm of the sum of the probabilities of all alignments of one sequence."""
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    paths = alignments(*logits.shape, blank, labels)
    total = sum(math.prod(p[t, c] for t, c in enumerate(path)) for path in paths)
    return -math.log(total) if paths else 1e5


def paddings(lengths, width):
    return (np.arange(width) >= np.array(lengths)[:, None]).astype("float32")


@st.composite
def batches(draw, max_frames=5, max_labels=3, classes=3):
    """Logits, their paddings, labels, theirs, and the blank."""
    batch = draw(st.integers(1, 3))
    frames, width = draw(st.integers(0, max_frames)), draw(st.integers(0, max_labels))
    blank = draw(st.integers(0, classes - 1))
    lengths = [[draw(st.integers(0, extent)) for _ in range(batch)] for extent in (frames, width)]
    symbols = st.sampled_from([c for c in range(classes) if c != blank])
    labels = [[draw(symbols) for _ in range(width)] for _ in range(batch)]
    seed = draw(st.integers(0, 1000))
    logits = np.random.default_rng(seed).normal(size=(batch, frames, classes)) * 2
    labels = np.array(labels, int).reshape(batch, width)
    return logits, paddings(lengths[0], frames), labels, paddings(lengths[1], width), blank


@given(batches())
def test_the_loss_is_a_sum_over_alignments(drawn):
    logits, logit_paddings, labels, label_paddings, blank = drawn
    expected = [
        brute_force(x[p == 0], y[q == 0], blank)
        for x, p, y, q in zip(logits, logit_paddings, labels, label_paddings, strict=True)
    ]
    got = losses.ctc_loss(logits, logit_paddings, labels, label_paddings, blank_id=blank)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


@given(batches(max_frames=4, max_labels=2))
def test_forward_probabilities_are_sums_over_beginnings(drawn):
    logits, logit_paddings, labels, label_paddings, blank = drawn
    _, at_blank, at_label = losses.ctc_loss_with_forward_probs(
        logits, logit_paddings, labels, label_paddings, blank_id=blank, log_epsilon=-1e4
    )
    batch, frames, classes = logits.shape
    assert at_blank.shape == (frames, batch, labels.shape[1] + 1)
    assert at_label.shape == (frames, batch, labels.shape[1])
    log_p = np.asarray(nn.log_softmax(logits))
    for b in range(batch):
        width = int((label_paddings[b] == 0).sum())
        for t in range(int((logit_paddings[b] == 0).sum())):
            expected = {"blank": [-1e4] * (width + 1), "label": [-1e4] * width}
            for n in range(width + 1):
                for path in alignments(t + 1, classes, blank, labels[b, :n]):
                    logarithm = sum(log_p[b, s, c] for s, c in enumerate(path))
                    kind, place = ("blank", n) if path[-1] == blank else ("label", n - 1)
                    old = expected[kind][place]
                    expected[kind][place] = (
                        logarithm if old == -1e4 else np.logaddexp(old, logarithm)
                    )
            np.testing.assert_allclose(at_blank[t, b, : width + 1], expected["blank"], rtol=1e-9)
            np.testing.assert_allclose(at_label[t, b, :width], expected["label"], rtol=1e-9)


@given(batches(), st.integers(0, 3))
def test_what_is_padded_has_no_influence(drawn, more):
    logits, logit_paddings, labels, label_paddings, blank = drawn
    expected = losses.ctc_loss(logits, logit_paddings, labels, label_paddings, blank_id=blank)
    spread = ((0, 0), (0, more))
    logits = np.where(logit_paddings[..., None] == 1, 1e3, logits)
    got = losses.ctc_loss(
        np.pad(logits, (*spread, (0, 0)), constant_values=7),
        np.pad(logit_paddings, spread, constant_values=1) == 1,
        np.pad(np.where(label_paddings == 1, -5, labels), spread, constant_values=99),
        np.pad(label_paddings, spread, constant_values=1) == 1,
        blank_id=blank,
    )
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def example(batch=4, frames=12, width=4, classes=6, dtype="float64"):
    logits = RANDOM.normal(size=(batch, frames, classes)).astype(dtype)
    labels = RANDOM.integers(1, classes, (batch, width))
    labels[1, 1] = labels[1, 0]  # a repetition
    lengths = [frames - b for b in range(batch)], [width - b % 3 for b in range(batch)]
    return logits, paddings(lengths[0], frames), labels, paddings(lengths[1], width)


def test_agreement_with_torch():
    torch = pytest.importorskip("torch")
    logits, logit_paddings, labels, label_paddings = example()
    x = torch.tensor(logits, requires_grad=True)
    lengths = [torch.tensor((p == 0).sum(1)) for p in (logit_paddings, label_paddings)]
    log_p = torch.log_softmax(x, -1).transpose(0, 1)
    expected = torch.nn.functional.ctc_loss(log_p, torch.tensor(labels), *lengths, reduction="none")
    expected.sum().backward()
    others = (logit_paddings, labels, label_paddings)
    for wrap in (lambda f: f, ff.jit):
        got, pullback = ff.vjp(wrap(lambda x: losses.ctc_loss(x, *others)), logits)
        np.testing.assert_allclose(got, expected.detach(), rtol=1e-12)
        np.testing.assert_allclose(*pullback(fnp.ones_like(got)), x.grad, rtol=1e-9, atol=1e-12)


def test_derivatives_and_laws():
    logits, *others = example(batch=2, frames=5, width=2, classes=4)
    check_grads(lambda x: losses.ctc_loss(x, *others), (logits,), order=2)
    check_laws(lambda x: losses.ctc_loss(x, *others), (logits,), order=1)
    jitted = ff.jit(losses.ctc_loss)(logits, *others)
    np.testing.assert_allclose(jitted, losses.ctc_loss(logits, *others), rtol=1e-12)


def test_the_compiled_loss_has_no_step_in_python():
    arguments = tuple(map(fnp.asarray, example(dtype="float32")))
    for loss in (losses.ctc_loss, ff.grad(lambda *args: losses.ctc_loss(*args).sum())):
        text = str(ff.jit(loss).explain(*arguments))
        assert "scan" in text and "one kernel, with the state in registers" in text
        assert "host" not in text


def test_gradients_are_probabilities_of_classes_that_are_expected_less():
    logits, *others = example()
    gradient = np.asarray(ff.grad(lambda x: losses.ctc_loss(x, *others).sum())(logits))
    np.testing.assert_allclose(gradient.sum(-1), 0, atol=1e-12)
    np.testing.assert_array_equal(gradient[others[0] == 1], 0)
    assert np.all(gradient <= np.asarray(nn.softmax(logits)) + 1e-12)


@pytest.mark.parametrize("log_epsilon", [-1e5, -50.0])
def test_labels_that_cannot_be_aligned(log_epsilon):
    logits = RANDOM.normal(size=(3, 3, 4))
    labels = np.array([[1, 1, 2], [1, 2, 3], [1, 2, 3]])  # the first needs four frames
    others = np.zeros((3, 3)), labels, np.zeros((3, 3))

    def loss(x):
        return losses.ctc_loss(x, *others, log_epsilon=log_epsilon)

    logits[2, 1, 2] = -np.inf  # the third needs what cannot be
    for function in (loss, ff.jit(loss)):
        got = function(logits)
        assert got[0] == got[2] == -log_epsilon
        np.testing.assert_allclose(got[1], brute_force(logits[1], labels[1], 0), rtol=1e-12)
        gradient = ff.grad(lambda x, f=function: f(x).sum())(logits)
        assert fnp.all(fnp.isfinite(gradient))
        np.testing.assert_array_equal(gradient[::2], np.zeros((2, 3, 4)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_extreme_logits(dtype):
    scale = min(1e30, float(fnp.finfo(dtype).max) / 4)
    logits = fnp.asarray(scale * RANDOM.normal(size=(2, 6, 4)).clip(-2, 2)).astype(dtype)
    others = np.zeros((2, 6)), np.array([[1, 2], [3, 3]]), np.zeros((2, 2))
    value, gradient = ff.value_and_grad(lambda x: losses.ctc_loss(x, *others).sum())(logits)
    assert value.dtype == (np.float64 if dtype == "float64" else np.float32)
    assert gradient.dtype == logits.dtype
    assert fnp.isfinite(value) and fnp.all(fnp.isfinite(gradient))


def test_labels_that_are_no_class():
    logits, logit_paddings, labels, label_paddings = example()
    labels[0, 2] = 6
    arguments = logits, logit_paddings, labels, label_paddings
    with pytest.raises(OutOfBoundsError, match=r"label 6 at index \(0, 2\) is not one of 6"):
        losses.ctc_loss(*arguments)
    got = ff.jit(losses.ctc_loss)(*arguments)
    assert fnp.isnan(got).tolist() == [True, False, False, False]
    with ff.debug_indices(), pytest.raises(OutOfBoundsError, match=r"index 6 at index \(0, 2\)"):
        ff.jit(losses.ctc_loss)(*arguments)
    labels[0, 2] = 0
    with pytest.raises(ArgumentError, match=r"the label at index \(0, 2\) is the blank, class 0"):
        losses.ctc_loss(*arguments)


def test_arguments_that_do_not_fit():
    logits, logit_paddings, labels, label_paddings = example()
    loss = losses.ctc_loss
    with pytest.raises(ShapeError, match=r"takes logits \(batch, frames, classes\)"):
        loss(logits[0], logit_paddings, labels, label_paddings)
    with pytest.raises(ShapeError, match=r"logit_paddings must have shape \(4, 12\)"):
        loss(logits, logit_paddings[:, 1:], labels, label_paddings)
    with pytest.raises(ShapeError, match=r"label_paddings must have shape \(4, 4\)"):
        loss(logits, logit_paddings, labels, label_paddings[1:])
    with pytest.raises(ArgumentError, match="blank_id=6 is not one of 6 classes"):
        loss(logits, logit_paddings, labels, label_paddings, blank_id=6)
    with pytest.raises(DtypeError, match="labels must be integers"):
        loss(logits, logit_paddings, labels * 1.0, label_paddings)
