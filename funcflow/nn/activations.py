"""Activation functions, elementwise but for `glu`.

They take integers too (most convert them to the default float). Each is written so that neither
its value nor its derivative overflows where the true one is finite.
"""

import math
from typing import Any

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.errors import ShapeError
from funcflow.lax.linear import canonical_axis
from funcflow.numpy.promotion import as_array, promote_inexact
from funcflow.transforms.custom_jvp import custom_jvp

# Klambauer et al., "Self-Normalizing Neural Networks" (2017), appendix A.
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _inexact(function: str, *args: Any) -> list[Array]:
    """The arguments as floating arrays of one dtype."""
    return [as_array(function, x) for x in promote_inexact(function, *args)]


# --- piecewise linear functions ---------------------------------------------------------------


def relu(x: Any) -> Array:
    """The rectified linear unit `max(x, 0)`; its derivative at 0 is 0.

    Example:
        >>> ff.nn.relu(fnp.array([-1.0, 0.0, 2.0]))
        Array([0., 0., 2.], dtype=float32)
        >>> ff.grad(ff.nn.relu)(0.0)
        Array(0., dtype=float32)
    """
    x = as_array("relu", x)
    return fnp.where(x <= 0, 0, x)


def relu6(x: Any) -> Array:
    """`x` cut off at 0 and 6; the derivative at these two points is 0."""
    x = as_array("relu6", x)
    return fnp.where(x <= 0, 0, fnp.where(x >= 6, 6.0, x))


def leaky_relu(x: Any, negative_slope: Any = 0.01) -> Array:
    """`x` where it is positive, `negative_slope * x` elsewhere; the derivative at 0 is 1."""
    x = as_array("leaky_relu", x)
    return fnp.where(x >= 0, x, negative_slope * x)


def hard_tanh(x: Any) -> Array:
    """`x` cut off at -1 and 1; the derivative at these two points is 1."""
    x = as_array("hard_tanh", x)
    return fnp.where(x > 1, 1, fnp.where(x < -1, -1, x))


def hard_sigmoid(x: Any) -> Array:
    """`relu6(x + 3) / 6`, a piecewise linear `sigmoid`."""
    return relu6(as_array("hard_sigmoid", x) + 3.0) / 6.0


def hard_silu(x: Any) -> Array:
    """`x * hard_sigmoid(x)`, also called hard swish."""
    return as_array("hard_silu", x) * hard_sigmoid(x)


hard_swish = hard_silu


def sparse_plus(x: Any) -> Array:
    """0 up to -1, `(x + 1)**2 / 4` up to 1, and `x` from there on."""
    (x,) = _inexact("sparse_plus", x)
    return fnp.where(x <= -1, 0, fnp.where(x >= 1, x, fnp.square(fnp.clip(x, -1, 1) + 1) / 4))


def sparse_sigmoid(x: Any) -> Array:
    """`(x + 1) / 2` cut off at 0 and 1: the derivative of `sparse_plus`."""
    (x,) = _inexact("sparse_sigmoid", x)
    return 0.5 * fnp.clip(x + 1, 0, 2)


def identity(x: Any) -> Array:
    """`x` itself, as an array."""
    return fnp.asarray(x)


# --- functions made of sigmoids ---------------------------------------------------------------


def sigmoid(x: Any) -> Array:
    """The logistic function `1 / (1 + exp(-x))`.

    Example:
        >>> ff.nn.sigmoid(fnp.array([-1e4, 0.0, 1e4]))
        Array([0. , 0.5, 1. ], dtype=float32)
    """
    return lax.logistic(*_inexact("sigmoid", x))


def log_sigmoid(x: Any) -> Array:
    """`log(sigmoid(x))`, as `-softplus(-x)`."""
    (x,) = _inexact("log_sigmoid", x)
    return -softplus(-x)


def softplus(x: Any) -> Array:
    """`log(1 + exp(x))`, without overflow: `x` for large `x`, `exp(x)` for very negative ones."""
    return fnp.logaddexp(x, 0)


def silu(x: Any) -> Array:
    """The sigmoid linear unit `x * sigmoid(x)`, also called swish."""
    (x,) = _inexact("silu", x)
    return x * lax.logistic(x)


swish = silu


def mish(x: Any) -> Array:
    """`x * tanh(softplus(x))`. D. Misra, "Mish" (2019)."""
    (x,) = _inexact("mish", x)
    return x * fnp.tanh(softplus(x))


