"""Connectionist temporal classification: labels of a sequence whose places in it are not known.

A. Graves et al., "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with
Recurrent Neural Networks" (2006).

A network says for each frame how probable each class is, or the blank, which is none of the labels.
An alignment gives each frame a class; it stands for the labels that are left when repetitions are
merged and then blanks are dropped. Arrays are (batch, frames, classes) and (batch, labels); the
lengths of both are told by paddings.
"""

from typing import Any

import numpy as np

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.losses.arguments import at_classes, at_labels, class_labels
from funcflow.numpy.arguments import buffer_of, is_known, static_int
from funcflow.numpy.log_sums import floats, log_softmax
from funcflow.numpy.promotion import as_array


def ctc_loss(
    logits: Any,
    logit_paddings: Any,
    labels: Any,
    label_paddings: Any,
    *,
    blank_id: int = 0,
    log_epsilon: float = -1e5,
) -> Array:
    """Minus the logarithm of the probability of the labels, summed over all alignments.

    Args:
        logits: scores of the classes, the blank among them: (batch, frames, classes). 16-bit
            floats are computed with in float32.
        logit_paddings: 1 (or True) for frames that are left out, else 0: (batch, frames).
        labels: integers from 0 to classes - 1, but for the blank: (batch, labels).
        label_paddings: 1 (or True) behind the last label of each sequence, else 0: (batch, labels).
            What `labels` holds there does not matter.
        blank_id: which class is the blank.
        log_epsilon: minus the loss of labels that no alignment can give, as more labels than
            frames. Its gradient is 0.

    Returns:
        One loss for each sequence, (batch,); NaN where a label is no class.

    Raises:
        ArgumentError: a label is the blank, or the blank is no class.
        DtypeError: the labels are no integers.
        OutOfBoundsError: a label is no class. Traced labels, as those under `jit`, are checked
            within `ff.debug_indices()`.
        ShapeError: the shapes do not fit together.

    Example:
        >>> logits = fnp.zeros((1, 3, 4))  # three frames, in which four classes are as probable
        >>> paddings, labels = fnp.zeros((1, 3)), fnp.array([[2, 1]])
        >>> loss = ff.losses.ctc_loss(logits, paddings, labels, fnp.zeros((1, 2)))
        >>> (fnp.exp(-loss) * 4**3).round(3)  # 221, 211, 021, 201, 210
        Array([5.], dtype=float32)
    """
    loss, _, _ = ctc_loss_with_forward_probs(
        logits,
        logit_paddings,
        labels,
        label_paddings,
        blank_id=blank_id,
        log_epsilon=log_epsilon,
    )
    return loss


