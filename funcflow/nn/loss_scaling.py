"""Loss scaling: gradients of half precision that would be too small for it.

The loss is multiplied by a large number before it is differentiated, and the gradients are divided
by it. float16 needs that, bfloat16 does not: its exponents are those of float32. From Micikevicius
et al., "Mixed precision training", arXiv:1710.03740. Names and meanings are those of jmp.
"""

import functools
from dataclasses import dataclass, field, replace
from typing import Any

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.pytree import tree_leaves, tree_map
from funcflow.core.registration import register_dataclass
from funcflow.core.typing import PyTree
from funcflow.nn.arrays import is_inexact_array

_STATIC = {"static": True}


@register_dataclass
@dataclass(frozen=True)
class StaticLossScale:
    """A factor that stays.

    Args:
        loss_scale: the factor.

    Example:
        >>> scale = nn.StaticLossScale(1024.0)
        >>> scale.scale(fnp.float32(0.5)), scale.unscale(fnp.float32(512.0))
        (Array(512., dtype=float32), Array(0.5, dtype=float32))
    """

    loss_scale: Any

    def __post_init__(self) -> None:
        # an array from the start, as after a step: it can be the carry of a loop
        object.__setattr__(self, "loss_scale", fnp.asarray(self.loss_scale, fnp.float32))

    def scale(self, tree: PyTree) -> PyTree:
        """The tree, its floating arrays multiplied by the factor."""
        return _multiplied(tree, self.loss_scale)

    def unscale(self, tree: PyTree) -> PyTree:
        """The tree, its floating arrays divided by the factor."""
        return _multiplied(tree, 1 / self.loss_scale)

    def adjust(self, grads_finite: Any) -> "StaticLossScale":
        """The same."""
        return self


@register_dataclass
@dataclass(frozen=True)
class DynamicLossScale(StaticLossScale):
    """A factor that is as large as gradients allow.

    Where a step's gradients are not finite, the step is to be left out, and the factor becomes
    smaller; after many finite ones it becomes larger. It is a pytree, part of a training's state:

        grads = loss_scale.unscale(grads)
        finite = nn.all_finite(grads)
        loss_scale = loss_scale.adjust(finite)
        params = nn.select_tree(finite, new_params, params)

    Args:
        loss_scale: the factor to start from.
        counter: after how many finite steps in succession.
        period: how many of them let the factor grow.
        factor: by how much it grows or shrinks.
        min_loss_scale: below this it does not shrink.

    Example:
        >>> scale = nn.DynamicLossScale(1024.0, period=2)
        >>> scale.adjust(False).loss_scale
        Array(512., dtype=float32)
        >>> scale.adjust(True).adjust(True).loss_scale
        Array(2048., dtype=float32)
    """

    loss_scale: Any = 2.0**15
    counter: Any = 0
    period: int = field(default=2000, metadata=_STATIC)
    factor: float = field(default=2.0, metadata=_STATIC)
    min_loss_scale: float = field(default=1.0, metadata=_STATIC)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "counter", fnp.asarray(self.counter, fnp.int32))

    def adjust(self, grads_finite: Any) -> "DynamicLossScale":
        """What follows a step.

        Args:
            grads_finite: a boolean: whether all its gradients were finite.
        """
        scale, counter = self.loss_scale, self.counter
        grown = scale * self.factor
        grows = (counter >= self.period - 1) & fnp.isfinite(grown)
        shrunk = fnp.maximum(scale / self.factor, self.min_loss_scale)
        return replace(
            self,
            loss_scale=fnp.where(grads_finite, fnp.where(grows, grown, scale), shrunk),
            counter=fnp.where(grads_finite, (counter + 1) % self.period, 0),
        )


def _multiplied(tree: PyTree, factor: Array) -> PyTree:
    """The product in float32 at least: half precision may not hold the factor."""

    def multiply(leaf: Any) -> Any:
        return (leaf * factor).astype(leaf.dtype) if is_inexact_array(leaf) else leaf

    return tree_map(multiply, tree)


def all_finite(tree: PyTree) -> Array:
    """Whether all elements of a tree's floating arrays are finite: a boolean.

    Example:
        >>> nn.all_finite({"a": fnp.ones(3), "b": fnp.array([1.0, fnp.inf])})
        Array(False, dtype=bool)
    """
    checks = [fnp.all(fnp.isfinite(leaf)) for leaf in tree_leaves(tree) if is_inexact_array(leaf)]
    return functools.reduce(fnp.logical_and, checks, fnp.asarray(True))


def select_tree(pred: Any, a: PyTree, b: PyTree) -> PyTree:
    """The one tree where `pred` holds, else the other, array by array.

    Both are computed; under `jit` that is what lets a step be left out.

    Args:
        pred: a boolean.
        a: a tree of arrays.
        b: a tree of the same structure and shapes.

    Raises:
        TreeStructureError: the structures differ.

    Example:
        >>> nn.select_tree(fnp.array(False), {"w": fnp.ones(2)}, {"w": fnp.zeros(2)})
        {'w': Array([0., 0.], dtype=float32)}
    """
    return tree_map(lambda x, y: fnp.where(pred, x, y), a, b)
