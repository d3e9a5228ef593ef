"""Sequences of different lengths as one array."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from funcflow.core.errors import ArgumentError, ShapeError

_SIDES = ("pre", "post")


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: Literal["pre", "post"] = "pre",
    truncating: Literal["pre", "post"] = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Sequences brought to one length; names and meanings are those of Keras.

    Args:
        sequences: n sequences of numbers, or of arrays of one shape.
        maxlen: the length; None for that of the longest one.
        dtype: the result's dtype.
        padding: where to fill up shorter sequences.
        truncating: where to cut off longer ones.
        value: what to fill up with.

    Returns:
        A NumPy array of shape (n, maxlen, ...).

    Raises:
        ArgumentError: an item is no sequence, `value` does not fit `dtype`, or an option is none of
            those above.
        ShapeError: the items of the sequences have different shapes.

    Example:
        >>> ff.data.pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2)
        array([[0, 1],
               [2, 3],
               [5, 6]], dtype=int32)
    """
    _check_side("padding", padding)
    _check_side("truncating", truncating)
    lengths = [_length(i, sequence) for i, sequence in enumerate(sequences)]
    if maxlen is None:
        maxlen = max(lengths, default=0)
    inner = next((np.shape(s)[1:] for s, n in zip(sequences, lengths, strict=True) if n), ())
    padded = np.full((len(lengths), maxlen, *inner), _value(value, dtype), dtype)
    for i, sequence in enumerate(sequences):
        kept = np.asarray(_cut(sequence, maxlen, truncating), dtype)
        if not len(kept):
            continue
        if kept.shape[1:] != inner:
            raise ShapeError(
                f"pad_sequences: the items of sequence {i} have the shape {kept.shape[1:]}, those "
                f"before {inner}",
                mend="bring them to one shape",
            )
        place = slice(None, len(kept)) if padding == "post" else slice(maxlen - len(kept), None)
        padded[i, place] = kept
    return padded


def _check_side(name: str, side: str) -> None:
    if side not in _SIDES:
        raise ArgumentError(f"pad_sequences: {name}={side!r}", mend="use 'pre' or 'post'")


def _length(position: int, sequence: Any) -> int:
    try:
        return len(sequence)
    except TypeError as error:
        raise ArgumentError(
            f"pad_sequences: item {position} is no sequence, but {sequence!r}",
            mend="pass a list of lists",
        ) from error


def _value(value: Any, dtype: Any) -> Any:
    filled = np.asarray(value).astype(dtype)
    if np.issubdtype(filled.dtype, np.integer) and not np.all(filled == value):
        raise ArgumentError(
            f"pad_sequences: value={value!r} is none of {filled.dtype}",
            mend="give a dtype that holds it",
        )
    return filled


def _cut(sequence: Any, length: int, side: str) -> Any:
    excess = max(len(sequence) - length, 0)
    return sequence[:length] if side == "post" else sequence[excess:]