def ctc_loss_with_forward_probs(
    logits: Any,
    logit_paddings: Any,
    labels: Any,
    label_paddings: Any,
    *,
    blank_id: int = 0,
    log_epsilon: float = -1e5,
) -> tuple[Array, Array, Array]:
    """`ctc_loss`, and the probabilities of the beginnings of alignments.

    The arguments are those of `ctc_loss`.

    Returns:
        The loss, (batch,); for each frame t and number of labels n, the logarithm of the
        probability of all alignments of the frames up to t that give the first n labels and end
        with a blank, (frames, batch, labels + 1); the same for those that give the labels up to
        label n and end with it, (frames, batch, labels). The logarithm of 0 is `log_epsilon`.

    Example:
        >>> logits, labels = fnp.zeros((1, 2, 4)), fnp.array([[2]])
        >>> _, blank, label = ff.losses.ctc_loss_with_forward_probs(
        ...     logits, fnp.zeros((1, 2)), labels, fnp.zeros((1, 1))
        ... )
        >>> fnp.exp(blank[-1]) * 4**2, fnp.exp(label[-1]) * 4**2  # 00, 20; 22 or 02
        (Array([[1., 1.]], dtype=float32), Array([[2.]], dtype=float32))
    """
    name = "ctc_loss"
    (logits,) = floats(name, logits)
    logits = logits.astype(dtypes.accumulator(logits.dtype))
    skipped = as_array(name, logit_paddings) != 0
    missing = as_array(name, label_paddings) != 0
    labels = as_array(name, labels)
    _check_shapes(logits, skipped, labels, missing)
    labels = _checked_labels(labels, missing, blank_id, logits.shape[-1])

    log_probabilities = fnp.swapaxes(log_softmax(logits), 0, 1)
    frames = (
        log_probabilities[..., blank_id, None],
        at_classes(log_probabilities, labels[None]),
        skipped.T[..., None],
    )
    repeated = fnp.pad(labels[:, 1:] == labels[:, :-1], ((0, 0), (1, 0)))[:, : labels.shape[1]]

    def step(ends: tuple[Array, Array], frame: tuple[Array, Array, Array]) -> Any:
        at_blank, at_label = ends
        log_blank, log_label, skip = frame
        before = _after_a_label(at_label)
        # a label follows itself, a blank, or the label before, unless that is the same
        entered = fnp.logaddexp(at_label, at_blank[:, :-1])
        entered = fnp.logaddexp(entered, fnp.where(repeated, -fnp.inf, before[:, :-1]))
        ends = (
            fnp.where(skip, at_blank, fnp.logaddexp(at_blank, before) + log_blank),
            fnp.where(skip, at_label, entered + log_label),
        )
        return ends, ends

    batch, width = labels.shape
    nothing = fnp.full((batch, width + 1), -fnp.inf, logits.dtype).at[:, 0].set(0)
    ends, stacked = lax.scan(step, (nothing, fnp.full_like(nothing[:, 1:], -fnp.inf)), frames)
    totals = fnp.logaddexp(ends[0], _after_a_label(ends[1]))
    total = at_labels(totals, fnp.sum(~missing, 1))
    loss = -fnp.where(fnp.isneginf(total), log_epsilon, total)
    at_blank, at_label = (fnp.where(fnp.isneginf(x), log_epsilon, x) for x in stacked)
    return loss, at_blank, at_label


def _after_a_label(at_label: Array) -> Array:
    """For n = 0, 1, ... labels, what ends with the n-th of them."""
    return fnp.pad(at_label, ((0, 0), (1, 0)), constant_values=-fnp.inf)


def _check_shapes(logits: Array, skipped: Array, labels: Array, missing: Array) -> None:
    if logits.ndim != 3 or labels.ndim != 2 or logits.shape[0] != labels.shape[0]:
        raise ShapeError(
            "ctc_loss: takes logits (batch, frames, classes) and labels (batch, labels), got "
            f"{logits.aval} and {labels.aval}",
            mend="a single sequence is a batch of one: logits[None], labels[None]",
        )
    expected = {
        "logit_paddings": (skipped, logits.shape[:2]),
        "label_paddings": (missing, labels.shape),
    }
    for argument, (paddings, shape) in expected.items():
        if paddings.shape != shape:
            raise ShapeError(
                f"ctc_loss: {argument} must have shape {shape}, got {paddings.shape}",
                mend="give 1 for each element that is left out, else 0",
            )


def _checked_labels(labels: Array, missing: Array, blank_id: int, num_classes: int) -> Array:
    """The labels, and the blank behind the last one."""
    blank_id = static_int("ctc_loss", "blank_id", blank_id)
    if not 0 <= blank_id < num_classes:
        raise ArgumentError(
            f"ctc_loss: blank_id={blank_id} is not one of {num_classes} classes",
            mend="the logits need one class more than there are labels",
        )
    if is_known(labels) and is_known(missing):
        blanks = (buffer_of(labels) == blank_id) & ~buffer_of(missing)
        if blanks.any():
            place = tuple(map(int, np.argwhere(blanks)[0]))
            raise ArgumentError(
                f"ctc_loss: the label at index {place} is the blank, class {blank_id}",
                mend="mark what is behind the last label in label_paddings, or name another "
                "class as blank_id",
            )
    labels = fnp.where(missing, blank_id, labels)
    return class_labels("ctc_loss", labels, labels.shape, num_classes)
