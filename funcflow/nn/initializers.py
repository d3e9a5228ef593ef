"""Initial values of parameters: functions of a key, a shape and a dtype.

`zeros` and `ones` are such functions; all others here make one.

    init = ff.nn.initializers.glorot_uniform()
    w = init(ff.random.key(0), (784, 128))
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import funcflow.numpy as fnp
from funcflow import random
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.lax.linear import canonical_axes
from funcflow.numpy.arguments import static_shape

Initializer: TypeAlias = Callable[..., Array]
Axes: TypeAlias = int | Sequence[int]

# The standard deviation of normal variates that are cut off at -2 and 2, and that of complex ones
# whose modulus is cut off at 2.
_TRUNCATED_STDDEV = 0.87962566103423978
_TRUNCATED_COMPLEX_STDDEV = math.sqrt(1 - 4 / math.expm1(4))


def zeros(key: Any, shape: Any, dtype: Any = None) -> Array:
    """Zeros; the key is not used."""
    return fnp.zeros(shape, dtype)


def ones(key: Any, shape: Any, dtype: Any = None) -> Array:
    """Ones; the key is not used."""
    return fnp.ones(shape, dtype)


def constant(value: Any, dtype: Any = None) -> Initializer:
    """An initializer that gives `value` everywhere; it may be an array that broadcasts."""

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Array:
        return fnp.full(shape, value, dtypes.as_dtype(dtype))

    return init


def uniform(scale: Any = 1e-2, dtype: Any = None) -> Initializer:
    """An initializer that draws uniformly from the interval from 0 to `scale`."""

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Array:
        return random.uniform(key, shape, dtypes.as_dtype(dtype)) * scale

    return init


def normal(stddev: Any = 1e-2, dtype: Any = None) -> Initializer:
    """An initializer that draws from a normal distribution with mean 0.

    Example:
        >>> init = ff.nn.initializers.normal(5.0)
        >>> init(ff.random.key(0), (2, 3)).shape
        (2, 3)
    """

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Array:
        return random.normal(key, shape, dtypes.as_dtype(dtype)) * stddev

    return init


def truncated_normal(
    stddev: Any = 1e-2, dtype: Any = None, lower: Any = -2.0, upper: Any = 2.0
) -> Initializer:
    """An initializer that draws from a normal distribution, cut off at multiples of `stddev`.

    Args:
        stddev: the standard deviation before the cut.
        dtype: the default dtype.
        lower: the lower bound, in units of `stddev`.
        upper: the upper bound, in units of `stddev`.
    """

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Array:
        return random.truncated_normal(key, lower, upper, shape, dtypes.as_dtype(dtype)) * stddev

    return init


def variance_scaling(
    scale: float,
    mode: str,
    distribution: str,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Any = None,
) -> Initializer:
    """An initializer whose variance is `scale / n`, so that layers keep the size of signals.

    Args:
        scale: a positive number.
        mode: what n is: "fan_in", "fan_out", "fan_avg" (their mean) or "fan_geo_avg" (their
            geometric mean). The fans are the extents of the in and out axes, times those of all
            axes that are neither in, out nor batch axes (a convolution's window).
        distribution: "normal", "truncated_normal" (cut off at two standard deviations) or
            "uniform" (on an interval, or on a disc for complex dtypes); all have mean 0.
        in_axis: the axes of inputs.
        out_axis: the axes of outputs.
        batch_axis: axes that do not count.
        dtype: the default dtype.

    Raises:
        ArgumentError: `mode` or `distribution` is none of these.

    Example:
        >>> init = ff.nn.initializers.variance_scaling(1.0, "fan_in", "uniform")
        >>> bool(fnp.all(fnp.abs(init(ff.random.key(0), (300, 2))) < 0.1))
        True
    """
    _check_choice("mode", mode, _FANS)
    _check_choice("distribution", distribution, _DISTRIBUTIONS)

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Array:
        shape = static_shape("variance_scaling", shape)
        fan_in, fan_out = _fans(shape, in_axis, out_axis, batch_axis)
        stddev = math.sqrt(scale / _FANS[mode](fan_in, fan_out)) if math.prod(shape) else 0.0
        return _DISTRIBUTIONS[distribution](key, shape, dtypes.as_dtype(dtype), stddev)

    return init


def _check_choice(name: str, value: str, choices: dict[str, Any]) -> None:
    if value not in choices:
        raise ArgumentError(
            f"variance_scaling: {name} must be one of {', '.join(map(repr, choices))}, "
            f"got {value!r}",
            mend="choose one of these",
        )


def _fans(
    shape: tuple[int, ...], in_axis: Axes, out_axis: Axes, batch_axis: Axes
) -> tuple[float, float]:
    if len(shape) < 2:
        raise ShapeError(
            f"variance_scaling: needs a shape of at least 2 axes, got {shape}",
            mend="use normal, uniform or zeros for vectors",
        )
    extents = [
        math.prod(shape[i] for i in canonical_axes(axes, len(shape), "variance_scaling"))
        for axes in (in_axis, out_axis, batch_axis)
    ]
    inputs, outputs, batch = extents
    size = math.prod(shape)
    # size / (inputs * batch) = outputs * window
    return (size / (outputs * batch), size / (inputs * batch)) if size else (0.0, 0.0)


_FANS = {
    "fan_in": lambda fan_in, fan_out: fan_in,
    "fan_out": lambda fan_in, fan_out: fan_out,
    "fan_avg": lambda fan_in, fan_out: (fan_in + fan_out) / 2,
    "fan_geo_avg": lambda fan_in, fan_out: math.sqrt(fan_in * fan_out),
}


def _normal(key: Any, shape: Any, dtype: Any, stddev: float) -> Array:
    return random.normal(key, shape, dtype) * stddev


def _truncated_normal(key: Any, shape: Any, dtype: Any, stddev: float) -> Array:
    if dtypes.is_complex(dtype):
        cut = _complex(key, shape, dtype, _radius_of_truncated_normal)
        return cut * (stddev / _TRUNCATED_COMPLEX_STDDEV)
    cut = random.truncated_normal(key, -2.0, 2.0, shape, dtype)
    return cut * (stddev / _TRUNCATED_STDDEV)


def _uniform(key: Any, shape: Any, dtype: Any, stddev: float) -> Array:
    if dtypes.is_complex(dtype):
        return _complex(key, shape, dtype, fnp.sqrt) * (math.sqrt(2) * stddev)
    return random.uniform(key, shape, dtype, -1.0, 1.0) * (math.sqrt(3) * stddev)


_DISTRIBUTIONS = {"normal": _normal, "truncated_normal": _truncated_normal, "uniform": _uniform}


def _complex(key: Any, shape: Any, dtype: Any, radius: Callable[[Any], Any]) -> Array:
    """Complex numbers of uniform angle, and of the radius that the function makes of a uniform."""
    real = dtypes.real_of(dtype)
    for_radius, for_angle = random.split(key)
    r = radius(random.uniform(for_radius, shape, real))
    angle = 2 * math.pi * random.uniform(for_angle, shape, real)
    return r * fnp.exp(1j * angle)


def _radius_of_truncated_normal(u: Any) -> Any:
    """The inverse distribution function of the modulus of complex normals, cut off at 2."""
    return fnp.sqrt(-fnp.log1p((math.exp(-4.0) - 1) * u))


# --- orthogonal matrices ---------------------------------------------------------------------


def orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """An initializer that draws matrices with orthonormal columns, or rows if these are fewer.

    All such matrices are equally likely. Of more than two axes, all but `column_axis` count as one.
    From Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", arXiv:1312.6120.

    Args:
        scale: what the columns or rows are multiplied by.
        column_axis: the axis of columns.
        dtype: the default dtype.

    Returns:
        An initializer. It raises `ShapeError` for shapes of less than two axes.

    Example:
        >>> q = nn.initializers.orthogonal()(ff.random.key(0), (5, 3))
        >>> bool(abs(q.T @ q - fnp.eye(3)).max() < 1e-5)
        True
    """

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Array:
        shape, dtype = static_shape("orthogonal", shape), dtypes.as_dtype(dtype)
        if len(shape) < 2:
            raise ShapeError(
                f"orthogonal: needs a shape of at least 2 axes, got {shape}",
                mend="use normal, uniform or zeros for vectors",
            )
        (axis,) = canonical_axes(column_axis, len(shape), "orthogonal")
        others = (*shape[:axis], *shape[axis + 1 :])
        columns, rows = shape[axis], math.prod(others)
        drawn = random.normal(key, (max(rows, columns), min(rows, columns)), dtype)
        q, r = fnp.linalg.qr(drawn.astype(fnp.promote_types(dtype, fnp.float32)))
        q = q * fnp.sign(fnp.diag(r))  # the factorization chooses signs, which would not be uniform
        q = q if rows >= columns else q.T
        return (scale * fnp.moveaxis(q.reshape(*others, columns), -1, axis)).astype(dtype)

    return init


def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """An initializer of convolutions' kernels: orthogonal in the middle of the window, 0 around.

    Signals keep their size through many such convolutions. From Xiao et al., "Dynamical isometry
    and a mean field theory of CNNs", arXiv:1806.05393.

    Args:
        scale: as for `orthogonal`, and so the next.
        column_axis: as above, of the matrix of the last two axes.
        dtype: the default dtype.

    Returns:
        An initializer for shapes `(*window, in_channels, out_channels)`. It raises `ShapeError`
        for shapes of less than 3 or more than 5 axes, and if there are more inputs than outputs.

    Example:
        >>> nn.initializers.delta_orthogonal()(ff.random.key(0), (3, 1, 1))[:, 0, 0].round(3)
        Array([0., 1., 0.], dtype=float32)
    """

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Array:
        shape = static_shape("delta_orthogonal", shape)
        if len(shape) not in (3, 4, 5):
            raise ShapeError(
                f"delta_orthogonal: takes shapes of 3 to 5 axes, got {shape}",
                mend="give the kernel the axes (*window, in_channels, out_channels)",
            )
        if shape[-2] > shape[-1]:
            raise ShapeError(
                f"delta_orthogonal: takes no more inputs than outputs, got {shape}",
                mend="use another initializer for layers that narrow",
            )
        middle = tuple((extent - 1) // 2 for extent in shape[:-2])
        matrix = orthogonal(scale, column_axis, dtype)(key, shape[-2:])
        return fnp.zeros(shape, matrix.dtype).at[middle].set(matrix)

    return init


# --- by name ---------------------------------------------------------------------------------


def glorot_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Uniform values of variance `2 / (fan_in + fan_out)`. X. Glorot and Y. Bengio (2010).

    See `variance_scaling` for the arguments.
    """
    return variance_scaling(1.0, "fan_avg", "uniform", in_axis, out_axis, batch_axis, dtype)


def glorot_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Truncated normal values of variance `2 / (fan_in + fan_out)`. X. Glorot and Y. Bengio (2010).

    See `variance_scaling` for the arguments.
    """
    return variance_scaling(
        1.0, "fan_avg", "truncated_normal", in_axis, out_axis, batch_axis, dtype
    )


def lecun_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Uniform values of variance `1 / fan_in`. Y. LeCun et al. (1998).

    See `variance_scaling` for the arguments.
    """
    return variance_scaling(1.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def lecun_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Truncated normal values of variance `1 / fan_in`. Y. LeCun et al. (1998).

    See `variance_scaling` for the arguments.
    """
    return variance_scaling(1.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


def he_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Uniform values of variance `2 / fan_in`, for `relu`. K. He et al. (2015).

    See `variance_scaling` for the arguments.
    """
    return variance_scaling(2.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def he_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Truncated normal values of variance `2 / fan_in`, for `relu`. K. He et al. (2015).

    See `variance_scaling` for the arguments.
    """
    return variance_scaling(2.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal
