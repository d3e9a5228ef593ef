"""From what a network trained with `ctc_loss` says of each frame to labels."""

from typing import Any

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.errors import ShapeError
from funcflow.numpy.promotion import as_array


def ctc_greedy_decode(logits: Any, logit_paddings: Any, blank_id: int = 0) -> tuple[Array, Array]:
    """The labels of the most probable alignment.

    The best class of each frame, with repetitions merged and blanks dropped. Those are not always
    the most probable labels, whose probability is a sum over alignments.

    Args:
        logits: scores of the classes, the blank among them: (batch, frames, classes).
        logit_paddings: 1 (or True) behind the last frame of each sequence, else 0: (batch, frames).
        blank_id: which class is the blank.

    Returns:
        Labels, (batch, frames), in front and then `blank_id`; and their paddings, 1.0 behind the
        last label and else 0.0, (batch, frames), as `ctc_loss` takes them.

    Raises:
        ShapeError: the shapes do not fit together.

    Example:
        >>> logits = ff.nn.one_hot(fnp.array([[3, 3, 0, 3, 1, 0]]), 4)
        >>> labels, paddings = ff.losses.ctc_greedy_decode(logits, fnp.zeros((1, 6)))
        >>> labels
        Array([[3, 3, 1, 0, 0, 0]], dtype=int32)
        >>> paddings
        Array([[0., 0., 0., 1., 1., 1.]], dtype=float32)
    """
    logits = as_array("ctc_greedy_decode", logits)
    missing = as_array("ctc_greedy_decode", logit_paddings) != 0
    if logits.ndim != 3 or missing.shape != logits.shape[:2]:
        raise ShapeError(
            "ctc_greedy_decode: takes logits (batch, frames, classes) and paddings (batch, "
            f"frames), got shapes {logits.shape} and {missing.shape}",
            mend="a single sequence is a batch of one: logits[None], logit_paddings[None]",
        )
    batch, length = missing.shape
    best = fnp.where(missing, blank_id, fnp.argmax(logits, -1))
    previous = fnp.pad(best, ((0, 0), (1, 0)), constant_values=blank_id)[:, :length]
    kept = (best != blank_id) & (best != previous)
    places = fnp.where(kept, fnp.cumsum(kept, 1) - 1, length)  # others are written nowhere
    rows = fnp.arange(batch)[:, None]
    labels = fnp.full_like(best, blank_id).at[rows, places].set(best, mode="drop")
    paddings = fnp.arange(length) >= fnp.sum(kept, 1)[:, None]
    return labels, paddings.astype(fnp.result_type(float))