def glu(x: Any, axis: int = -1) -> Array:
    """The gated linear unit: the first half of `x` along `axis` times the second's `sigmoid`.

    Raises:
        AxisError: the axis is out of range.
        ShapeError: the axis has an odd extent.
    """
    (x,) = _inexact("glu", x)
    axis = canonical_axis(axis, x.ndim, "glu")
    extent = x.shape[axis]
    if extent % 2:
        raise ShapeError(
            f"glu: the extent of axis {axis} must be even, got {extent} in {x.aval}",
            mend="give the array as many gates as values along the axis",
        )
    values = lax.slice_in_dim(x, 0, extent // 2, axis=axis)
    gates = lax.slice_in_dim(x, extent // 2, extent, axis=axis)
    return values * lax.logistic(gates)


def tanh(x: Any, /) -> Array:
    """The hyperbolic tangent, as `fnp.tanh`."""
    return fnp.tanh(x)


def soft_sign(x: Any) -> Array:
    """`x / (1 + |x|)`."""
    (x,) = _inexact("soft_sign", x)
    return x / (fnp.abs(x) + 1)


# --- exponential and Gaussian units -----------------------------------------------------------


def elu(x: Any, alpha: Any = 1.0) -> Array:
    """The exponential linear unit: `x` where positive, `alpha * (exp(x) - 1)` elsewhere."""
    x, alpha = _inexact("elu", x, alpha)
    # the exponential of large numbers would overflow, so it sees none
    return fnp.where(x > 0, x, alpha * fnp.expm1(fnp.where(x > 0, 0, x)))


def selu(x: Any) -> Array:
    """The self-normalizing `elu`, with the constants of Klambauer et al. (2017)."""
    return _SELU_SCALE * elu(x, _SELU_ALPHA)


def celu(x: Any, alpha: Any = 1.0) -> Array:
    """The continuously differentiable `elu`: `max(x, 0) + alpha * (exp(min(x, 0)/alpha) - 1)`."""
    x, alpha = _inexact("celu", x, alpha)
    return fnp.maximum(x, 0) + alpha * fnp.expm1(fnp.minimum(x, 0) / alpha)


def gelu(x: Any, approximate: bool = True) -> Array:
    """The Gaussian error linear unit: `x` times the normal distribution function of `x`.

    Args:
        x: an array.
        approximate: whether to take `0.5 (1 + tanh(sqrt(2/pi) (x + 0.044715 x**3)))` for the
            distribution function, which differs by less than 0.001 and is what most published
            models were trained with.

    Example:
        >>> ff.nn.gelu(fnp.array([-1.0, 0.0, 1.0])).round(3)
        Array([-0.159,  0.   ,  0.841], dtype=float32)
    """
    (x,) = _inexact("gelu", x)
    if approximate:
        # where tanh is 1; the cube of larger numbers may overflow, and there is no slope to share
        near = lax.clamp(-10.0, x, 10.0)
        inner = math.sqrt(2 / math.pi) * (near + 0.044715 * (near * near * near))
        return x * (0.5 * (1 + fnp.tanh(inner)))
    return 0.5 * x * lax.erfc(-x * math.sqrt(0.5))


# --- others -----------------------------------------------------------------------------------


def squareplus(x: Any, b: Any = 4) -> Array:
    """`(x + sqrt(x**2 + b)) / 2`, an algebraic `softplus`.

    J. Barron, "Squareplus" (2021).

    Args:
        x: an array.
        b: how smooth the bend at 0 is, not negative; 0 gives `relu`.
    """
    return _squareplus(*_inexact("squareplus", x, b))


@custom_jvp
def _squareplus(x: Any, b: Any) -> Array:
    length = fnp.hypot(x, fnp.sqrt(b))
    # the sum would lose all digits for negative x; the two forms are equal
    positive = x / 2 + length / 2
    zero_length = length - x == 0
    return fnp.where(x >= 0, positive, b / 2 / fnp.where(zero_length, 1, length - x))


@_squareplus.defjvp
def _squareplus_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (x, b), (x_dot, b_dot) = primals, tangents
    out = _squareplus(x, b)
    length = fnp.hypot(x, fnp.sqrt(b))
    safe = fnp.where(length == 0, 1, length)
    return out, out / safe * x_dot + b_dot / (4 * safe)


def log1mexp(x: Any) -> Array:
    """`log(1 - exp(-x))` for positive `x`, exact near 0 and for large `x`.

    M. Mächler, "Accurately Computing log(1 - exp(-|a|))" (2012). It is -inf at 0 and NaN below.
    """
    (x,) = _inexact("log1mexp", x)
    near = x < math.log(2)
    return fnp.where(near, fnp.log(-fnp.expm1(-x)), fnp.log1p(-fnp.exp(-x)))
