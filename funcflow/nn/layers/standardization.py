"""What layers of normalisation have in common: mean 0 and variance 1 over some axes.

The derivative of `y = (x - mean) / sqrt(var + epsilon)` is given by

    y' = (x' - mean(x') - y mean(y x')) / sqrt(var + epsilon)

which is its own transpose: both modes need one pass for the two means, and one for the rest. The
chain rule through the variance takes twice as many, and more residuals.
"""

from functools import partial
from typing import Any

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core.array import Array
from funcflow.transforms.custom_jvp import custom_jvp


def precise(x: Any) -> Array:
    """The input in a precision that sums can be taken in: at least float32."""
    x = fnp.asarray(x)
    return x.astype(fnp.promote_types(x.dtype, fnp.float32))


def standardized(
    x: Any, axes: tuple[int, ...], epsilon: float, axis_name: Any = None
) -> tuple[Array, Array, Array]:
    """The input with mean 0 and variance 1 over some axes, the mean and the variance.

    Args:
        x: a real array.
        axes: these axes keep the extent 1 in mean and variance.
        epsilon: added to the variance.
        axis_name: an axis of `pmap` or `vmap` over which the means are taken too.
    """
    return _standardized(axes, epsilon, axis_name, precise(x))


@partial(custom_jvp, nondiff_argnums=(0, 1, 2))
def _standardized(axes: Any, epsilon: Any, axis_name: Any, x: Any) -> tuple[Array, Array, Array]:
    mean = _mean(x, axes, axis_name)
    centered = x - mean
    var = _mean(fnp.square(centered), axes, axis_name)
    return centered * lax.rsqrt(var + epsilon), mean, var


@_standardized.defjvp
def _standardized_jvp(
    axes: Any, epsilon: Any, axis_name: Any, primals: Any, tangents: Any
) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    y, mean, var = _standardized(axes, epsilon, axis_name, x)
    mean_dot, along = _mean(t, axes, axis_name), _mean(y * t, axes, axis_name)
    y_dot = lax.rsqrt(var + epsilon) * (t - mean_dot - y * along)
    return (y, mean, var), (y_dot, mean_dot, 2 * lax.sqrt(var + epsilon) * along)


def of_unit_size(x: Any, axes: tuple[int, ...], epsilon: float) -> Array:
    """The input over the root of the mean of its squares; `epsilon` is added to that mean."""
    return _of_unit_size(axes, epsilon, precise(x))


@partial(custom_jvp, nondiff_argnums=(0, 1))
def _of_unit_size(axes: Any, epsilon: Any, x: Any) -> Array:
    return x * _inverse_size(axes, epsilon, x)


@_of_unit_size.defjvp
def _of_unit_size_jvp(axes: Any, epsilon: Any, primals: Any, tangents: Any) -> tuple[Array, Array]:
    """As above, without the mean."""
    (x,), (t,) = primals, tangents
    y = _of_unit_size(axes, epsilon, x)
    along = _mean(y * t, axes)
    return y, _inverse_size(axes, epsilon, x) * (t - y * along)


def _inverse_size(axes: Any, epsilon: Any, x: Any) -> Array:
    return lax.rsqrt(_mean(fnp.square(x), axes) + epsilon)


def _mean(x: Any, axes: tuple[int, ...], axis_name: Any = None) -> Array:
    mean = fnp.mean(x, axes, keepdims=True)
    return mean if axis_name is None else lax.pmean(mean, axis_name)
