"""Checking the arguments of losses: what would broadcast by mistake, labels that are no class."""

from typing import Any

import numpy as np

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.errors import DtypeError, OutOfBoundsError, ShapeError
from funcflow.lax.index_check import checked
from funcflow.lax.linear import canonical_axes
from funcflow.numpy.arguments import broadcasts_to, buffer_of, is_known, normal_axes
from funcflow.numpy.log_sums import floats
from funcflow.numpy.promotion import Axis, as_array


def pairs(function: str, **arguments: Any) -> list[Array]:
    """Two arguments as floating arrays of one shape; either may be a single number.

    Raises:
        ShapeError: the shapes differ. (n,) and (n, 1) would broadcast to (n, n) pairs.
    """
    arrays = floats(function, *arguments.values())
    first, second = arrays
    if first.ndim and second.ndim and first.shape != second.shape:
        names = " and ".join(arguments)
        raise ShapeError(
            f"{function}: {names} must have one shape, got {first.aval} and {second.aval}",
            mend="reshape or broadcast one of them, e.g. predictions[:, 0] or targets[:, None]",
        )
    return arrays


def distributions(function: str, **arguments: Any) -> list[Array]:
    """Scores and distributions over the same classes, as floating arrays of one rank.

    Raises:
        ShapeError: the second does not broadcast to the shape of the first.
    """
    arrays = floats(function, *arguments.values())
    first, second = arrays
    if first.ndim != second.ndim or not broadcasts_to(second.shape, first.shape):
        of, given = arguments
        raise ShapeError(
            f"{function}: {given} must have the shape of {of}, or extents of 1, got "
            f"{second.aval} for {first.aval}",
            mend="integer labels are encoded by ff.nn.one_hot, or taken by "
            "softmax_cross_entropy_with_integer_labels",
        )
    return arrays


def aligned(where: Any, x: Array, axis: Axis) -> Any:
    """A mask of whole examples, or of elements of `x`, as a mask of elements."""
    if where is None or axis is None or np.ndim(where) in (0, x.ndim):
        return where
    return fnp.expand_dims(where, axis)


def classes_last(function: str, scores: Array, axis: Axis) -> Array:
    """The scores with the axes of the classes at the end, as one."""
    axes: Any = range(scores.ndim) if axis is None else normal_axes(function, axis)
    axes = canonical_axes(tuple(axes), scores.ndim, function)
    if axes == (scores.ndim - 1,):
        return scores
    batch = [i for i in range(scores.ndim) if i not in axes]
    moved = fnp.transpose(scores, (*batch, *axes))
    return moved.reshape(*(scores.shape[i] for i in batch), -1)


def class_labels(
    function: str, labels: Any, shape: tuple[int, ...], num_classes: int | None
) -> Array:
    """Integer labels, one for each example.

    Args:
        function: the caller, for messages.
        labels: integers from 0 to `num_classes - 1`. Labels whose values are known are checked,
            traced ones only under `ff.debug_indices()`.
        shape: the shape that the labels must have.
        num_classes: the number of classes; None if it is not known.

    Raises:
        DtypeError: they are no integers.
        OutOfBoundsError: one is no class.
        ShapeError: they have another shape.
    """
    labels = as_array(function, labels)
    if labels.dtype.kind not in "iu":
        raise DtypeError(
            f"{function}: labels must be integers, got {labels.aval}",
            mend="convert them with .astype(int); distributions over classes (one-hot vectors "
            "and the like) are for softmax_cross_entropy",
        )
    if labels.shape != shape:
        raise ShapeError(
            f"{function}: labels must have shape {shape}, one for each example, got {labels.aval}",
            mend="take the axis of the classes out of the labels, or name it: axis=...",
        )
    if num_classes is None:
        return labels
    if is_known(labels):
        refuse_labels(function, buffer_of(labels), num_classes)
        return labels
    return checked(function, labels, num_classes, len(shape), from_end=False)


def refuse_labels(function: str, labels: Any, num_classes: int) -> None:
    """Raise `OutOfBoundsError` for the first label that is no class."""
    outside = (labels < 0) | (labels >= num_classes)
    if not outside.any():
        return
    place = tuple(map(int, np.argwhere(outside)[0]))
    where = f" at index {place}" if place else ""
    raise OutOfBoundsError(
        f"{function}: label {labels[place]}{where} is not one of {num_classes} classes "
        f"(0 to {num_classes - 1})",
        mend="examples without a label are left out by weights of 0: give them any class, and "
        "multiply their losses by 0",
    )


def at_labels(scores: Array, labels: Array) -> Array:
    """For each example the score of its class, the last axis; NaN where the label is no class."""
    return at_classes(scores, labels[..., None])[..., 0]


def at_classes(scores: Array, classes: Array) -> Array:
    """For each example the scores of some classes, the last axis; NaN for what is no class."""
    # a negative index would count from the end
    classes = fnp.where(classes < 0, scores.shape[-1], classes)
    return fnp.take_along_axis(scores, classes, axis=-1, mode="fill")
