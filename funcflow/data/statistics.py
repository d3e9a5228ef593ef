"""Normalisation: images and tables brought to a common scale, as their statistics ask for.

What is fitted to data is a pytree of arrays, whose `apply` and `invert` are pure functions of it:
they go through `jit` and `vmap`, and are saved with a model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.core.registration import register_dataclass
from funcflow.numpy.promotion import as_array, inexact

_ROWS = 1024  # how many elements are converted at a time


@register_dataclass
@dataclass(frozen=True)
class Featurewise:
    """Means and standard deviations of features, over the elements of a data set.

    Attributes:
        mean: what is subtracted.
        std: what is divided by after that; 1 for a feature that is constant.
    """

    mean: Array
    std: Array

    def apply(self, x: Any) -> Array:
        """Elements with a mean of 0 and a standard deviation of 1 for each feature.

        Args:
            x: an element, or a batch of them.
        """
        return (as_array("Featurewise.apply", x) - self.mean) / self.std

    def invert(self, x: Any) -> Array:
        """The elements that `apply` makes into `x`."""
        return as_array("Featurewise.invert", x) * self.std + self.mean


def fit_featurewise(
    data: Any, axis: int | Sequence[int] | None = None, *, center: bool = True, scale: bool = True
) -> Featurewise:
    """Fit the mean and standard deviation of each feature.

    Args:
        data: an array whose leading axis counts elements.
        axis: the axes to take statistics over, the leading one among them; None for all but the
            last one, whose entries then are the features: the channels of images (n, height,
            width, channels), the columns of tables (n, columns).
        center: whether to subtract the mean.
        scale: whether to divide by the standard deviation.

    Returns:
        A pytree of float32 arrays (float64 for data in float64), computed in float64, which
        broadcast to an element.

    Raises:
        ArgumentError: `axis` leaves the leading axis out.
        ShapeError: there are no elements.

    Example:
        >>> scale = ff.data.fit_featurewise(np.array([[1.0, 5.0], [3.0, 5.0]], np.float32))
        >>> scale.apply(np.array([[1.0, 5.0], [2.0, 6.0]], np.float32))
        Array([[-1.,  0.],
               [ 0.,  1.]], dtype=float32)
    """
    data = _elements("fit_featurewise", data)
    chosen = range(max(1, data.ndim - 1)) if axis is None else np.atleast_1d(axis)
    axes = tuple(int(a) % data.ndim for a in chosen)
    if 0 not in axes:
        raise ArgumentError(
            f"fit_featurewise: axis={axis} does not have the axis 0, which counts elements",
            mend="add it, or use samplewise",
        )
    within = tuple(a for a in axes if a)  # blocks are summed over these, then over each other
    count = np.prod([data.shape[a] for a in axes])
    mean = sum(block.sum((0, *within), keepdims=True) for block in _blocks(data)) / count
    squares = sum(((b - mean) ** 2).sum((0, *within), keepdims=True) for b in _blocks(data))
    mean, variance = np.asarray(mean)[0], np.asarray(squares / count)[0]
    rounding = (count * np.finfo(np.float64).eps * mean) ** 2  # what constants may come to
    std = np.where(variance > rounding, np.sqrt(variance), 1.0)
    dtype = _statistics_dtype(data)
    return Featurewise(
        fnp.asarray(mean if center else np.zeros_like(mean), dtype),
        fnp.asarray(std if scale else np.ones_like(std), dtype),
    )


def samplewise(
    x: Any, *, center: bool = True, scale: bool = True, epsilon: float = 1e-6, ndim: int = 3
) -> Array:
    """Each element with a mean of 0 and a standard deviation of 1 of its own.

    Args:
        x: an element, or a batch of them.
        center: whether to subtract the mean.
        scale: whether to divide by the standard deviation.
        epsilon: what is added to the standard deviation, so that constant elements have one.
        ndim: how many axes an element has; 3 for images.

    Raises:
        ShapeError: `x` has fewer axes.

    Example:
        >>> ff.data.samplewise(fnp.array([[1.0, 3.0], [5.0, 5.0]]), ndim=1).round(3)
        Array([[-1.,  1.],
               [ 0.,  0.]], dtype=float32)
    """
    x = as_array("samplewise", inexact("samplewise", x))
    if x.ndim < ndim:
        raise ShapeError(
            f"samplewise: elements have {ndim} axes, got {x.aval}", mend="give ndim as it is"
        )
    axes = tuple(range(-ndim, 0))
    std = fnp.std(x, axes, keepdims=True) + epsilon if scale else 1
    return (x - fnp.mean(x, axes, keepdims=True) if center else x) / std


@register_dataclass
@dataclass(frozen=True)
class Whitening:
    """A map that makes the features of a data set uncorrelated, each with the variance 1.

    Attributes:
        mean: what is subtracted, of the shape of an element.
        matrix: (features, features), symmetric, what the difference is multiplied by.
        inverse: the inverse of `matrix`.
    """

    mean: Array
    matrix: Array
    inverse: Array

    def apply(self, x: Any) -> Array:
        """Whitened elements.

        Args:
            x: an element, or a batch of them.
        """
        x = as_array("Whitening.apply", x) - self.mean
        return (x.reshape(-1, len(self.matrix)) @ self.matrix).reshape(x.shape)

    def invert(self, x: Any) -> Array:
        """The elements that `apply` makes into `x`."""
        x = as_array("Whitening.invert", x)
        return (x.reshape(-1, len(self.matrix)) @ self.inverse).reshape(x.shape) + self.mean


def fit_zca(data: Any, *, epsilon: float = 1e-6) -> Whitening:
    """Fit the whitening that changes elements least: ZCA, zero-phase component analysis.

    All of an element's numbers are its features, f of them: the fit takes f**2 numbers of memory
    and f**3 operations, so it is for small images (f = 3072 for 32 x 32 in colour). A. J. Bell,
    T. J. Sejnowski, "The 'independent components' of natural scenes are edge filters" (1997).

    Args:
        data: an array whose leading axis counts elements.
        epsilon: what is added to the variances; it keeps directions in which the data hardly
            varies from being blown up. Use more for few elements.

    Returns:
        A pytree of float32 arrays (float64 for data in float64), computed in float64.

    Raises:
        ArgumentError: `epsilon` is not positive.
        ShapeError: there are no elements.
    """
    data = _elements("fit_zca", data)
    if epsilon <= 0:
        raise ArgumentError(f"fit_zca: epsilon={epsilon}", mend="use a positive number")
    flat = data.reshape(len(data), -1)
    mean = sum(block.sum(0) for block in _blocks(flat)) / len(flat)
    products = sum(centred.T @ centred for centred in (b - mean for b in _blocks(flat)))
    variances, directions = np.linalg.eigh(products / len(flat))
    scale = np.sqrt(np.maximum(variances, 0) + epsilon)
    dtype = _statistics_dtype(data)
    return Whitening(
        fnp.asarray(np.reshape(mean, data.shape[1:]), dtype),
        fnp.asarray((directions / scale) @ directions.T, dtype),
        fnp.asarray((directions * scale) @ directions.T, dtype),
    )


def _elements(function: str, data: Any) -> np.ndarray:
    data = np.asarray(data)
    if not data.size:
        raise ShapeError(
            f"{function}: expected elements, got an array of shape {data.shape}",
            mend="pass an array whose leading axis counts them",
        )
    if not data.ndim:
        raise ShapeError(f"{function}: expected elements, got a number", mend="pass an array")
    return data


def _blocks(data: np.ndarray) -> Iterator[np.ndarray]:
    """Some elements at a time, in float64: all at once could need eight times their memory."""
    return (data[i : i + _ROWS].astype(np.float64) for i in range(0, len(data), _ROWS))


def _statistics_dtype(data: np.ndarray) -> str:
    return "float64" if data.dtype == np.float64 else "float32"
