"""`pad_sequences`: what Keras documents, and laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcflow.data import pad_sequences
from funcflow.errors import ArgumentError, ShapeError

SEQUENCES = [[1], [2, 3], [4, 5, 6]]
sides = st.sampled_from(["pre", "post"])


def test_the_examples_of_keras():
    assert pad_sequences(SEQUENCES).tolist() == [[0, 0, 1], [0, 2, 3], [4, 5, 6]]
    assert pad_sequences(SEQUENCES, value=-1).tolist() == [[-1, -1, 1], [-1, 2, 3], [4, 5, 6]]
    assert pad_sequences(SEQUENCES, padding="post").tolist() == [[1, 0, 0], [2, 3, 0], [4, 5, 6]]
    assert pad_sequences(SEQUENCES, maxlen=2).tolist() == [[0, 1], [2, 3], [5, 6]]


@given(
    st.lists(st.lists(st.integers(1, 100), max_size=8), min_size=1),
    st.none() | st.integers(1, 6),
    sides,
    sides,
)
def test_each_row_is_its_sequence(sequences, maxlen, padding, truncating):
    padded = pad_sequences(sequences, maxlen, padding=padding, truncating=truncating, value=-7)
    length = maxlen if maxlen is not None else max(map(len, sequences))
    assert padded.shape == (len(sequences), length) and padded.dtype == np.int32
    for row, sequence in zip(padded.tolist(), sequences, strict=True):
        kept = sequence[:length] if truncating == "post" else sequence[-length:]
        fill = [-7] * (length - len(kept))
        assert row == (kept + fill if padding == "post" else fill + kept)


def test_sequences_of_arrays():
    padded = pad_sequences([[], np.ones((1, 2)), np.full((3, 2), 5.0)], dtype="float32", value=0.5)
    assert padded.shape == (3, 3, 2) and padded.dtype == np.float32
    assert padded[:, 0].tolist() == [[0.5, 0.5], [0.5, 0.5], [5, 5]]


def test_nothing_to_pad():
    assert pad_sequences([]).shape == (0, 0)
    assert pad_sequences([], maxlen=3).shape == (0, 3)
    assert pad_sequences([[], []], maxlen=2).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("args", "kind", "message"),
    [
        (dict(sequences=[1, 2]), ArgumentError, "item 0 is no sequence, but 1"),
        (dict(sequences=SEQUENCES, padding="left"), ArgumentError, "padding='left'"),
        (dict(sequences=SEQUENCES, truncating="both"), ArgumentError, "truncating='both'"),
        (dict(sequences=SEQUENCES, value=0.5), ArgumentError, "value=0.5 is none of int32"),
        (
            dict(sequences=[[[1, 2]], [[1, 2, 3]]]),
            ShapeError,
            r"sequence 1 have the shape \(3,\), those before \(2,\)",
        ),
    ],
)
def test_wrong_arguments(args, kind, message):
    with pytest.raises(kind, match=message):
        pad_sequences(**args)
