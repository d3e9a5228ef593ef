"""Updates kept from being too large: elements, norms, root mean squares."""

from typing import Any

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.pytree import tree_leaves
from funcflow.core.typing import PyTree
from funcflow.optim.base import GradientTransformation, stateless
from funcflow.optim.leaves import map_updates, scalar, scaled, squared, working


def global_norm(updates: PyTree) -> Array:
    """The square root of the sum of the squares of all elements of all leaves.

    Example:
        >>> ff.optim.global_norm({"a": fnp.array([3.0]), "b": fnp.array([0.0, 4.0])})
        Array(5., dtype=float32)
    """
    sums = (fnp.sum(squared(working(x))) for x in tree_leaves(updates))
    return fnp.sqrt(sum(sums, start=fnp.float32(0)))


def clip(max_delta: Any) -> GradientTransformation:
    """Keep each element between `-max_delta` and `max_delta`.

    Example:
        >>> clip = ff.optim.clip(1.0)
        >>> clip.update(fnp.array([-5.0, 0.5]), clip.init(None))[0]
        Array([-1. ,  0.5], dtype=float32)
    """

    def clipped(u: Any) -> Array:
        u = working(u)
        bound = scalar(max_delta, u.dtype)
        return fnp.clip(u, -bound, bound)

    return stateless(lambda updates, params: map_updates("clip", clipped, updates))


def clip_by_global_norm(max_norm: Any) -> GradientTransformation:
    """Scale all updates by one number, so that their `global_norm` is at most `max_norm`.

    R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks"
    (2013), algorithm 1.

    Example:
        >>> clip = ff.optim.clip_by_global_norm(1.0)
        >>> clip.update({"a": fnp.array(3.0), "b": fnp.array(4.0)}, clip.init(None))[0]
        {'a': Array(0.6, dtype=float32), 'b': Array(0.8, dtype=float32)}
    """

    def clipped(updates: PyTree, params: PyTree) -> PyTree:
        norm = global_norm(updates)
        bound = scalar(max_norm, norm.dtype)
        factor = fnp.where(norm < bound, 1, bound / norm)
        return map_updates("clip_by_global_norm", lambda u: scaled(working(u), factor), updates)

    return stateless(clipped)


def clip_by_block_rms(threshold: Any) -> GradientTransformation:
    """Scale each update on its own, so that its root mean square is at most `threshold`.

    N. Shazeer and M. Stern, "Adafactor: adaptive learning rates with sublinear memory cost" (2018),
    section 6.

    Example:
        >>> clip = ff.optim.clip_by_block_rms(1.0)
        >>> clip.update(fnp.array([2.0, -2.0]), clip.init(None))[0]
        Array([ 1., -1.], dtype=float32)
    """

    def clipped(u: Any) -> Array:
        u = working(u)
        size = fnp.sqrt(fnp.mean(squared(u)))
        return scaled(u, 1 / fnp.maximum(1, size / scalar(threshold, size.dtype)))

    return stateless(lambda updates, params: map_updates("clip_by_block_rms", clipped, updates))
