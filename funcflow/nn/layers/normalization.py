"""Layers that bring activations to mean 0 and variance 1; they differ in what they average over.

Statistics are taken in float32 where the input is of half precision. Channels are the last axis.
"""

from collections.abc import Sequence
from typing import Any

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.nn.layers.arguments import expect_features
from funcflow.nn.layers.standardization import of_unit_size, precise, standardized
from funcflow.nn.module import Module, buffer, static
from funcflow.nn.training import is_training, update_buffer


class BatchNorm(Module):
    """Normalises each channel over the batch and all places.

    In training mode by the mean and variance of the batch, which also enter the running averages,
    `momentum * average + (1 - momentum) * statistic`; in inference by the running averages. From
    Ioffe and Szegedy, "Batch normalization", arXiv:1502.03167. The variance is that of the batch as
    it is (divided by n, not n - 1).

    Args:
        num_features: how many channels there are.
        momentum: how much of the running averages stays at each step.
        epsilon: added to the variance.
        use_scale: whether channels are scaled afterwards, by parameters that start at 1.
        use_bias: whether parameters are added, that start at 0.
        axis_name: an axis of `pmap` or `vmap` over which statistics are averaged too.
        dtype: of parameters and averages; float32 if None.

    Raises:
        ShapeError: at a call, if there is another number of channels.

    Example:
        >>> layer = nn.BatchNorm(3)
        >>> x = ff.random.normal(ff.random.key(0), (32, 8, 8, 3)) + 5
        >>> y, layer = nn.training(lambda layer, x: layer(x))(layer, x)
        >>> layer.mean.round(2)
        Array([0.05, 0.05, 0.05], dtype=float32)
    """

    scale: Array | None
    bias: Array | None
    mean: Array = buffer()
    var: Array = buffer()
    momentum: float = static(default=0.99)
    epsilon: float = static(default=1e-5)
    axis_name: Any = static(default=None)

    def __init__(
        self,
        num_features: int,
        *,
        momentum: float = 0.99,
        epsilon: float = 1e-5,
        use_scale: bool = True,
        use_bias: bool = True,
        axis_name: Any = None,
        dtype: Any = None,
    ) -> None:
        self.scale = fnp.ones(num_features, dtype) if use_scale else None
        self.bias = fnp.zeros(num_features, dtype) if use_bias else None
        self.mean = fnp.zeros(num_features, dtype)
        self.var = fnp.ones(num_features, dtype)
        self.momentum = momentum
        self.epsilon = epsilon
        self.axis_name = axis_name

    def __call__(self, x: Any) -> Array:
        expect_features(x, self.mean.shape[0])
        if is_training():
            axes = tuple(range(fnp.ndim(x) - 1))
            y, mean, var = standardized(x, axes, self.epsilon, self.axis_name)
            self._learn(mean, var)
        else:
            y = (precise(x) - self.mean) * lax.rsqrt(precise(self.var) + self.epsilon)
        return _affine(y, x, self.scale, self.bias)

    def _learn(self, mean: Array, var: Array) -> None:
        kept = self.momentum
        for average, statistic in ((self.mean, mean), (self.var, var)):
            new = lax.stop_gradient(statistic.reshape(-1))
            update_buffer(
                average, lambda old, new=new: (kept * old + (1 - kept) * new).astype(old.dtype)
            )


class LayerNorm(Module):
    """Normalises each example over its last axes.

    From Ba et al., "Layer normalization", arXiv:1607.06450.

    Args:
        shape: the extents of the last axes, or of the last one.
        epsilon: added to the variance.
        use_scale: whether there is a scale, a parameter of the given shape that starts at 1.
        use_bias: whether there is a bias, that starts at 0.
        dtype: of both; float32 if None.

    Raises:
        ShapeError: at a call, if the last axis has another extent.

    Example:
        >>> nn.LayerNorm(3)(fnp.array([1.0, 2.0, 3.0])).round(3)
        Array([-1.225,  0.   ,  1.225], dtype=float32)
    """

    scale: Array | None
    bias: Array | None
    shape: tuple[int, ...] = static()
    epsilon: float = static(default=1e-5)

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        epsilon: float = 1e-5,
        use_scale: bool = True,
        use_bias: bool = True,
        dtype: Any = None,
    ) -> None:
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.scale = fnp.ones(self.shape, dtype) if use_scale else None
        self.bias = fnp.zeros(self.shape, dtype) if use_bias else None
        self.epsilon = epsilon

    def __call__(self, x: Any) -> Array:
        expect_features(x, self.shape[-1])
        axes = tuple(range(-len(self.shape), 0))
        y, _, _ = standardized(x, axes, self.epsilon)
        return _affine(y, x, self.scale, self.bias)


