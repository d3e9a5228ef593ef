"""Greedy decoding against its definition, and as the inverse of what alignments stand for."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import losses, nn
from funcflow.errors import ShapeError


def decoded(labels, paddings):
    return [
        y[p == 0].tolist() for y, p in zip(np.asarray(labels), np.asarray(paddings), strict=True)
    ]


@given(st.data())
def test_repetitions_are_merged_and_blanks_dropped(data):
    batch, frames = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 7))
    row = st.lists(st.integers(0, 2), min_size=frames, max_size=frames)
    best = np.array([data.draw(row) for _ in range(batch)], int).reshape(batch, frames)
    lengths = np.array([data.draw(st.integers(0, frames)) for _ in range(batch)])
    blank = data.draw(st.integers(0, 2))
    paddings = np.arange(frames) >= lengths[:, None]
    expected = [
        [c for c, _ in itertools.groupby(row[:length].tolist()) if c != blank]
        for row, length in zip(best, lengths, strict=True)
    ]
    for wrap in (lambda f: f, ff.jit):
        decode = wrap(lambda x, p: losses.ctc_greedy_decode(x, p, blank))
        labels, label_paddings = decode(nn.one_hot(best, 3), paddings.astype("float32"))
        assert labels.shape == label_paddings.shape == (batch, frames)
        assert decoded(labels, label_paddings) == expected
        assert np.all(np.diff(label_paddings, axis=1) >= 0)
        np.testing.assert_array_equal(np.asarray(labels)[np.asarray(label_paddings) == 1], blank)


def test_what_is_decoded_from_certain_frames_has_no_loss():
    best = np.array([[1, 1, 0, 1, 2], [0, 3, 3, 0, 0]])
    logits = 100 * nn.one_hot(best, 4)
    paddings = fnp.zeros((2, 5))
    loss = losses.ctc_loss(logits, paddings, *losses.ctc_greedy_decode(logits, paddings))
    np.testing.assert_allclose(loss, np.zeros(2), atol=1e-6)


def test_arguments_that_do_not_fit():
    with pytest.raises(ShapeError, match="ctc_greedy_decode: takes logits"):
        losses.ctc_greedy_decode(fnp.ones((3, 4)), fnp.ones(3))