class RMSNorm(Module):
    """Divides each example by the root of the mean square of its last axis.

    From Zhang and Sennrich, "Root mean square layer normalization", arXiv:1910.07467.

    Args:
        num_features: the extent of the last axis.
        epsilon: added to the mean square.
        dtype: of the scale, which starts at 1; float32 if None.

    Raises:
        ShapeError: at a call, if the last axis has another extent.

    Example:
        >>> nn.RMSNorm(2)(fnp.array([3.0, 4.0])).round(3)
        Array([0.849, 1.131], dtype=float32)
    """

    scale: Array
    epsilon: float = static(default=1e-6)

    def __init__(self, num_features: int, *, epsilon: float = 1e-6, dtype: Any = None) -> None:
        self.scale = fnp.ones(num_features, dtype)
        self.epsilon = epsilon

    def __call__(self, x: Any) -> Array:
        expect_features(x, self.scale.shape[0])
        return _affine(of_unit_size(x, (-1,), self.epsilon), x, self.scale, None)


class GroupNorm(Module):
    """Normalises each example over all places, and over the channels of a group together.

    From Wu and He, "Group normalization", arXiv:1803.08494.

    Args:
        num_features: how many channels there are.
        num_groups: into how many groups of neighbours they fall.
        epsilon: added to the variance.
        use_scale: whether channels are scaled afterwards, by parameters that start at 1.
        use_bias: whether parameters are added, that start at 0.
        dtype: of both; float32 if None.

    Raises:
        ArgumentError: the groups do not come out even.
        ShapeError: at a call, if there is another number of channels.

    Example:
        >>> x = ff.random.normal(ff.random.key(0), (2, 8, 8, 6))
        >>> bool(abs(nn.GroupNorm(6, 2)(x)[0, :, :, :3].mean()) < 1e-5)
        True
    """

    scale: Array | None
    bias: Array | None
    num_features: int = static()
    num_groups: int = static()
    epsilon: float = static(default=1e-5)

    def __init__(
        self,
        num_features: int,
        num_groups: int,
        *,
        epsilon: float = 1e-5,
        use_scale: bool = True,
        use_bias: bool = True,
        dtype: Any = None,
    ) -> None:
        if num_groups < 1 or num_features % num_groups:
            raise ArgumentError(
                f"GroupNorm: {num_features} channels do not fall into {num_groups} groups",
                mend="use a number of groups that divides that of the channels",
            )
        self.scale = fnp.ones(num_features, dtype) if use_scale else None
        self.bias = fnp.zeros(num_features, dtype) if use_bias else None
        self.num_features = num_features
        self.num_groups = num_groups
        self.epsilon = epsilon

    def __call__(self, x: Any) -> Array:
        expect_features(x, self.num_features)
        x = fnp.asarray(x)
        size = self.num_features // self.num_groups
        groups = x.reshape(*x.shape[:-1], self.num_groups, size)
        axes = (*range(1, x.ndim - 1), groups.ndim - 1)
        y, _, _ = standardized(groups, axes, self.epsilon)
        return _affine(y.reshape(x.shape), x, self.scale, self.bias)


class InstanceNorm(GroupNorm):
    """Normalises each channel of each example over all places: `GroupNorm` with a channel a group.

    From Ulyanov et al., "Instance normalization", arXiv:1607.08022.

    Args:
        num_features: how many channels there are.
        epsilon: added to the variance.
        use_scale: whether channels are scaled afterwards, by parameters that start at 1.
        use_bias: whether parameters are added, that start at 0.
        dtype: of both; float32 if None.

    Raises:
        ShapeError: at a call, if there is another number of channels.

    Example:
        >>> x = ff.random.normal(ff.random.key(0), (2, 8, 8, 3))
        >>> bool(abs(nn.InstanceNorm(3)(x)[0, :, :, 1].mean()) < 1e-5)
        True
    """

    def __init__(
        self,
        num_features: int,
        *,
        epsilon: float = 1e-5,
        use_scale: bool = True,
        use_bias: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            num_features,
            num_features,
            epsilon=epsilon,
            use_scale=use_scale,
            use_bias=use_bias,
            dtype=dtype,
        )


def _affine(y: Array, like: Any, scale: Array | None, bias: Array | None) -> Array:
    """Scale and bias of channels, for `y` in the dtype of the layer's input if that is floating."""
    dtype = fnp.asarray(like).dtype
    y = y.astype(dtype) if dtypes.is_inexact(dtype) else y
    y = y if scale is None else y * scale
    return y if bias is None else y + bias
